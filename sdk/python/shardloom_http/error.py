"""What is raised to answer at once."""


class HttpError(Exception):
    """A response to be raised: its text is the body.

    From status 500 on, whatever the request wrote is gone; below, it is kept, so check first and write then.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

"""The four ways to refuse a request. Whatever the call wrote is gone then."""

from wit_world.exports import handler


class Failure(Exception):
    """A refusal; raise one of its subclasses."""

    case: type


class Invalid(Failure):
    """The request makes no sense (HTTP 400)."""

    case = handler.Failure_Invalid


class NotFound(Failure):
    """What the request is about does not exist (HTTP 404)."""

    case = handler.Failure_NotFound


class Conflict(Failure):
    """The request contradicts the state that it met (HTTP 409)."""

    case = handler.Failure_Conflict


class Failed(Failure):
    """Anything else that the guest could not do (HTTP 422)."""

    case = handler.Failure_Failed

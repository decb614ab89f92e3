"""Components of wasi:http in Python: what a guest exports, and what it works with.

    from shardloom_http import Bucket, Request, serve

    visits = Bucket("visits")

    def answer(request: Request) -> str:
        return f"{visits.increment(request.path)}\\n"

    IncomingHandler = serve(answer)

The component's export is the name `IncomingHandler` of the module that is built. Outside of a component, import
`shardloom_testing` first: it gives the module a world in memory.
"""

import shardloom_log as log

from .bucket import Bucket
from .error import HttpError
from .message import Request, Response, json_response
from .serve import serve
from .setting import config

__all__ = ["Bucket", "HttpError", "Request", "Response", "config", "json_response", "log", "serve"]

"""Shard handlers in Python: what a guest exports, and what it works with.

    from shardloom_guest import Request, methods, state

    def add(request: Request) -> str:
        total = state.get_json(request.key, 0) + request.json()
        state.set_json(request.key, total)
        return str(total)

    Handler = methods({"add": add})

The component's export is the name `Handler` of the module that is built. Outside of a component, import
`shardloom_testing` first: it gives the module a world in memory.
"""

import shardloom_log as log

from . import state
from .failure import Conflict, Failed, Failure, Invalid, NotFound
from .request import Reply, Request, json_reply, reply, text_reply
from .serve import methods, serve
from .where import config, place

__all__ = [
    "Conflict",
    "Failed",
    "Failure",
    "Invalid",
    "NotFound",
    "Reply",
    "Request",
    "config",
    "json_reply",
    "log",
    "methods",
    "place",
    "reply",
    "serve",
    "state",
    "text_reply",
]

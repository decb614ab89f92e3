"""Makes the component's export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import handler

import shardloom_log as log

from .failure import Failure, Invalid
from .request import Reply, Request, reply, text_reply

#: What a function that answers may return.
Answer = Reply | str | bytes | None


def serve(answer: Callable[[Request], Answer]) -> type[exports.Handler]:
    """Makes it of a function from request to reply: `Handler = serve(answer)`.

    The function may also return text, bytes, or nothing. A Failure that it raises refuses the request; any other exception
    is logged and traps.
    """

    class Handler(exports.Handler):
        def handle(self, request: handler.Request) -> handler.Reply:
            try:
                asked = Request(request.key, request.method, request.headers, request.body)
                answered = _replied(answer(asked))
            except Failure as failure:
                raise Err(failure.case(str(failure))) from None
            except Exception as error:
                log.error(log.described(error))
                raise
            return handler.Reply(answered.headers, answered.body)

    return Handler


def methods(table: Mapping[str, Callable[[Request], Answer]]) -> type[exports.Handler]:
    """The same of functions by the request's method; another method is invalid."""
    names = ", ".join(table)

    def answer(request: Request) -> Answer:
        if request.method not in table:
            asked = json.dumps(request.method, ensure_ascii=False)
            raise Invalid(f"there is no method {asked}: {names}")
        return table[request.method](request)

    return serve(answer)


def _replied(result: Answer) -> Reply:
    if isinstance(result, Reply):
        return result
    if result is None:
        return reply()
    if isinstance(result, str):
        return text_reply(result)
    if isinstance(result, bytes):
        return reply(result)
    raise TypeError(f"a handler returns a reply, text, bytes or None, and this is {type(result).__name__}")

"""Makes the component's export: takes a request of wasi:http 0.2 whole, and gives a response to the host."""

from __future__ import annotations

from collections.abc import Callable

import shardloom_log as log
from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import streams, types

from .error import HttpError
from .message import Request, Response

#: What a function that answers may return.
Answer = Response | str | bytes | None
#: Bytes that are read at once.
READ_BYTES = 1 << 16


def serve(answer: Callable[[Request], Answer]) -> type[exports.IncomingHandler]:
    """Makes it of a function from request to response: `IncomingHandler = serve(answer)`.

    The function may also return text, bytes, or nothing. An HttpError that it raises is a response; any other exception is
    logged and traps.
    """

    class IncomingHandler(exports.IncomingHandler):
        def handle(self, request: types.IncomingRequest, response_out: types.ResponseOutparam) -> None:
            try:
                try:
                    response = _responded(answer(_receive(request)))
                except HttpError as error:
                    response = Response(f"{error}\n", error.status)
                _send(response, response_out)
            except Exception as error:
                log.error(log.described(error))
                raise

    return IncomingHandler


def _responded(result: Answer) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status=204)
    if isinstance(result, (str, bytes)):
        return Response(result)
    raise TypeError(f"a handler returns a response, text, bytes or None, and this is {type(result).__name__}")


def _receive(incoming: types.IncomingRequest) -> Request:
    method = incoming.method()
    path, _, query = (incoming.path_with_query() or "/").partition("?")
    with incoming.headers() as fields:
        headers = [(name.lower(), _header_text(value)) for name, value in fields.entries()]
    scheme = "https" if isinstance(incoming.scheme(), types.Scheme_Https) else "http"
    name = method.value if isinstance(method, types.Method_Other) else type(method).__name__.split("_")[1].upper()
    authority = incoming.authority() or ""
    with incoming, incoming.consume() as body, body.stream() as stream:
        return Request(name, path, query, headers, _whole(stream), scheme, authority)


def _header_text(value: bytes) -> str:
    """A header's value as text; what is not UTF-8 is read as Latin-1, which anything is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _whole(stream: streams.InputStream) -> bytes:
    parts = bytearray()
    while True:
        try:
            parts += stream.blocking_read(READ_BYTES)
        except Err as end:
            if isinstance(end.value, streams.StreamError_Closed):
                return bytes(parts)
            raise


def _send(response: Response, out: types.ResponseOutparam) -> None:
    try:
        fields = types.Fields.from_list([(name, value.encode()) for name, value in response.headers])
    except Err as refused:
        raise ValueError(f"a header of the response was not taken: {type(refused.value).__name__}") from None
    outgoing = types.OutgoingResponse(fields)
    try:
        outgoing.set_status_code(response.status)
    except Err:
        raise ValueError(f"{response.status} is no status of a response") from None
    body = outgoing.body()
    types.ResponseOutparam.set(out, Ok(outgoing))
    with body.write() as stream:
        _write(stream, response.body)
    types.OutgoingBody.finish(body, None)


def _write(stream: streams.OutputStream, content: bytes) -> None:
    """Writes bytes, as many at once as the host takes: one flush for each few thousand would cost more than all else."""
    left = memoryview(content)
    try:
        while left:
            room = stream.check_write()
            if room == 0:
                with stream.subscribe() as ready:
                    ready.block()
                continue
            stream.write(bytes(left[:room]))
            left = left[room:]
    except Err:
        # The host has heard enough.
        pass

"""wasi:http 0.2 and wasi:keyvalue in memory: what `shardloom_testing` has for components of wasi:http."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

KEY_BYTES_MAX = 1024
VALUE_BYTES_MAX = 48 * 1024
PAGE_KEYS_MAX = 1000
WRITE_BYTES_MAX = 64 * 1024
#: Headers that are the host's to set.
FORBIDDEN = {"connection", "host", "http2-settings", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
METHODS = ["Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch"]


@dataclass(frozen=True)
class Err(Exception):
    """As the bindings have it: what an import raises."""

    value: Any


@dataclass
class Ok:
    """As the bindings have it."""

    value: Any


@dataclass
class Other:
    """The case of an error that has words."""

    value: str


class Owned:
    """A handle of the host's, which is given back at the end of a block."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class KeyResponse:
    """As the bindings have it."""

    keys: list[str]
    cursor: str | None


@dataclass
class Buckets:
    """All buckets of a world."""

    #: Whether writes are refused for want of room.
    full: bool = False
    rows: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def open(self, name: str) -> Bucket:
        return Bucket(self, name)

    def copy(self) -> dict[str, dict[str, bytes]]:
        return deepcopy(self.rows)


class Bucket(Owned):
    """One of them, by its name: what it holds may be taken back behind it."""

    def __init__(self, buckets: Buckets, name: str) -> None:
        self._buckets = buckets
        self._name = name

    @property
    def _rows(self) -> dict[str, bytes]:
        return self._buckets.rows.setdefault(self._name, {})

    def get(self, key: str) -> bytes | None:
        return self._rows.get(_text(key))

    def set(self, key: str, value: bytes) -> None:
        _bounded("key", len(_text(key).encode()), KEY_BYTES_MAX)
        _bounded("value", len(value), VALUE_BYTES_MAX)
        if self._buckets.full:
            raise Err(Other("the state of the workload on this shard is full"))
        self._rows[key] = value

    def delete(self, key: str) -> None:
        self._rows.pop(_text(key), None)

    def exists(self, key: str) -> bool:
        return _text(key) in self._rows

    def list_keys(self, cursor: str | None) -> KeyResponse:
        keys = sorted((key for key in self._rows if cursor is None or key.encode() > cursor.encode()), key=str.encode)
        page = keys[:PAGE_KEYS_MAX]
        return KeyResponse(page, page[-1] if len(page) < len(keys) else None)


def increment(bucket: Bucket, key: str, delta: int) -> int:
    """As the bindings have it."""
    value = bucket.get(key)
    try:
        total = (0 if value is None else int(value)) + delta
    except ValueError:
        raise Err(Other("the value of the key is no number of this kind, in decimal")) from None
    bucket.set(key, str(total).encode())
    return total


def _text(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of a bucket is text, and this is {type(key).__name__}")
    return key


def _bounded(what: str, size: int, most: int) -> None:
    if size > most:
        raise Err(Other(f"the {what} has {size} bytes; at most {most} are taken"))


@dataclass
class Response:
    """What a component of wasi:http has answered."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


#: The classes of wit_world.imports.types that tell methods and schemes apart.
CASES: dict[str, type] = {f"Method_{name}": type(f"Method_{name}", (), {}) for name in METHODS}
CASES |= {f"Scheme_{name}": type(f"Scheme_{name}", (), {}) for name in ["Http", "Https"]}
CASES["Method_Other"] = type("Method_Other", (Other,), {})
HEADER_ERRORS = {name: type(name, (), {}) for name in ["HeaderError_InvalidSyntax", "HeaderError_Forbidden"]}
STREAM_CLOSED = type("StreamError_Closed", (), {})


class Fields(Owned):
    """As the bindings have it."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, bytes]] = []

    @classmethod
    def from_list(cls, pairs: list[tuple[str, bytes]]) -> Fields:
        fields = cls()
        for name, value in pairs:
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise Err(HEADER_ERRORS["HeaderError_InvalidSyntax"]())
            if name.lower() in FORBIDDEN:
                raise Err(HEADER_ERRORS["HeaderError_Forbidden"]())
            fields.pairs.append((name.lower(), value))
        return fields

    def entries(self) -> list[tuple[str, bytes]]:
        return list(self.pairs)


@dataclass
class IncomingRequest(Owned):
    """A request, its body, and the stream of it, as the bindings have them."""

    name: str
    target: str
    pairs: list[tuple[str, str]]
    content: bytes
    tls: bool

    def method(self) -> Any:
        known = self.name.capitalize() if self.name.capitalize() in METHODS else None
        return CASES[f"Method_{known}"]() if known else CASES["Method_Other"](self.name)

    def path_with_query(self) -> str:
        return self.target

    def scheme(self) -> Any:
        return CASES["Scheme_Https" if self.tls else "Scheme_Http"]()

    def authority(self) -> str:
        return "localhost"

    def headers(self) -> Fields:
        return Fields.from_list([(name, value.encode()) for name, value in self.pairs])

    def consume(self) -> IncomingRequest:
        return self

    def stream(self) -> IncomingRequest:
        return self

    def blocking_read(self, size: int) -> bytes:
        if not self.content:
            raise Err(STREAM_CLOSED())
        part, self.content = self.content[:size], self.content[size:]
        return part


class OutgoingResponse(Owned):
    """As the bindings have it."""

    def __init__(self, fields: Fields) -> None:
        self.answered = Response(headers=[(name, value.decode()) for name, value in fields.entries()])

    def set_status_code(self, status: int) -> None:
        if not 100 <= status <= 999:
            raise Err(None)
        self.answered.status = status

    def body(self) -> OutgoingBody:
        return OutgoingBody(self.answered)


@dataclass
class OutgoingBody(Owned):
    """As the bindings have it."""

    answered: Response

    def write(self) -> OutputStream:
        return OutputStream(self.answered)

    @staticmethod
    def finish(body: OutgoingBody, trailers: None) -> None:
        """Ends the body, which is here already."""


@dataclass
class OutputStream(Owned):
    """As the bindings have it, and what tells that there is room again."""

    answered: Response
    #: How much may be written at once; there is none each other time.
    room: int = WRITE_BYTES_MAX

    def check_write(self) -> int:
        self.room = 0 if self.room > 0 else WRITE_BYTES_MAX
        return self.room

    def subscribe(self) -> OutputStream:
        return self

    def block(self) -> None:
        """Waits for room, which there is the next time."""

    def write(self, part: bytes) -> None:
        if len(part) > self.room:
            raise AssertionError(f"{len(part)} bytes, and there is room for {self.room}: the host would end the call")
        self.answered.body += part


class ResponseOutparam:
    """As the bindings have it."""

    def __init__(self) -> None:
        self.response: OutgoingResponse | None = None

    @staticmethod
    def set(out: ResponseOutparam, response: Ok) -> None:
        out.response = response.value

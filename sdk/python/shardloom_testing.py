"""A world in memory, for tests of handlers without a cluster: import it before the handler and `shardloom_guest`.

    from shardloom_testing import world
    import leaderboard

    reply = world.call(leaderboard.Handler, "monday", "submit", '{"player": "ada", "score": 3}')

Of a component of wasi:http, import the module that has `IncomingHandler`, and ask it:

    response = world.request(site.IncomingHandler, "GET", "/ada?x=1")

Bounds are those of a default deployment.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

import shardloom_testing_http as http
from shardloom_testing_http import Buckets, Err, Ok, Response

KEY_BYTES_MAX = 1024
VALUE_BYTES_MAX = 48 * 1024
SCAN_ROWS_MAX = 1000
SCAN_BYTES_MAX = 1024 * 1024


@dataclass
class Request:
    """As the bindings have it."""

    key: str
    method: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Reply:
    """As the bindings have it."""

    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Place:
    """As the bindings have it."""

    shard: int = 7
    shard_count: int = 1024
    epoch: int = 3
    node: str = "00000000000000aa"
    workload: str = "test"
    version: int = 1


class Level(Enum):
    """As the bindings have it."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    CRITICAL = 5


@dataclass
class Case:
    """A case of a variant that has a value."""

    value: str


@dataclass
class Bare:
    """A case of a variant that has none."""


class Refused(AssertionError):
    """A handler refused a request of a test: `case` is invalid, not-found, conflict or failed."""

    def __init__(self, case: str, text: str) -> None:
        super().__init__(f"{case}: {text}")
        self.case = case
        self.text = text


FAILURES = {
    name: type(f"Failure_{name}", (Case,), {"wit": wit})
    for name, wit in [("Invalid", "invalid"), ("NotFound", "not-found"), ("Conflict", "conflict"), ("Failed", "failed")]
}
TOO_LARGE = type("StoreError_TooLarge", (Case,), {"__match_args__": ("value",)})
QUOTA_EXCEEDED = type("StoreError_QuotaExceeded", (Bare,), {})
CLOSED = type("StoreError_Closed", (Bare,), {})


@dataclass
class World:
    """What the host holds; a test may change any of it."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    place: Place = field(default_factory=Place)
    #: What was logged: level, context, message.
    logged: list[tuple[Level, str, str]] = field(default_factory=list)
    #: Whether writes are refused for want of room.
    full: bool = False
    #: The state of a component of wasi:http.
    buckets: Buckets = field(default_factory=Buckets)

    def reset(self) -> None:
        """Forgets everything."""
        self.__dict__.update(World().__dict__)

    def call(
        self,
        handler: type,
        key: str,
        method: str = "",
        body: str | bytes = b"",
        headers: list[tuple[str, str]] | None = None,
    ) -> Reply:
        """Makes one call as the host does: all of its writes are kept, or none. A refusal is raised as Refused."""
        before = dict(self.rows)
        request = Request(key, method, headers or [], body.encode() if isinstance(body, str) else body)
        try:
            return handler().handle(request)
        except Err as failure:
            self.rows = before
            raise Refused(failure.value.wit, failure.value.value) from None
        except BaseException:
            self.rows = before
            raise

    def request(
        self,
        handler: type,
        method: str,
        target: str,
        body: str | bytes = b"",
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        tls: bool = False,
    ) -> Response:
        """Has a component of wasi:http answer one request as the host does: a response of 5xx takes back what was written."""
        before = self.buckets.copy()
        self.buckets.full = self.full
        pairs = list(headers.items()) if isinstance(headers, dict) else headers or []
        content = body.encode() if isinstance(body, str) else body
        out = http.ResponseOutparam()
        status = 500
        try:
            handler().handle(http.IncomingRequest(method, target, pairs, content, tls), out)
            if out.response is None:
                raise AssertionError("the handler gave no response")
            status = out.response.answered.status
            return out.response.answered
        finally:
            if status >= 500:
                self.buckets.rows = before

    def _get(self, key: bytes) -> bytes | None:
        return self.rows.get(_bytes(key))

    def _set(self, key: bytes, value: bytes) -> None:
        _bounded("key", key, KEY_BYTES_MAX)
        _bounded("value", value, VALUE_BYTES_MAX)
        if self.full:
            raise Err(QUOTA_EXCEEDED())
        self.rows[key] = value

    def _delete(self, key: bytes) -> None:
        _bounded("key", key, KEY_BYTES_MAX)
        self.rows.pop(key, None)

    def _scan(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        page: list[tuple[bytes, bytes]] = []
        size = 0
        for key in sorted(self.rows):
            if key < _bytes(start) or (end is not None and key >= end):
                continue
            if len(page) == min(limit, SCAN_ROWS_MAX) or size >= SCAN_BYTES_MAX:
                break
            page.append((key, self.rows[key]))
            size += len(key) + len(self.rows[key])
        return page


def _bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"the host takes bytes, and this is {type(value).__name__}")
    return value


def _bounded(what: str, value: bytes, most: int) -> None:
    if len(_bytes(value)) > most:
        raise Err(TOO_LARGE(f"the {what} has {len(value)} bytes; at most {most} are taken"))


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module
    return module


def _install(world: World) -> None:
    """Puts the world where the bindings would be; each import asks the world anew, since `reset` changes it."""
    _module("componentize_py_types", Err=Err, Ok=Ok)
    failures = {f"Failure_{name}": case for name, case in FAILURES.items()}
    handler = _module("wit_world.exports.handler", Request=Request, Reply=Reply, **failures)
    bases = {name: type(name, (), {}) for name in ["Handler", "IncomingHandler"]}
    exports = _module("wit_world.exports", handler=handler, **bases)
    store = _module(
        "wit_world.imports.shardloom_shard_store",
        get=lambda key: world._get(key),
        set=lambda key, value: world._set(key, value),
        delete=lambda key: world._delete(key),
        scan=lambda start, end, limit: world._scan(start, end, limit),
        StoreError_TooLarge=TOO_LARGE,
        StoreError_QuotaExceeded=QUOTA_EXCEEDED,
        StoreError_Closed=CLOSED,
    )
    info = _module("wit_world.imports.shard_info", Place=Place, current=lambda: world.place)
    logging = _module("wit_world.imports.logging", Level=Level, log=lambda *line: world.logged.append(line))
    settings = _module("wit_world.imports.wasi_config_store", get=lambda key: world.config.get(key))
    imports = _module(
        "wit_world.imports",
        shardloom_shard_store=store,
        shard_info=info,
        logging=logging,
        wasi_config_store=settings,
        **_http(world),
    )
    _module("wit_world", exports=exports, imports=imports)


def _http(world: World) -> dict[str, ModuleType]:
    """What a component of wasi:http imports besides."""
    keyvalue = _module(
        "wit_world.imports.wasi_keyvalue_store", Bucket=http.Bucket, open=lambda name: world.buckets.open(name)
    )
    types = _module(
        "wit_world.imports.types",
        Fields=http.Fields,
        IncomingRequest=http.IncomingRequest,
        OutgoingBody=http.OutgoingBody,
        OutgoingResponse=http.OutgoingResponse,
        ResponseOutparam=http.ResponseOutparam,
        **http.CASES,
    )
    atomics = _module("wit_world.imports.atomics", increment=http.increment)
    streams = _module(
        "wit_world.imports.streams",
        InputStream=http.IncomingRequest,
        OutputStream=http.OutputStream,
        StreamError_Closed=http.STREAM_CLOSED,
    )
    return {"wasi_keyvalue_store": keyvalue, "types": types, "atomics": atomics, "streams": streams}


#: The one world of this process.
world = World()
_install(world)

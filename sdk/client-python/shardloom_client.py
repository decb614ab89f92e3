"""Calls workloads of a Shardloom cluster over HTTP, through whichever node answers.

    client = Client(["http://127.0.0.1:7080", "http://127.0.0.1:7090"])
    reply = client.call("inventory", "berlin", "show")
    print(reply.json())

A call is made again only where that is safe: what did not run may run; what may have run is asked for again only under an
idempotency key, with which the cluster answers as it did the first time. All tries together end by the caller's deadline.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

#: What became of a call: it did not run; it ran and nothing of it remains; nobody knows.
Executed = Literal["no", "rolled-back", "unknown"]

#: Seconds that a call may take, all tries together, where the caller names no other.
TIMEOUT_S = 10.0
#: Seconds until a node that does not take the connection counts as one that refuses.
CONNECT_S_MAX = 2.0
#: The node is given that part of what is left, so that its own word about the deadline still arrives.
NODE_SHARE = 0.9
#: The wait before the n-th try anew is random, up to BACKOFF_S * 2**n, and at most BACKOFF_S_MAX.
BACKOFF_S = 0.05
BACKOFF_S_MAX = 1.0
#: With less than this left there is no other try: it could hardly end, and would leave doubt.
TRY_S_MIN = 0.05
#: Idle connections kept for each node.
IDLE_MAX = 8


@dataclass(frozen=True)
class Reply:
    """What the workload answered, and who it was."""

    body: bytes
    #: Names in lower case.
    headers: Mapping[str, str]
    #: How many tries it took.
    tries: int

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as the JSON value that it is."""
        return json.loads(self.body)

    @property
    def node(self) -> str | None:
        """The node that ran the call."""
        return self.headers.get("shardloom-node")

    @property
    def shard(self) -> int | None:
        """The shard of the key."""
        return _number(self.headers.get("shardloom-shard"))

    @property
    def epoch(self) -> int | None:
        """The epoch under which the node owns the shard."""
        return _number(self.headers.get("shardloom-epoch"))


class CallError(Exception):
    """A call without a reply. Its subclasses say what to do about it."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        executed: Executed,
        status: int | None = None,
        retryable: bool = False,
        epoch: int | None = None,
        tries: int = 1,
    ) -> None:
        super().__init__(f"{detail} ({code}, executed: {executed})")
        #: One of the API's codes, or `unreachable`, `no-answer` or `bad-answer`, which are of the client.
        self.code = code
        self.detail = detail
        self.executed = executed
        #: The HTTP status; none where there was no answer.
        self.status = status
        self.retryable = retryable
        self.epoch = epoch
        self.tries = tries


class Refused(CallError):
    """The workload refused. Nothing of the call remains."""


class Invalid(Refused):
    """The workload calls the request invalid."""


class NotFound(Refused):
    """The workload has no such thing."""


class Conflict(Refused):
    """The request contradicts the workload's state."""


class Failed(Refused):
    """The workload failed in another way that it reported."""


class GuestFault(CallError):
    """The workload's guest trapped, went over a limit or ran too long. Nothing of the call remains."""


class Unavailable(CallError):
    """The cluster did not come to it in time. The call did not run and may be made again."""


class InDoubt(CallError):
    """Nobody knows whether the call ran."""


class BadCall(CallError):
    """The call cannot succeed as it is: unknown workload, too large, and the like. It did not run."""


_BY_CODE = {
    "invalid": Invalid,
    "not-found": NotFound,
    "conflict": Conflict,
    "failed": Failed,
    "guest-trap": GuestFault,
    "guest-limit": GuestFault,
    "guest-timeout": GuestFault,
}


class Client:
    """Calls through several nodes: it stays with one while that answers. Threads may share it."""

    def __init__(
        self,
        servers: str | Iterable[str],
        *,
        tries_max: int = 8,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        urls = [servers] if isinstance(servers, str) else list(servers)
        if not urls:
            raise ValueError("a client needs the URL of a node")
        self._nodes = [_Node(url, ssl_context) for url in urls]
        self._current = 0
        self._tries_max = tries_max

    def call(
        self,
        workload: str,
        key: str,
        method: str = "",
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> Reply:
        """Makes one call; raises a CallError where there is no reply by the deadline, `timeout` seconds from now."""
        deadline = time.monotonic() + timeout
        target = f"/v1/call/{quote(workload, safe='')}/{quote(key, safe='')}"
        if method:
            target += "?" + urlencode({"method": method}, quote_via=quote)
        sent = dict(headers or {})
        if idempotency_key is not None:
            sent["idempotency-key"] = idempotency_key
        content = body.encode() if isinstance(body, str) else body
        doubt = False
        refusals = 0
        for tries in range(1, self._tries_max + 1):
            at = self._current
            outcome = self._nodes[at].post(target, content, sent, deadline, tries)
            if isinstance(outcome, Reply):
                return outcome
            error, wait_min = outcome
            doubt = doubt or error.executed == "unknown"
            again = error.retryable or (error.executed == "unknown" and idempotency_key is not None)
            if not again:
                break
            self._current = (at + 1) % len(self._nodes)
            refusals = refusals + 1 if error.code == "unreachable" else 0
            left = deadline - time.monotonic()
            wait = random.uniform(0, min(BACKOFF_S * 2**tries, BACKOFF_S_MAX, max(left, 0)))
            # What the node asks for is heeded if there is time for it.
            wait = max(wait, wait_min) if wait_min < left else wait
            # Another node may take the call at once; only after a whole round there is something to wait for.
            if 0 < refusals < len(self._nodes):
                wait = 0.0
            if tries == self._tries_max or wait >= left - TRY_S_MIN:
                break
            time.sleep(wait)
        raise _typed(error, doubt, tries)

    def close(self) -> None:
        """Closes idle connections."""
        for node in self._nodes:
            node.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _typed(error: CallError, doubt: bool, tries: int) -> CallError:
    """The error for the caller. What an earlier try left in doubt stays so, whatever became of the last one."""
    executed: Executed = "unknown" if doubt else error.executed
    otherwise = InDoubt if doubt else Unavailable if error.retryable else BadCall
    kind = _BY_CODE.get(error.code, otherwise)
    told = {"status": error.status, "retryable": error.retryable, "epoch": error.epoch, "tries": tries}
    return kind(error.code, error.detail, executed=executed, **told)


class _Node:
    """One node, and the idle connections to it."""

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{url!r} is no URL of a node: http://HOST:PORT is")
        self._url = url
        self._parts = parts
        self._context = ssl_context or (ssl.create_default_context() if parts.scheme == "https" else None)
        self._idle: deque[http.client.HTTPConnection] = deque()

    def post(
        self, target: str, body: bytes, headers: Mapping[str, str], deadline: float, tries: int
    ) -> Reply | tuple[CallError, float]:
        """Tries once: a reply, or an error and the seconds that the node wants to be left alone."""
        left = deadline - time.monotonic()
        try:
            connection = self._connect(left)
        except OSError as error:
            # Nothing was sent, so another try is safe.
            return _unanswered("unreachable", f"{self._url}: {error}", "no"), 0.0
        left = deadline - time.monotonic()
        node_ms = max(1, int(left * NODE_SHARE * 1000))
        try:
            connection.sock.settimeout(max(left, 0.001))
            connection.request("POST", target, body, {**headers, "shardloom-timeout-ms": str(node_ms)})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return _unanswered("no-answer", f"{self._url}: {error or type(error).__name__}", "unknown"), 0.0
        if response.will_close or len(self._idle) >= IDLE_MAX:
            connection.close()
        else:
            self._idle.append(connection)
        received = {name.lower(): value for name, value in response.getheaders()}
        if response.status == 200:
            return Reply(content, received, tries)
        return _problem(self._url, response.status, received, content), _retry_after(received)

    def _connect(self, left: float) -> http.client.HTTPConnection:
        while True:
            try:
                idle = self._idle.pop()
            except IndexError:
                break
            if _is_open(idle):
                return idle
            idle.close()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        wait = min(left, CONNECT_S_MAX)
        host, port = self._parts.hostname, self._parts.port
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=wait, context=self._context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=wait)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _is_open(idle: http.client.HTTPConnection) -> bool:
    """What can be read before a request is sent is the end of the connection."""
    try:
        return not select.select([idle.sock], [], [], 0)[0]
    except ValueError:
        # Over the number of files that `select` takes.
        return False


def _unanswered(code: str, detail: str, executed: Executed) -> CallError:
    return CallError(code, detail, executed=executed, retryable=executed == "no")


def _problem(url: str, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    """Reads an error of the API; what is none, as of a proxy on the way, says nothing about the call."""
    if headers.get("content-type", "").split(";")[0].strip() == "application/problem+json":
        try:
            told = json.loads(body)
            executed, retryable = told["executed"], told["retryable"]
            if executed in ("no", "rolled-back", "unknown") and isinstance(retryable, bool):
                epoch = told.get("epoch") or None
                detail = str(told.get("detail", told.get("title", "")))
                return CallError(
                    str(told["code"]), detail, executed=executed, status=status, retryable=retryable, epoch=epoch
                )
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return CallError("bad-answer", f"{url}: status {status}, and no problem document", executed="unknown", status=status)


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None

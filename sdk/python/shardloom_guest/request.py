"""What a guest gets, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shardloom_text import bytes_of, json_text

from .failure import Invalid

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One call."""

    #: The key that picked the shard.
    key: str
    #: Which operation is asked for; empty where the caller named none.
    method: str
    #: The caller's headers, in order, names in lower case.
    headers: Headers
    #: The caller's bytes, whole.
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        lower = name.lower()
        return next((value for other, value in self.headers if other == lower), None)

    def text(self) -> str:
        """The body as text; raises Invalid where it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise Invalid("the body must be UTF-8") from None

    def json(self) -> Any:
        """The body as the JSON value that it is; raises Invalid where it is none."""
        text = self.text()
        try:
            return json.loads(text)
        except ValueError as error:
            raise Invalid(f"the body must be JSON: {error}") from None


@dataclass(frozen=True)
class Reply:
    """What the caller gets."""

    body: bytes = b""
    headers: Headers = field(default_factory=list)


def reply(body: str | bytes = b"", headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> Reply:
    """A reply of text or bytes, with headers."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Reply(bytes_of(body), list(pairs))


def text_reply(body: str) -> Reply:
    """A reply of text."""
    return reply(body, {"content-type": "text/plain; charset=utf-8"})


def json_reply(value: Any) -> Reply:
    """A reply of JSON, without blanks and with all characters as they are."""
    return reply(json_text(value), {"content-type": "application/json"})

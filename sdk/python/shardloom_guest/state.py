"""The shard's state of this workload: bytes under bytes, ordered by key. Text stands for its UTF-8.

A call is one transaction. A write over a bound raises Invalid; one for which the shard has no room raises Failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from componentize_py_types import Err
from shardloom_text import bytes_of, json_text
from wit_world.imports import shardloom_shard_store as store

from .failure import Failed, Invalid

#: The most rows that the host gives at once.
PAGE_ROWS = 1000


@dataclass(frozen=True)
class Row:
    """One key with its value."""

    key: bytes
    value: bytes

    def key_text(self) -> str:
        """The key as text; raises Failed where it is none."""
        return _text(self.key, "a key of the state")

    def text(self) -> str:
        """The value as text; raises Failed where it is none."""
        return _text(self.value, "a value of the state")

    def json(self) -> Any:
        """The value as the JSON value that it is."""
        return json.loads(self.text())


def get(key: str | bytes) -> bytes | None:
    """The bytes under a key."""
    return store.get(bytes_of(key))


def get_text(key: str | bytes) -> str | None:
    """The text under a key; raises Failed where it is none."""
    value = get(key)
    return None if value is None else _text(value, "the value")


def get_json(key: str | bytes, default: Any = None) -> Any:
    """The JSON value under a key, or the default where there is nothing."""
    text = get_text(key)
    return default if text is None else json.loads(text)


def set(key: str | bytes, value: str | bytes) -> None:
    """Writes text or bytes under a key."""
    with _written():
        store.set(bytes_of(key), bytes_of(value))


def set_json(key: str | bytes, value: Any) -> None:
    """Writes a value as JSON."""
    set(key, json_text(value))


def delete(key: str | bytes) -> None:
    """Removes a key and its value; it is no error where there is none."""
    with _written():
        store.delete(bytes_of(key))


def scan(
    *,
    prefix: str | bytes | None = None,
    start: str | bytes | None = None,
    end: str | bytes | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """Reads rows in order of their keys, page by page as they are asked for.

    Those that begin with `prefix`, or from `start` and before `end`; at most `limit`.
    """
    if prefix is not None and (start is not None or end is not None):
        raise TypeError("a scan takes a prefix, or start and end")
    if prefix is not None:
        first = bytes_of(prefix)
        before = _after(first)
    else:
        first = bytes_of(start or b"")
        before = None if end is None else bytes_of(end)
    return _rows(first, before, limit)


def _rows(first: bytes, before: bytes | None, limit: int | None) -> Iterator[Row]:
    left = limit
    while left is None or left > 0:
        page = store.scan(first, before, PAGE_ROWS if left is None else min(left, PAGE_ROWS))
        if not page:
            return
        for key, value in page:
            yield Row(key, value)
        left = None if left is None else left - len(page)
        # The least key after the last one.
        first = page[-1][0] + b"\0"


def _after(prefix: bytes) -> bytes | None:
    """The first key after those that begin with a prefix; none after those that begin with 0xff only."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failed(f"{what} is not text") from None


@contextmanager
def _written() -> Iterator[None]:
    """Turns a write that was not taken into the refusal that the caller should hear."""
    try:
        yield
    except Err as refused:
        match refused.value:
            case store.StoreError_TooLarge(words):
                raise Invalid(words) from None
            case store.StoreError_QuotaExceeded():
                raise Failed("this shard has no room for more keys") from None
            case store.StoreError_Closed():
                raise Failed("the reply has begun") from None
            case _:
                raise

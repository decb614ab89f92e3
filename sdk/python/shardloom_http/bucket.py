"""The shard's state of this workload, as wasi:keyvalue has it: buckets of values under keys of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from componentize_py_types import Err
from shardloom_text import bytes_of, json_text
from wit_world.imports import atomics
from wit_world.imports import wasi_keyvalue_store as store

from .error import HttpError


class Bucket:
    """A part of the state, by its name; a request is one transaction.

    It is opened when it is first used, so it may be made outside of functions, too: there is no state while the component is
    built. What the host does not do is an HttpError of status 500, with the host's words.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._opened: store.Bucket | None = None

    def get(self, key: str) -> bytes | None:
        """The bytes under a key."""
        with self._open() as bucket:
            return bucket.get(key)

    def get_text(self, key: str) -> str | None:
        """The text under a key."""
        value = self.get(key)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            raise HttpError(500, "the value is not text") from None

    def get_json(self, key: str, default: Any = None) -> Any:
        """The JSON value under a key, or the default where there is nothing."""
        text = self.get_text(key)
        return default if text is None else json.loads(text)

    def set(self, key: str, value: str | bytes) -> None:
        """Writes text or bytes under a key."""
        with self._open() as bucket:
            bucket.set(key, bytes_of(value))

    def set_json(self, key: str, value: Any) -> None:
        """Writes a value as JSON."""
        self.set(key, json_text(value))

    def delete(self, key: str) -> None:
        """Removes a key and its value; it is no error where there is none."""
        with self._open() as bucket:
            bucket.delete(key)

    def has(self, key: str) -> bool:
        """Whether there is anything under a key."""
        with self._open() as bucket:
            return bucket.exists(key)

    def keys(self) -> Iterator[str]:
        """All keys, read page by page as they are asked for."""
        cursor = None
        while True:
            with self._open() as bucket:
                page = bucket.list_keys(cursor)
            yield from page.keys
            cursor = page.cursor
            if cursor is None:
                return

    def increment(self, key: str, by: int = 1) -> int:
        """Adds to the number under a key, which is 0 where there is nothing; returns the sum."""
        with self._open() as bucket:
            return atomics.increment(bucket, key, by)

    @contextmanager
    def _open(self) -> Iterator[store.Bucket]:
        try:
            if self._opened is None:
                self._opened = store.open(self._name)
            yield self._opened
        except Err as refused:
            words = getattr(refused.value, "value", "the state cannot be used")
            raise HttpError(500, words) from None

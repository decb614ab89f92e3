"""What text stands for wherever bytes are taken: its UTF-8, and a value its JSON."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any) -> str:
    """A value as JSON; what JSON cannot say, NaN included, is an error."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def bytes_of(value: str | bytes) -> bytes:
    """Text as its UTF-8, bytes as they are."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"text or bytes are wanted, and this is {type(value).__name__}")

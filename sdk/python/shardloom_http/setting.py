"""The settings of the deployment."""

from __future__ import annotations

from componentize_py_types import Err
from wit_world.imports import wasi_config_store

from .error import HttpError


def config(key: str) -> str | None:
    """A setting of the deployment (`--config KEY=VALUE`)."""
    try:
        return wasi_config_store.get(key)
    except Err as refused:
        raise HttpError(500, f"the setting {key} cannot be read: {refused.value.value}") from None

"""Where and as what the guest runs."""

from __future__ import annotations

from componentize_py_types import Err
from wit_world.imports import shard_info, wasi_config_store

from .failure import Failed


def place() -> shard_info.Place:
    """Where the instance runs now: shard, shard_count, epoch, node, workload, version. The epoch may rise between calls."""
    return shard_info.current()


def config(key: str) -> str | None:
    """A setting of the deployment (`--config KEY=VALUE`)."""
    try:
        return wasi_config_store.get(key)
    except Err as refused:
        raise Failed(f"the setting {key} cannot be read: {refused.value.value}") from None

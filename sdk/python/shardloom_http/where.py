"""Where the guest runs. It is apart, since a component that asks runs on Shardloom alone; the handler's own module is to import it,
since by that the build knows."""

from wit_world.imports import shard_info


def place() -> shard_info.Place:
    """Where the instance runs now: shard, shard_count, epoch, node, workload, version. The epoch may rise between calls."""
    return shard_info.current()

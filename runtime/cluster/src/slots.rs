//! Who uses which register of the write-ahead log. Numbers are never used twice.

/// openraft's vote.
pub(crate) const VOTE: u64 = 1;
/// openraft's last committed entry, as far as known.
pub(crate) const COMMITTED: u64 = 2;
/// The last entry of the control log that was given up.
pub(crate) const PURGED: u64 = 3;
/// Seals of shards: one register a shard, from here on.
pub(crate) const SEALS: u64 = 1 << 32;
/// How often `state.db` was made durable: one that has counted fewer checkpoints has lost data.
pub(crate) const STATE_CHECKPOINTS: u64 = 4;
/// The identity of this disk's replicas, where it is another than that of the write-ahead log: their state was lost once.
pub(crate) const DISK: u64 = 5;
/// Which copy of a shard's state is in use: one register a shard, from here on.
pub(crate) const STATES: u64 = 2 << 32;

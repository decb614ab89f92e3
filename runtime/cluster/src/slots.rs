//! Who uses which register of the write-ahead log. Numbers are never used twice.

/// openraft's vote.
pub(crate) const VOTE: u64 = 1;
/// openraft's last committed entry, as far as known.
pub(crate) const COMMITTED: u64 = 2;
/// The last entry of the control log that was given up.
pub(crate) const PURGED: u64 = 3;
/// Seals of shards: one register a shard, from here on.
pub(crate) const SEALS: u64 = 1 << 32;

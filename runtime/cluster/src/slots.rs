//! Who uses which register of the write-ahead log. Numbers are never used twice.

/// openraft's vote.
pub const VOTE: u64 = 1;
/// openraft's last committed entry, as far as known.
pub const COMMITTED: u64 = 2;
/// The last entry of the control log that was given up.
pub const PURGED: u64 = 3;
/// Seals of shards: one register a shard, from here on.
pub const SEALS: u64 = 1 << 32;

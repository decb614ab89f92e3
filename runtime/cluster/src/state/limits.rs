//! What the state of shards may take, each with its unit and reason.

use std::time::Duration;

/// The longest key, in bytes: keys live in the inner pages of the database, which must stay small.
pub const KEY_BYTES_MAX: usize = 2 << 10;
/// The largest value, in bytes: what the database keeps in one piece.
pub const VALUE_BYTES_MAX: usize = shardloom_store::db::VALUE_BYTES_MAX;
/// The largest batch of one call, in bytes as it is logged: what one message between nodes carries beside others.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// The replies of a shard's newest calls that are kept on its replicas, for callers that lost their owner before they got theirs: more than a
/// shard's calls under way whose writes may be in the log.
pub const REPLIES_MAX: usize = 128;
/// The newest calls of a shard that its owner remembers in memory: more than come before a caller asks again.
pub(crate) const RECENT_MAX: usize = 2_048;
/// And the bytes of their replies.
pub(crate) const RECENT_BYTES_MAX: usize = 256 << 10;
/// The largest reply that is kept, in bytes; of a larger one only is kept that it was given.
pub const REPLY_KEPT_BYTES_MAX: usize = 4 << 10;

/// Batches that wait for the protocol's shell at most: more than the calls that a node runs at once.
pub(crate) const BATCHES_WAITING_MAX: usize = 1024;
/// News for the protocol's shell that wait at most: one a flush or a snapshot.
pub(crate) const NEWS_WAITING_MAX: usize = 64;
/// Requests for snapshots between the shell and their sender at most: it takes them at once.
pub(crate) const REQUESTS_WAITING_MAX: usize = 1024;
/// Batches that one turn of the shell takes at most.
pub(crate) const TURN_BATCHES_MAX: usize = 256;

/// What may be set for the states of a node's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// A shard's state is flushed when so many bytes of its log are not in the database: bounds what is replayed when it is served.
    pub flush_bytes: u64,
    /// All states are flushed when so many bytes of all logs are not in the database: bounds what a start replays, and what is kept in memory.
    pub flush_total_bytes: u64,
    /// No state stays behind its log for longer than this.
    pub flush_every: Duration,
}

impl Default for StateOptions {
    fn default() -> StateOptions {
        StateOptions { flush_bytes: 1 << 20, flush_total_bytes: 8 << 20, flush_every: Duration::from_secs(5) }
    }
}

/// Between two flushes, at least: each costs the disk as much as some hundred writes.
pub(crate) const FLUSH_PAUSE: Duration = Duration::from_millis(200);
/// How long after a flush that failed, or found all it wanted held, the next is tried.
pub(crate) const FLUSH_RETRY: Duration = Duration::from_millis(500);
/// Bytes of a log that go into the database in one step: bounds what is held in memory meanwhile.
pub(crate) const FOLD_BYTES_MAX: usize = 1 << 20;
/// Room that the database has before each step, in bytes: a step of [`FOLD_BYTES_MAX`] rewrites some pages of each row that it touches.
pub(crate) const STEP_ROOM_BYTES: u64 = 16 << 20;
/// Rows that are deleted in one step.
pub(crate) const DELETE_ROWS_MAX: usize = 512;

/// Flushed entries that stay in the log, so that a replica that is only slightly behind needs no snapshot.
pub(crate) const KEPT_ENTRIES: usize = 64;
/// And their bytes.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// Rows that a scan looks at in one piece.
pub(crate) const SCAN_PAGE_ROWS: usize = 64;

/// Snapshots that a node sends at once.
pub(crate) const SNAPSHOTS_IN_FLIGHT: usize = 2;
/// Snapshots that wait to be sent; the protocol asks again for what finds no room.
pub(crate) const SNAPSHOTS_WAITING_MAX: usize = 16 << 10;
/// Snapshots that arrive at once; more are refused, and come again.
pub(crate) const ARRIVALS_MAX: usize = 64;
/// Bytes of a snapshot that arrive before the database is made durable in between: at the end of a large one, everything at once would keep
/// the disk from the logs for seconds.
pub(crate) const ARRIVED_UNSYNCED_BYTES_MAX: usize = 8 << 20;
/// Bytes of rows in one part of a snapshot.
pub(crate) const SNAPSHOT_PART_BYTES: usize = 1 << 20;
/// How long the receiver of a part may take to have it in its database.
pub(crate) const SNAPSHOT_PART_WAIT: Duration = Duration::from_secs(30);

//! The state of shards: what their logs have written, durable and at hand.
//!
//! The logs are what counts; the state follows them. On the owner it is two layers: what is written, at once, in memory, and below it the
//! database, which holds committed entries only (rule 14). Followers have the database alone. A flush lets the database follow the logs, and
//! what it has made durable the logs give up.
//!
//! In reading order: [`limits`], `keys` and `meta` are what stands in the database, `blocking` how it is waited for, `generations` which copy of a shard's state is in use, `db`
//! the database, `opening` how it is opened; `ring`, `overlay` and `scan` what lies on top of it and reads both; `served` is the state of a shard that is served, `frozen` as it was at one
//! moment, `states` all of them, `replay` how one begins; `fold`, `unflushed` and `flusher` let the database follow, `flush_counts` counts it; `snapshot` takes a state elsewhere; `links` puts it
//! all together.

mod blocking;
mod db;
mod error;
mod flush_counts;
mod flusher;
mod fold;
mod frozen;
mod generations;
mod keys;
pub mod limits;
mod links;
mod meta;
#[cfg(test)]
mod model;
mod opening;
mod overlay;
mod replay;
mod ring;
mod scan;
mod served;
mod snapshot;
mod states;
mod unflushed;

pub use error::{NotWritten, StateError};
pub use flush_counts::FlushFigures;
pub use frozen::FrozenState;
pub use limits::StateOptions;
pub use scan::ScanLimit;
pub use served::ServedState;
pub use states::States;

pub(crate) use blocking::blocking;
pub(crate) use db::StateDb;
pub(crate) use flusher::StateNews;
pub(crate) use keys::Copy;
pub(crate) use links::{StateLinks, StateWorkers, link};
pub(crate) use opening::{OpenedState, open};
pub(crate) use replay::Opened;
pub(crate) use served::Submission;
pub(crate) use snapshot::{Arrivals, SnapshotRequest, SnapshotSender, SnapshotSource};
pub(crate) use unflushed::Unflushed;

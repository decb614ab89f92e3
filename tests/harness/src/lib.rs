//! Clusters of real node processes for tests, demo and measurements.
//!
//! It knows the command line, the HTTP contract and signals; it must never know how a node works inside.
//!
//! - [`cluster`]: start some nodes, kill them, ask them.
//! - [`process`]: one node's process and its log.
//! - [`http`]: the HTTP contract as plain data.
//! - [`witness`]: replies held against each other.
//! - [`load`]: counters under load, whose every answer is known.
//! - [`history`]: what clients were told, and whether one correct object can have said it.
//! - [`shared`]: objects that all clients write and read, judged by their histories.
//! - [`bank`]: money that is moved, and the books of it.
//! - [`random`]: chance from a seed.
//! - [`raw`]: bytes on a socket, for requests that no proper client sends.
//! - [`small_disk`]: a data directory's file system, to be filled.
//! - [`wait`]: waiting for conditions, with a deadline.
//! - [`network`]: addresses that nobody else uses.
//! - [`artefacts`]: where the binary and the guests are.

pub mod artefacts;
pub mod bank;
pub mod cluster;
pub mod history;
pub mod http;
pub mod load;
pub mod network;
pub mod process;
pub mod random;
pub mod raw;
pub mod small_disk;
pub mod shared;
pub mod wait;
pub mod witness;

pub use cluster::{Cluster, Options};
pub use http::{Http, Reply};
pub use wait::until;
pub use witness::Witness;

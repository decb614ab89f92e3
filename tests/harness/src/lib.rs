//! Clusters of real node processes for tests, demo and measurements.
//!
//! It knows the command line, the HTTP contract and signals; it must never know how a node works inside.
//!
//! - [`cluster`]: start some nodes, kill them, ask them.
//! - [`options`]: how a cluster is made.
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
//! - [`sickness`]: what befalls a cluster beyond signals, made of the following.
//! - [`namespaces`]: a network whose wires can be cut.
//! - [`outside`]: a name server and a web server, for what nodes reach beyond each other.
//! - [`mount`]: file systems of a node's own.
//! - [`power`]: all nodes cut off from their power at one instant.
//! - [`failing_sync`]: a node whose fdatasync fails.
//! - [`fullness`]: a disk that is filled and emptied again.
//! - [`wound`]: damage to the files of a node that does not run.
//! - `orphans`: what a harness left that was killed.
//! - [`means`]: what the machine offers of all this.
//! - [`tool`]: programs of the system.
//! - [`artefacts`]: where the binary and the guests are.

pub mod artefacts;
pub mod bank;
pub mod cluster;
pub mod failing_sync;
pub mod fullness;
pub mod history;
pub mod http;
pub mod load;
pub mod means;
pub mod mount;
pub mod namespaces;
pub mod network;
pub mod options;
mod orphans;
pub mod outside;
pub mod power;
pub mod process;
pub mod random;
pub mod raw;
pub mod shared;
pub mod sickness;
pub mod small_disk;
pub mod tool;
pub mod wait;
pub mod witness;
pub mod wound;

pub use cluster::{Cluster, Options};
pub use http::{Http, Reply};
pub use wait::until;
pub use witness::Witness;

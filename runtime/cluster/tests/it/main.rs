//! Real nodes in one process: real disks, QUIC over loopback; each node on a runtime of its own, so that it can be killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod failover;
mod levels;
#[allow(dead_code, reason = "the bench `fifty` uses more of it")]
mod many;
mod partition;
mod ports;
mod snapshots;
mod state;
mod taken_anew;
mod world;

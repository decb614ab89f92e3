//! The server over real sockets: several nodes' servers in one process, joined by a fabric of the tests, real guests, a real client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod calls;
mod client;
mod contract;
mod deploys;
mod events;
mod guests;
mod handover;
mod idempotency;
mod link;
mod settings;
mod shard_functions;
mod state;
mod streaming;
mod under_way;
mod versions;
mod views;
mod waiting;
mod web;
mod weigher;
mod world;

//! Peers over real loopback sockets.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod bounds;
mod certificates;
mod hostile;
mod joining;
mod orderly;
mod peers;
mod recovery;
mod rotation;
mod tls;

//! Nodes without HTTP and guests, several in one process.

mod partition;
#[allow(dead_code, reason = "the bench `fifty` uses more of it")]
mod world;

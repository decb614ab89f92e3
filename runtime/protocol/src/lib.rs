//! Owns the bytes that nodes exchange and keep in the control log; knows nothing of sockets, files, clocks or guests.
//!
//! In reading order: [`envelope`] is what every message starts with, [`digest`] names components, [`workload`] says what is deployed,
//! with [`key_from`] and [`grant`] in it, [`call`] is a call on its way, [`batch`] is what it writes, [`peer`] is everything that two servers say to each other,
//! [`shard_file`] is a shard's state in a backup.

pub mod batch;
pub mod call;
pub mod digest;
pub mod envelope;
pub mod grant;
pub mod key_from;
pub mod peer;
pub mod shard_file;
pub mod workload;

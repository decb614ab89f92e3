//! Runs Shardloom's protocol cores under every kind of misfortune and checks the promises: it must never know how the cores work.
//!
//! In reading order:
//! - [`rules`]: which rule of the protocol is left out, if any.
//! - [`random`]: all chance comes from one seed.
//! - [`cluster`]: whole clusters of cores with a fake network, fake disks and a fake control log, on seeded schedules.
//! - [`model`]: every schedule of one shard in small worlds.

pub mod cluster;
pub mod model;
pub mod random;
pub mod rules;

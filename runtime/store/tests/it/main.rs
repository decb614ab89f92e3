//! The store, on real files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_dir;
mod db;
mod disk_full;
mod model;
mod space;
mod tail;
mod wal;
mod world;

//! The store, on real files.

mod data_dir;
mod db;
mod disk_full;
mod model;
mod space;
mod tail;
mod wal;
mod world;

//! The pure core from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

mod leader_plans;
mod leader_quarantine;
mod leader_space;
mod map_bytes;
mod map_codec;
mod map_kept_out;
mod map_keys;
mod map_plan;
mod map_route;
mod map_table;
mod map_world;

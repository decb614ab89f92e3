//! The pure core from outside.

mod map_bytes;
mod map_codec;
mod map_keys;
mod map_plan;
mod map_route;
mod map_table;
mod map_world;

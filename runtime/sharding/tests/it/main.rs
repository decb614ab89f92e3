//! The pure core from outside.

mod map_codec;
mod map_plan;
mod map_world;

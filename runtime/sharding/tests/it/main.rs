//! The pure core from outside.

mod map_codec;

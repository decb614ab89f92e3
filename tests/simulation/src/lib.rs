//! Shardloom's tests: simulation.

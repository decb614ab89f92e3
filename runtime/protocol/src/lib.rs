//! The bytes on the wire between nodes: what is said, and in which format version.
//!
//! This crate is pure: it knows neither sockets nor time. Read in this order:
//! - [`envelope`]: the four bytes that every message starts with, and how bodies are encoded.

pub mod envelope;

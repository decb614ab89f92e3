//! What the compiler does not check and this repository promises, as checks over its tracked files.
//!
//! It knows text and manifests only; it must never depend on a crate of the product. Each check returns what is wrong,
//! one line each, and has a test that shows it failing.
//!
//! - [`tree`]: the files.
//! - [`layers`]: which crate may name which.
//! - [`cycles`]: modules that need each other.
//! - [`files`]: what every source file owes its reader.
//! - [`places`]: traces of the machine that a text was written on.

pub mod cycles;
pub mod files;
pub mod layers;
pub mod places;
pub mod tree;

pub use tree::Tree;

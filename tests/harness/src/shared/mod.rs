//! Objects that all clients share, written and read while something happens to the nodes, and judged by their histories.
//!
//! - [`subject`]: how a guest is asked for what its model knows, and how its answers are read.
//! - [`attempt`]: one attempt at a call, and what is known after it.
//! - [`load`]: the clients.
//! - [`record`]: what they have seen, and the verdict.

pub mod attempt;
pub mod load;
pub mod record;
pub mod subject;

pub use load::SharedLoad;
pub use record::Record;

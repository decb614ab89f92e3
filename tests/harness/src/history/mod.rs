//! What clients asked and were told, and whether an order of it exists that one correct object would have given.
//!
//! - [`model`]: what an object is, and one operation on it as a client saw it.
//! - [`register`], [`append_list`], [`counter`]: the three objects.
//! - [`mod@linearize`]: the search for an order of one key's operations.
//! - [`keyed`]: operations by key, each key judged for itself.

pub mod append_list;
pub mod counter;
pub mod keyed;
pub mod linearize;
pub mod model;
pub mod register;

pub use append_list::AppendList;
pub use counter::Counter;
pub use keyed::History;
pub use linearize::{Refuted, linearize};
pub use model::{Model, Operation};
pub use register::Register;

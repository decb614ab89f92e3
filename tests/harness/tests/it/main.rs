//! The harness itself: it must find what is wrong, and nothing else.

mod agree;
mod made;
mod right;
mod wrong;

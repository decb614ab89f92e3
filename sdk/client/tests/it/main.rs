//! The client against nodes of the test's own, over real sockets.
//!
//! In reading order: [`node`] is such a node; [`routing`] is about whom the client asks, [`repeats`] about what it sends again.

mod node;
mod repeats;
mod routing;

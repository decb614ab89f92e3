//! How a server comes to its end: step by step, and told apart.

use tokio_util::sync::CancellationToken;

/// The ways to an end.
#[derive(Debug, Clone, Default)]
pub struct Endings {
    /// From now on, each reply asks its client to leave.
    pub leave: CancellationToken,
    /// From now on, nobody is accepted, and idle connections are closed.
    pub close: CancellationToken,
    /// The last connection has ended.
    pub done: CancellationToken,
}

//! What lies between two nodes.

/// How a node is connected to its peers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Nothing gets out to it.
    Cut,
    /// Requests arrive, replies do not.
    RepliesLost,
    /// Requests arrive, replies never come.
    Mute,
}

//! What a proposal sets anew for one shard.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ids::{Epoch, NodeId, Replica, ShardId};

/// The replicas of one shard; three are inline, as that is what most clusters keep.
pub type Replicas = SmallVec<[Replica; 3]>;

/// One shard's new owner and replicas, and the committed epoch that they build on.
///
/// A proposal is a list of changes, at most one for each shard. Its own epoch is the control-log index at which it stands,
/// so it is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// The shard.
    pub shard: ShardId,
    /// The committed epoch that the change builds on; where another one is committed, the change is void.
    pub base: Epoch,
    /// The node that is to own the shard; it has one of the replicas.
    pub owner: NodeId,
    /// The replicas that the shard is to have, on distinct nodes.
    pub replicas: Replicas,
}

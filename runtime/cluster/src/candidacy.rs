//! A node that was taken anew neither votes nor stands for election until it has applied the entry by which it was.
//!
//! It has forgotten what it had acknowledged and for whom it had voted. The control group has let it go; but a voter that was away may know of that as
//! little as the node itself, and together they would elect a leader without entries that are committed. Nor may it stand: its log is made again from the
//! beginning, or from a snapshot, and passes through memberships in which it still voted, perhaps alone, and a sole voter elects itself at once. That entry
//! (`UpdateMember` with its new disk) is written only after the control group has let the node go: whoever has it has whatever the node had acknowledged,
//! and whatever membership the node knows from there on is one that it was given since.
//!
//! A leader from before, who does not know yet that it leads no more, is refused by the vote of the leader that took the node anew, which the node
//! takes over before it answers anybody.

use std::sync::Arc;

use shardloom_sharding::ids::{DiskId, NodeId};

use crate::ClusterError;
use crate::franchise::Franchise;
use crate::identity::SharedIdentity;
use crate::raft::{Applied, Raft};
use crate::state::blocking;

/// Keeps a node that was taken anew out of elections for as long as it must.
pub struct Candidacy {
    me: NodeId,
    awaited: DiskId,
    disk: DiskId,
    raft: Raft,
    applied: Arc<Applied>,
    identity: SharedIdentity,
    franchise: Arc<Franchise>,
}

impl Candidacy {
    /// That of node `me`, which was taken anew with the disk `awaited` and has `disk` now; `raft` was started without elections.
    pub fn new(
        me: NodeId,
        (awaited, disk): (DiskId, DiskId),
        raft: Raft,
        applied: Arc<Applied>,
        identity: SharedIdentity,
        franchise: Arc<Franchise>,
    ) -> Candidacy {
        Candidacy { me, awaited, disk, raft, applied, identity, franchise }
    }

    /// Waits until the node may vote and stand, and lets it.
    ///
    /// # Errors
    ///
    /// The disk fails.
    ///
    /// # Cancel safety
    ///
    /// As a crash: the next start goes on where this one was.
    pub async fn run(self) -> Result<(), ClusterError> {
        let mut index = self.applied.index();
        tracing::info!(node = %self.me, "it was taken anew: it neither votes nor stands until it has read so in the control log");
        loop {
            index.borrow_and_update();
            if self.is_seen() {
                break;
            }
            if index.changed().await.is_err() {
                return Ok(());
            }
        }
        self.franchise.give();
        self.raft.runtime_config().elect(true);
        tracing::info!(node = %self.me, "it votes and stands again");
        let identity = self.identity.clone();
        match blocking(move || identity.lock().forget_taken_anew()).await {
            // Then the next start waits for the same entry, and finds it.
            Err(ClusterError::Db(error)) if error.is_no_room() => Ok(()),
            forgotten => forgotten,
        }
    }

    /// A disk that came after the awaited one is written down after it, too.
    fn is_seen(&self) -> bool {
        let applied = self.applied.read();
        let member = applied.control.as_ref().and_then(|state| state.members.get(&self.me));
        member.is_some_and(|member| [self.awaited, self.disk].contains(&member.disk))
    }
}

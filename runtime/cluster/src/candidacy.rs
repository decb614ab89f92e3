//! A node that was taken anew stands for no election until it has applied the entry by which it was.
//!
//! Its log is made again from the beginning, or from a snapshot, and passes through memberships in which it still voted, perhaps alone: a sole voter elects
//! itself at once, and would then write other entries where the cluster has committed some. That entry (`UpdateMember` with its new disk) is written only
//! after the control group has let the node go; so whatever membership the node knows from there on is one that it was given since.

use std::sync::Arc;

use shardloom_sharding::ids::{DiskId, NodeId};

use crate::ClusterError;
use crate::identity::SharedIdentity;
use crate::raft::{Applied, Raft};
use crate::state::blocking;

/// Keeps a node that was taken anew from standing for election for as long as it must.
pub struct Candidacy {
    me: NodeId,
    disk: DiskId,
    raft: Raft,
    applied: Arc<Applied>,
    identity: SharedIdentity,
}

impl Candidacy {
    /// That of node `me`, which was taken anew with `disk`; `raft` was started without elections.
    pub fn new(
        me: NodeId,
        disk: DiskId,
        raft: Raft,
        applied: Arc<Applied>,
        identity: SharedIdentity,
    ) -> Candidacy {
        Candidacy { me, disk, raft, applied, identity }
    }

    /// Waits until the node may stand for election, and lets it.
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
        loop {
            index.borrow_and_update();
            if self.is_seen() {
                break;
            }
            if index.changed().await.is_err() {
                return Ok(());
            }
        }
        self.raft.runtime_config().elect(true);
        let identity = self.identity.clone();
        match blocking(move || identity.lock().forget_taken_anew()).await {
            // Then the next start waits for the same entry, and finds it.
            Err(ClusterError::Db(error)) if error.is_no_room() => Ok(()),
            forgotten => forgotten,
        }
    }

    fn is_seen(&self) -> bool {
        let applied = self.applied.read();
        let member = applied.control.as_ref().and_then(|state| state.members.get(&self.me));
        member.is_some_and(|member| member.disk == self.disk)
    }
}

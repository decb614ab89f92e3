//! The control group of this node: from the log and the snapshot on its disk to a state that it has applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::Vote;
use openraft::storage::RaftLogStorage;
use shardloom_sharding::ids::NodeId;
use shardloom_store::Wal;
use tokio::sync::mpsc;

use super::ClusterOptions;
use crate::ClusterError;
use crate::boots::Boots;
use crate::builds::Builds;
use crate::formats::{FormatMark, Outdated};
use crate::franchise::Franchise;
use crate::peers::Peers;
use crate::raft::{
    Applied, AppliedEvent, HeartbeatLedger, LogStore, Network, Raft, SnapshotStore, StateMachine,
};
use crate::writer::Writer;

/// Batches of applied entries that wait for the shell at most; a slow shell slows the state machine down.
const EVENTS_MAX: usize = 256;

/// The control group of this node, running.
pub(super) struct Group {
    pub(super) raft: Raft,
    pub(super) applied: Arc<Applied>,
    pub(super) events: mpsc::Receiver<AppliedEvent>,
    pub(super) peers: Arc<Peers>,
    pub(super) ledger: Arc<HeartbeatLedger>,
    pub(super) boots: Arc<Boots>,
    pub(super) builds: Arc<Builds>,
    pub(super) outdated: Arc<Outdated>,
}

impl Group {
    pub(super) fn writer(&self) -> Writer {
        Writer::new(self.raft.clone(), self.peers.clone(), self.applied.clone(), self.builds.clone())
    }
}

/// Starts the control group of this node.
///
/// # Errors
///
/// What is on the disk is damaged or of a newer build.
pub(super) async fn start_group(
    options: &ClusterOptions,
    node: NodeId,
    wal: &Wal,
    (snapshots, mark): (&Arc<SnapshotStore>, FormatMark),
    peers: Arc<Peers>,
    franchise: &Franchise,
) -> Result<Group, ClusterError> {
    let raft_error = |error: &dyn std::fmt::Display| ClusterError::Raft { reason: error.to_string() };
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let outdated = Arc::new(Outdated::default());
    let machine = StateMachine::open(snapshots.clone(), sender, mark, outdated.clone())?;
    let applied = machine.applied();
    let ledger = Arc::new(HeartbeatLedger::default());
    let network = Network::new(peers.clone(), ledger.clone());
    let mut config = options.raft.config().map_err(|error| raft_error(&error))?;
    config.enable_elect = franchise.is_held();
    let log = LogStore::new(wal.clone(), outdated.clone());
    let raft = Raft::new(node, Arc::new(config), network, log, machine).await;
    let raft =
        raft.map_err(|error| outdated.found().map_or_else(|| raft_error(&error), ClusterError::Newer))?;
    let boots = Arc::new(Boots::new(options.timing.lease));
    let builds = Arc::new(Builds::new(peers.clone(), applied.clone(), boots.clone()));
    Ok(Group { raft, applied, events, peers, ledger, boots, builds, outdated })
}

/// Makes a node that was taken anew, and has forgotten for whom it had voted, follow the leader that took it; durable when this returns.
///
/// # Errors
///
/// The disk fails.
pub(super) async fn follow(wal: &Wal, vote: Vote<NodeId>) -> Result<(), ClusterError> {
    let mut log = LogStore::new(wal.clone(), Arc::default());
    let failed = |error: openraft::StorageError<NodeId>| ClusterError::Raft { reason: error.to_string() };
    let known = log.read_vote().await.map_err(failed)?;
    if known.is_none_or(|known| known < vote) {
        log.save_vote(&vote).await.map_err(failed)?;
    }
    Ok(())
}

/// Waits until the control log has told this node what its cluster is; a newcomer may have to be added by an operator first.
///
/// # Errors
///
/// This build is too old for it.
pub(super) async fn wait_for_state(
    group: &mut Group,
    peers: &Peers,
    node: NodeId,
) -> Result<u32, ClusterError> {
    let mut told = false;
    loop {
        {
            let applied = group.applied.read();
            if let Some(state) = &applied.control {
                let places = state.members.values();
                let places: BTreeMap<NodeId, String> =
                    places.map(|m| (m.node, m.addresses.peer.clone())).collect();
                drop(applied);
                peers.set_members(&places);
                let applied = group.applied.read();
                if let Some(state) = &applied.control {
                    return Ok(state.founding.shard_count);
                }
            }
        }
        if !told {
            tracing::info!(%node, "waiting for the control log; with --join-policy manual an operator runs `shardloom node add {node}`");
            told = true;
        }
        // The state machine tells of every batch that it applies; none is lost, since the shell begins with the whole state.
        let told = tokio::select! {
            event = group.events.recv() => event,
            newer = group.outdated.wait() => return Err(newer.into()),
        };
        if told.is_none() {
            return Err(group.outdated.wait().await.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use shardloom_store::WalOptions;

    use super::*;

    #[tokio::test]
    async fn a_node_that_was_taken_anew_follows_its_leader_and_never_goes_back_to_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(dir.path(), WalOptions::default()).unwrap();
        let (leader, earlier) = (Vote::new_committed(3, NodeId(7)), Vote::new_committed(2, NodeId(8)));
        for vote in [leader, earlier] {
            follow(&wal, vote).await.unwrap();
            let known = LogStore::new(wal.clone(), Arc::default()).read_vote().await.unwrap();
            assert_eq!(known, Some(leader));
        }
        wal.close().unwrap();
    }
}

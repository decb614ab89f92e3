//! Makes a node whose process is stopped the only voter of the control group: the way back when a majority of the voters is lost for good.
//!
//! What the node's own log says is kept to its end, committed or not; what only the lost voters had is gone. They may have numbered entries
//! that nobody is left to know of, and numbers of proposals are epochs, which must never come twice. So the log goes on far beyond
//! where it ends: the state becomes a snapshot that stands there, and nothing is left of the log before it. Nodes that come back later find
//! a newer term and log, take the snapshot over, and vote again once they have followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use openraft::storage::RaftLogStorage;
use openraft::{
    CommittedLeaderId, EmptyNode, Membership, RaftLogReader, StorageError, StoredMembership, Vote,
};
use shardloom_sharding::ids::NodeId;
use shardloom_store::{DataDir, DataDirError, Db, DiskSpace, SpaceMarks, Wal, WalOptions};

use super::applied::AppliedState;
use super::config::LogId;
use super::log_store::LogStore;
use super::snapshots::SnapshotStore;
use super::state_machine::StateMachine;
use crate::ClusterError;
use crate::formats::{FormatMark, Outdated};
use crate::identity::{IdentityStore, Logs};

/// By how much the log goes on beyond its end: more entries than any cluster has written while one of its nodes was away.
const INDEX_GAP: u64 = 1 << 24;
/// By how much the term goes on: more elections than there were meanwhile.
const TERM_GAP: u64 = 1 << 16;

/// A node whose process is stopped, as the control group's last one.
pub struct StoppedNode {
    _dir: DataDir,
    wal: Wal,
    snapshots: SnapshotStore,
    identity: IdentityStore,
    vote: u64,
    state: AppliedState,
}

/// What a stopped node knows of the control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSurvey {
    /// The node.
    pub node: NodeId,
    /// The term of the last entry of its control log.
    pub last_term: u64,
    /// Where that entry stands.
    pub last_index: u64,
    /// Who votes, by what it knows.
    pub voters: Vec<NodeId>,
    /// The members of the cluster, by what it knows.
    pub members: Vec<NodeId>,
}

fn storage(error: StorageError<NodeId>) -> ClusterError {
    ClusterError::Raft { reason: error.to_string() }
}

impl StoppedNode {
    /// Opens a data directory, and reads the control log to its end. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// It is none of a member, its process runs, or the disk fails.
    pub async fn open(data: &Path) -> Result<StoppedNode, ClusterError> {
        if !data.join("wal").is_dir() {
            return Err(ClusterError::Nowhere);
        }
        let dir = DataDir::open(data)?;
        FormatMark::open(data)?;
        let (wal, recovery) = Wal::open(&dir.join("wal"), WalOptions::default())?;
        let space = DiskSpace::open(data, SpaceMarks::default()).map_err(|source| DataDirError::Io {
            step: "see how full the disk is under",
            path: data.to_path_buf(),
            source,
        })?;
        let mut identity = IdentityStore::open(&dir, &space)?;
        if identity.start(recovery.disk, recovery.boot)? == Logs::Lost {
            return Err(ClusterError::LogsLost { why: "its control log is not the one that it had".into() });
        }
        let snapshots = SnapshotStore::new(Db::open(&dir.join("raft.db"), "raft")?, space)?;
        let mut state = snapshots.load()?.unwrap_or_default();
        let outdated = Arc::new(Outdated::default());
        let storage = |error| outdated.found().map_or_else(|| storage(error), ClusterError::Newer);
        let mut log = LogStore::new(wal.clone(), outdated.clone());
        let vote = log.read_vote().await.map_err(storage)?.map_or(0, |vote| vote.leader_id.term);
        let next = state.last.map_or(0, |last| last.index + 1);
        for entry in log.try_get_log_entries(next..).await.map_err(storage)? {
            StateMachine::apply_entry(&mut state, entry, &mut Vec::new());
        }
        if state.control.is_none() {
            return Err(ClusterError::Nowhere);
        }
        Ok(StoppedNode { _dir: dir, wal, snapshots, identity, vote, state })
    }

    /// What the node knows of the control group.
    pub fn survey(&self) -> ControlSurvey {
        let members = self.state.control.iter().flat_map(|control| control.members.keys().copied());
        ControlSurvey {
            node: self.identity.node(),
            last_term: self.state.last.map_or(0, |last| last.leader_id.term),
            last_index: self.state.last.map_or(0, |last| last.index),
            voters: self.state.membership.membership().voter_ids().collect(),
            members: members.collect(),
        }
    }

    /// Makes the node the only voter; says where its control log goes on. Done again after a crash in the middle, it goes on from there.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub async fn become_sole_voter(mut self) -> Result<u64, ClusterError> {
        let (last_term, last_index) =
            self.state.last.map_or((0, 0), |last| (last.leader_id.term, last.index));
        let node = self.identity.node();
        let term = self.vote.max(last_term) + TERM_GAP;
        let at = LogId::new(CommittedLeaderId::new(term, node), last_index + INDEX_GAP);
        let alone = BTreeSet::from([node]);
        let nodes: BTreeMap<NodeId, EmptyNode> = BTreeMap::from([(node, EmptyNode::default())]);
        self.state.last = Some(at);
        self.state.membership = StoredMembership::new(Some(at), Membership::new(vec![alone], nodes));
        // The snapshot first: without it the log would be gone. A snapshot beyond the log alone is a log with a gap, which is given up.
        self.snapshots.save(&SnapshotStore::encode(&self.state)?)?;
        let mut log = LogStore::new(self.wal.clone(), Arc::default());
        log.save_vote(&Vote::new(term, node)).await.map_err(storage)?;
        log.save_committed(Some(at)).await.map_err(storage)?;
        log.purge(at).await.map_err(storage)?;
        self.wal.submit(Vec::new()).await?.durable().await?;
        // Nobody is left who could tell it more, and it has been decided that what it knows is what counts.
        self.identity.forget_taken_anew()?;
        self.wal.close()?;
        Ok(at.index)
    }
}

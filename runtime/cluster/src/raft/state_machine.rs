//! The state machine of the control group: applies entries to the control state and tells the shells what changed.
//!
//! The state lives in memory. What makes it last is the log, and the newest snapshot: after a restart openraft applies the log from the
//! snapshot to the last index known to be committed.

use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    EmptyNode, EntryPayload, Membership, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError, StorageIOError, StoredMembership,
};
use shardloom_sharding::ids::{NodeId, ShardId, Term};
use tokio::sync::mpsc;

use super::applied::{Applied, AppliedEvent, AppliedState};
use super::config::{Entry, LogId, TypeConfig};
use super::snapshots::{SnapshotError, SnapshotStore};
use crate::control::{ControlReply, ControlState, Event, Outcome};
use crate::formats::{FormatMark, Outdated};

/// openraft's view of [`Applied`].
#[derive(Debug)]
pub struct StateMachine {
    applied: Arc<Applied>,
    snapshots: Arc<SnapshotStore>,
    events: mpsc::Sender<AppliedEvent>,
    mark: FormatMark,
    outdated: Arc<Outdated>,
}

impl StateMachine {
    /// Starts from the newest snapshot in `snapshots`, or from nothing. What is applied is told on `events`, which is bounded: a shell that
    /// cannot keep up slows the state machine down. The highest level of formats goes to `mark`, and what is of a newer build to `outdated`.
    ///
    /// # Errors
    ///
    /// The snapshot on disk is damaged or of a newer format.
    pub fn open(
        snapshots: Arc<SnapshotStore>,
        events: mpsc::Sender<AppliedEvent>,
        mark: FormatMark,
        outdated: Arc<Outdated>,
    ) -> Result<StateMachine, crate::ClusterError> {
        let state = snapshots.load()?.unwrap_or_default();
        mark.saw(state.level())?;
        Ok(StateMachine { applied: Arc::new(Applied::new(state)), snapshots, events, mark, outdated })
    }

    /// The shared state.
    pub fn applied(&self) -> Arc<Applied> {
        self.applied.clone()
    }

    pub(crate) fn apply_entry(
        state: &mut AppliedState,
        entry: Entry,
        changed: &mut Vec<ShardId>,
    ) -> ControlReply {
        let term = Term(entry.log_id.leader_id.term);
        let index = entry.log_id.index;
        state.last = Some(entry.log_id);
        let outcome = match entry.payload {
            // The first entry of a term.
            EntryPayload::Blank => {
                let leader = entry.log_id.leader_id.node_id;
                Self::note(state, index, Event::LeaderChanged { leader, term });
                Ok(Outcome::Done)
            }
            EntryPayload::Membership(membership) => {
                if let Some(voters) = changed_voters(state.membership.membership(), &membership) {
                    Self::note(state, index, Event::VotersChanged { voters });
                }
                state.membership = StoredMembership::new(Some(entry.log_id), membership);
                Ok(Outcome::Done)
            }
            EntryPayload::Normal(command) => {
                let (outcome, shards) = ControlState::apply(&mut state.control, index, term, command);
                changed.extend(shards);
                outcome
            }
        };
        ControlReply { index, outcome }
    }

    fn note(state: &mut AppliedState, index: u64, event: Event) {
        if let Some(control) = &mut state.control {
            control.tell(index, event);
        }
    }

    async fn tell(&self, event: AppliedEvent) {
        // The shell is gone only when the node is ending.
        let _ = self.events.send(event).await;
    }
}

/// Who votes, once a change of voters is complete: it passes through a time in which both the old and the new ones must agree.
fn changed_voters(
    before: &Membership<NodeId, EmptyNode>,
    now: &Membership<NodeId, EmptyNode>,
) -> Option<Vec<NodeId>> {
    let complete = now.get_joint_config().len() == 1;
    let others = before.get_joint_config() != now.get_joint_config();
    (complete && others).then(|| now.voter_ids().collect())
}

type Storage<T> = Result<T, StorageError<NodeId>>;

fn write_error(error: impl std::error::Error + 'static) -> StorageError<NodeId> {
    StorageIOError::write_snapshot(None, openraft::AnyError::new(&error)).into()
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Storage<(Option<LogId>, StoredMembership<NodeId, EmptyNode>)> {
        let state = self.applied.read();
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Storage<Vec<ControlReply>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut changed = Vec::new();
        let (replies, index, newest_proposal, level) = self.applied.write(|state| {
            let replies: Vec<ControlReply> =
                entries.into_iter().map(|entry| Self::apply_entry(state, entry, &mut changed)).collect();
            (replies, state.last.map_or(0, |id| id.index), state.newest_proposal(), state.level())
        });
        // Before anybody hears of it, so before anything of that level is written here for it.
        self.mark.saw(level).map_err(write_error)?;
        changed.sort_unstable();
        changed.dedup();
        self.tell(AppliedEvent { index, newest_proposal, changed, replaced: false }).await;
        self.applied.reached(index);
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { state: self.applied.read().clone(), snapshots: self.snapshots.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Storage<Box<Vec<u8>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, EmptyNode>,
        snapshot: Box<Vec<u8>>,
    ) -> Storage<()> {
        let mut state = SnapshotStore::decode(&snapshot).map_err(|error| {
            if let SnapshotError::Newer(newer) = &error {
                self.outdated.note(newer.clone());
            }
            write_error(error)
        })?;
        self.mark.saw(state.level()).map_err(write_error)?;
        state.membership = meta.last_membership.clone();
        self.snapshots.room(snapshot.len()).await.map_err(write_error)?;
        self.snapshots.save(&snapshot).map_err(write_error)?;
        let index = state.last.map_or(0, |id| id.index);
        let newest_proposal = state.newest_proposal();
        self.applied.replace(state);
        self.tell(AppliedEvent { index, newest_proposal, changed: Vec::new(), replaced: true }).await;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Storage<Option<Snapshot<TypeConfig>>> {
        let Some(bytes) = self.snapshots.read().map_err(write_error)? else { return Ok(None) };
        let state = SnapshotStore::decode(&bytes).map_err(write_error)?;
        Ok(Some(Snapshot { meta: meta_of(&state), snapshot: Box::new(bytes) }))
    }
}

/// Writes down a copy of the state while the original goes on.
#[derive(Debug)]
pub struct SnapshotBuilder {
    state: AppliedState,
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Storage<Snapshot<TypeConfig>> {
        let bytes = SnapshotStore::encode(&self.state).map_err(write_error)?;
        self.snapshots.room(bytes.len()).await.map_err(write_error)?;
        self.snapshots.save(&bytes).map_err(write_error)?;
        Ok(Snapshot { meta: meta_of(&self.state), snapshot: Box::new(bytes) })
    }
}

fn meta_of(state: &AppliedState) -> SnapshotMeta<NodeId, EmptyNode> {
    let at = state.last.map_or_else(|| "empty".into(), |id| format!("{}-{}", id.leader_id.term, id.index));
    SnapshotMeta { last_log_id: state.last, last_membership: state.membership.clone(), snapshot_id: at }
}

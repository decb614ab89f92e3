//! Puts the parts of the state together: what the shell has of them, and who works beside it.

use std::sync::Arc;

use shardloom_store::Wal;
use tokio::sync::mpsc;

use super::db::StateDb;
use super::flusher::{Flusher, StateNews};
use super::limits::{BATCHES_WAITING_MAX, NEWS_WAITING_MAX, REQUESTS_WAITING_MAX, StateOptions};
use super::opening::OpenedState;
use super::replay::Replay;
use super::served::Submission;
use super::snapshot::{Arrivals, Pace, SnapshotRequest};
use super::states::States;
use super::unflushed::Unflushed;
use crate::control::Settings;
use crate::log_entries::LogReader;

/// What the protocol's shell has to do with the states of shards.
pub(crate) struct StateLinks {
    /// Those that are served.
    pub(crate) states: Arc<States>,
    /// What is on the disk.
    pub(crate) db: Arc<StateDb>,
    /// What is not in the database yet.
    pub(crate) unflushed: Arc<Unflushed>,
    /// Makes states.
    pub(crate) replay: Replay,
    /// Batches of calls.
    pub(crate) batches: mpsc::Receiver<Submission>,
    /// Snapshots that somebody needs.
    pub(crate) snapshots: mpsc::Sender<SnapshotRequest>,
    /// What the flusher and arriving snapshots say.
    pub(crate) news: mpsc::Receiver<StateNews>,
    /// How fast snapshots may be sent.
    pub(crate) pace: Arc<Pace>,
    /// For who sends snapshots.
    pub(crate) tell: mpsc::Sender<StateNews>,
}

/// Who works beside the shell.
pub(crate) struct StateWorkers {
    /// Lets the database follow the logs.
    pub(crate) flusher: Flusher,
    /// Takes snapshots in.
    pub(crate) arrivals: Arrivals,
    /// For who sends snapshots.
    pub(crate) requests: mpsc::Receiver<SnapshotRequest>,
}

/// Links the state in `opened` with the shell to be.
pub(crate) fn link(wal: &Wal, opened: OpenedState, options: StateOptions) -> (StateLinks, StateWorkers) {
    let OpenedState { db, garbage, .. } = opened;
    let (db, states) = (Arc::new(db), Arc::new(States::default()));
    let unflushed = Arc::new(Unflushed::new(options));
    unflushed.delete(garbage);
    let (submit, batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let (tell, news) = mpsc::channel(NEWS_WAITING_MAX);
    let (snapshots, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
    let flusher = Flusher {
        db: db.clone(),
        wal: wal.clone(),
        states: states.clone(),
        unflushed: unflushed.clone(),
        news: tell.clone(),
    };
    let arrivals = Arrivals::new(db.clone(), wal.clone(), unflushed.clone(), tell.clone());
    let log = LogReader::new(wal.clone());
    let replay = Replay { db: db.clone(), log, unflushed: unflushed.clone(), submit };
    let pace = Arc::new(Pace::new(Settings::default().move_rate_bytes()));
    let links = StateLinks { states, db, unflushed, replay, batches, snapshots, news, pace, tell };
    (links, StateWorkers { flusher, arrivals, requests })
}

//! How long the cluster's changes take, as this node's view shows them: elections, hand-overs, reshardings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shardloom_cluster::leading::MovesNews;
use shardloom_sharding::ids::{ShardId, Term};
use shardloom_sharding::protocol::leader::MovesEnded;
use shardloom_store::DiskSpace;
use tokio::time::Instant;

use super::fabric::Fabric;
use super::metrics::{Metrics, MoveLabels};
use super::view::View;

/// Observes the view for as long as the node runs.
///
/// # Cancel safety
/// What has ended by then was observed.
pub async fn run(fabric: Arc<dyn Fabric>, metrics: Arc<Metrics>) {
    let mut changed = fabric.changed();
    let mut observer = Observer::default();
    loop {
        changed.borrow_and_update();
        observer.look(&fabric.view(), &metrics, Instant::now());
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// How often the figures of the disk are renewed: about as often as they are read.
const DISK_EVERY: Duration = Duration::from_secs(1);

/// Keeps the figures of the disk for as long as the node runs.
///
/// # Cancel safety
/// The figures stay what they were.
pub async fn watch_disk(space: DiskSpace, metrics: Arc<Metrics>) {
    let mut tick = tokio::time::interval(DISK_EVERY);
    loop {
        tick.tick().await;
        let report = space.report();
        metrics.disk_free_bytes.set(i64::try_from(report.free_bytes).unwrap_or(i64::MAX));
        metrics.disk_full.set(i64::from(report.full));
    }
}

#[derive(Default)]
struct Observer {
    leaderless_since: Option<Instant>,
    /// Shards that are not settled, since when, and whether they were this node's.
    unsettled: BTreeMap<ShardId, (Instant, bool)>,
    /// The moves that had ended when it last looked, and in which term that was counted.
    ended: (Term, MovesEnded),
}

impl Observer {
    fn look(&mut self, view: &View, metrics: &Metrics, now: Instant) {
        match (view.leader, self.leaderless_since) {
            (None, None) => self.leaderless_since = Some(now),
            (Some(_), Some(since)) => {
                metrics.elections.observe(now.duration_since(since).as_secs_f64());
                self.leaderless_since = None;
            }
            _ => {}
        }
        for shard in view.unsettled.keys() {
            let mine = view.map.owner(*shard) == Some(view.this_node);
            self.unsettled.entry(*shard).or_insert((now, mine));
        }
        let leads = view.leader == Some(view.this_node);
        self.look_at_moves(view, metrics, leads);
        self.unsettled.retain(|shard, (since, mine)| {
            if view.unsettled.contains_key(shard) {
                return true;
            }
            let seconds = now.duration_since(*since).as_secs_f64();
            if leads {
                metrics.reshards.observe(seconds);
            }
            if *mine && view.map.owner(*shard) != Some(view.this_node) {
                metrics.handovers.observe(seconds);
            }
            false
        });
    }

    fn look_at_moves(&mut self, view: &View, metrics: &Metrics, leads: bool) {
        let nothing = MovesNews::default();
        let moves = if leads { &*view.moves } else { &nothing };
        metrics.moves.in_flight.set(i64::from(moves.in_flight));
        metrics.moves.waiting.set(i64::from(moves.waiting));
        metrics.moves.bytes_to_go.set(i64::try_from(moves.bytes_to_go).unwrap_or(i64::MAX));
        let before = if self.ended.0 == view.term { self.ended.1 } else { MovesEnded::default() };
        let now = moves.ended;
        for (outcome, count, before) in [
            ("done", now.done, before.done),
            ("stalled", now.stalled, before.stalled),
            ("lost", now.lost, before.lost),
            ("replaced", now.replaced, before.replaced),
        ] {
            let labels = MoveLabels { outcome };
            metrics.moves.ended.get_or_create(&labels).inc_by(count.saturating_sub(before));
        }
        self.ended = (view.term, now);
    }
}

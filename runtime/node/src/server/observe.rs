//! How long the cluster's changes take, as this node's view shows them: elections, hand-overs, reshardings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shardloom_cluster::leading::MovesNews;
use shardloom_sharding::ids::{ShardId, Term};
use shardloom_sharding::protocol::leader::Tally;
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
        observer.look(&*fabric, &metrics, Instant::now());
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
    /// Shards that are not settled, and since when.
    unsettled: BTreeMap<ShardId, Instant>,
    /// Shards that another owns, or has owned, and this node is to serve; and since when.
    coming: BTreeMap<ShardId, Instant>,
    /// What this node had counted as the leader when it last looked, and in which term.
    counted: (Term, Arc<Tally>),
}

impl Observer {
    fn look(&mut self, fabric: &dyn Fabric, metrics: &Metrics, now: Instant) {
        let view = &*fabric.view();
        match (view.leader, self.leaderless_since) {
            (None, None) => self.leaderless_since = Some(now),
            (Some(_), Some(since)) => {
                metrics.elections.observe(now.duration_since(since).as_secs_f64());
                self.leaderless_since = None;
            }
            _ => {}
        }
        let leads = view.leader == Some(view.this_node);
        look_at_moves(view, metrics, leads);
        self.look_at_tally(view, metrics);
        metrics.shards_unowned.set(unowned(view));
        for shard in view.unsettled.keys() {
            self.unsettled.entry(*shard).or_insert(now);
        }
        self.unsettled.retain(|shard, since| {
            let unsettled = view.unsettled.contains_key(shard);
            if leads && !unsettled {
                metrics.reshards.observe(now.duration_since(*since).as_secs_f64());
            }
            unsettled
        });
        self.look_at_handovers(fabric, view, metrics, now);
    }

    fn look_at_handovers(&mut self, fabric: &dyn Fabric, view: &View, metrics: &Metrics, now: Instant) {
        for shard in view.to_come.iter() {
            self.coming.entry(*shard).or_insert(now);
        }
        self.coming.retain(|shard, since| {
            if view.to_come.contains(shard) {
                return true;
            }
            if view.map.owner(*shard) != Some(view.this_node) {
                return false;
            }
            let serves = fabric.enter(*shard).is_ok();
            if serves {
                metrics.handovers.observe(now.duration_since(*since).as_secs_f64());
            }
            !serves
        });
    }

    fn look_at_tally(&mut self, view: &View, metrics: &Metrics) {
        let (term, tally) = &view.tally;
        if self.counted.0 != *term {
            self.counted = (*term, Arc::default());
        }
        for (end, reason, count) in tally.counts() {
            let labels = MoveLabels { outcome: end.name(), reason };
            let before = self.counted.1.of(end, reason);
            metrics.moves.ended.get_or_create(&labels).inc_by(count.saturating_sub(before));
        }
        self.counted.1 = Arc::clone(tally);
    }
}

fn look_at_moves(view: &View, metrics: &Metrics, leads: bool) {
    let nothing = MovesNews::default();
    let moves = if leads { &*view.moves } else { &nothing };
    metrics.moves.in_flight.set(i64::from(moves.in_flight));
    metrics.moves.waiting.set(i64::from(moves.waiting));
    metrics.moves.bytes_to_go.set(i64::try_from(moves.bytes_to_go).unwrap_or(i64::MAX));
}

/// How many shards no live node serves, as far as this node knows: nobody owns them, their owner does not answer, or they are on their way to another.
fn unowned(view: &View) -> i64 {
    let served = |shard: &ShardId| {
        let owner = view.map.owner(*shard);
        let lives = owner.is_some_and(|owner| match owner == view.this_node {
            true => view.lease_live,
            false => view.is_live(owner),
        });
        lives && !view.unsettled.contains_key(shard)
    };
    view.map.shards().filter(|shard| !served(shard)).count() as i64
}

//! What Prometheus reads: how long calls take, how full the queues are, how long elections and hand-overs last.

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the call histogram's buckets, in seconds: a warm call takes microseconds, a hand-over about a second.
const CALL_BUCKETS_S: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the buckets of elections, hand-overs and reshardings, in seconds: tens of milliseconds to seconds.
const CHANGE_BUCKETS_S: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0];

/// Which calls a series counts. Only deployed workloads get a series: callers cannot make any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The workload's name.
    pub workload: String,
    /// `ok`, or the code of the error.
    pub outcome: &'static str,
}

/// All the node's metrics. Everything in it is cheap to clone and may be observed from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Time from taking a call to its answer, by workload and outcome, on the node that the client spoke to.
    pub calls: Family<CallLabels, Histogram, fn() -> Histogram>,
    /// Calls that this node has taken and not answered.
    pub calls_in_flight: Gauge,
    /// Calls that wait here for their shard to be served.
    pub calls_waiting: Gauge,
    /// Calls that have had to wait here for their shard.
    pub calls_waited: Counter,
    /// Calls sent on to their shard's owner.
    pub calls_forwarded: Counter,
    /// Calls in the queues of this node's shard tasks.
    pub queue_depth: Gauge,
    /// Warm guest instances.
    pub instances: Gauge,
    /// Instances made since the start.
    pub instances_made: Counter,
    /// Instances evicted because there were too many.
    pub instances_evicted: Counter,
    /// Instances that were let go of since their memory had grown.
    pub instances_recycled: Counter,
    /// Open HTTP connections.
    pub connections: Gauge,
    /// Bytes free under the data directory.
    pub disk_free_bytes: Gauge,
    /// 1 while the disk counts as full.
    pub disk_full: Gauge,
    /// From losing a leader to having one.
    pub elections: Histogram,
    /// Shards that no live node serves, as this node knows.
    pub shards_unowned: Gauge,
    /// From a proposal that gives this node a shard of another to serving it.
    pub handovers: Histogram,
    /// From a proposal to its commit, as the leader sees it.
    pub reshards: Histogram,
    /// How data moves, on the node that leads.
    pub moves: MoveMetrics,
}

/// How a move ended, and why it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MoveLabels {
    /// `done`, `stalled`, `lost` or `replaced`.
    pub outcome: &'static str,
    /// The name of the planner's reason, or `stuck` where an owner could not go on.
    pub reason: &'static str,
}

/// How data moves by plan.
#[derive(Debug, Clone, Default)]
pub struct MoveMetrics {
    /// Moves under way.
    pub in_flight: Gauge,
    /// Moves that wait for room.
    pub waiting: Gauge,
    /// Bytes that those under way still have to take in.
    pub bytes_to_go: Gauge,
    /// Shards that were moved, or were to be, by outcome and reason; those of nodes that died among them.
    pub ended: Family<MoveLabels, Counter>,
}

impl MoveMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("moves_in_flight", "Planned moves under way", self.in_flight.clone());
        registry.register("moves_waiting", "Planned moves that wait for room", self.waiting.clone());
        let to_go = "Bytes that moves under way still have to send";
        registry.register_with_unit("moves_to_go", to_go, Unit::Bytes, self.bytes_to_go.clone());
        registry.register("moves", "Moves of shards that have ended", self.ended.clone());
    }
}

impl Metrics {
    /// Makes all metrics, at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("shardloom");
        let metrics = Metrics {
            calls: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS_S)),
            calls_in_flight: Gauge::default(),
            calls_waiting: Gauge::default(),
            calls_waited: Counter::default(),
            calls_forwarded: Counter::default(),
            queue_depth: Gauge::default(),
            instances: Gauge::default(),
            instances_made: Counter::default(),
            instances_evicted: Counter::default(),
            instances_recycled: Counter::default(),
            connections: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            disk_full: Gauge::default(),
            elections: Histogram::new(CHANGE_BUCKETS_S),
            shards_unowned: Gauge::default(),
            handovers: Histogram::new(CHANGE_BUCKETS_S),
            reshards: Histogram::new(CHANGE_BUCKETS_S),
            moves: MoveMetrics::default(),
            registry: Registry::default(),
        };
        let seconds = Unit::Seconds;
        registry.register_with_unit("call", "Time to answer a call", seconds.clone(), metrics.calls.clone());
        registry.register("calls_in_flight", "Calls taken and not answered", metrics.calls_in_flight.clone());
        registry.register("calls_waiting", "Calls that wait for their shard", metrics.calls_waiting.clone());
        registry.register("calls_waited", "Calls that had to wait", metrics.calls_waited.clone());
        registry.register("calls_forwarded", "Calls sent on to the owner", metrics.calls_forwarded.clone());
        registry.register("queue_depth", "Calls queued at shard tasks", metrics.queue_depth.clone());
        registry.register("instances", "Warm guest instances", metrics.instances.clone());
        registry.register("instances_made", "Guest instances made", metrics.instances_made.clone());
        registry.register("instances_evicted", "Guest instances evicted", metrics.instances_evicted.clone());
        let recycled = "Guest instances let go of since their memory had grown";
        registry.register("instances_recycled", recycled, metrics.instances_recycled.clone());
        registry.register("connections", "Open HTTP connections", metrics.connections.clone());
        registry.register(
            "disk_free_bytes",
            "Bytes free under the data directory",
            metrics.disk_free_bytes.clone(),
        );
        registry.register("disk_full", "1 while the disk counts as full", metrics.disk_full.clone());
        let unowned = "Shards that no live node serves, as this node knows";
        registry.register("shards_unowned", unowned, metrics.shards_unowned.clone());
        for (name, help, histogram) in [
            ("election", "Time without a leader", &metrics.elections),
            (
                "handover",
                "Time from a proposal that gives this node another's shard to serving it",
                &metrics.handovers,
            ),
            ("reshard", "Time from a proposal to its commit", &metrics.reshards),
        ] {
            registry.register_with_unit(name, help, seconds.clone(), histogram.clone());
        }
        metrics.moves.register(&mut registry);
        Metrics { registry, ..metrics }
    }

    /// Lets other parts of the node add their own metrics before the server starts.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Notes one answered call.
    pub fn observe_call(&self, workload: &str, outcome: &'static str, took: Duration) {
        let labels = CallLabels { workload: workload.to_owned(), outcome };
        self.calls.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything in the text format that Prometheus reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
            let _ = writeln!(text, "# the metrics could not be encoded");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observed_call_shows_with_its_workload_and_outcome() {
        let metrics = Metrics::new();
        metrics.observe_call("w", "ok", Duration::from_millis(2));
        let text = metrics.to_text();
        assert!(
            text.contains(r#"shardloom_call_seconds_bucket{le="0.0025",workload="w",outcome="ok"} 1"#),
            "{text}"
        );
        assert!(text.contains("shardloom_election_seconds_count 0"), "{text}");
    }
}

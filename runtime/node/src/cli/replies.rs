//! What nodes answer, as far as tables show it. Fields that a node of another version leaves out stay empty.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use shardloom_protocol::workload::HttpSpec;

use super::certificate_replies::RotationReply;

/// `GET /v1/status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusReply {
    /// The cluster's id.
    pub(super) cluster_id: String,
    /// The newest epoch.
    pub(super) epoch: u64,
    /// The leader's term.
    pub(super) term: u64,
    /// The node that leads.
    pub(super) leader: Option<String>,
    /// How long ago the node that answered last saw somebody begin to lead.
    pub(super) last_election_seconds_ago: Option<u64>,
    /// The version of the node that answered.
    pub(super) version: String,
    /// The level of formats; none where an older node answers.
    pub(super) formats: Option<FormatsReply>,
    /// How many shards there are.
    pub(super) shard_count: u32,
    /// How many replicas a shard should have.
    pub(super) replicas: u32,
    /// How many the nodes that there are allow.
    pub(super) replicas_possible: Option<u32>,
    /// Whether shards move by themselves to level the load.
    pub(super) levelling: String,
    /// How data moves.
    pub(super) moves: MovesReply,
    /// The rotation of the nodes' certificates that is under way.
    pub(super) certificate_rotation: Option<RotationReply>,
    /// All members.
    pub(super) nodes: Vec<NodeReply>,
    /// How the shards fare.
    pub(super) shards: ShardTotals,
    /// How many workloads are deployed.
    pub(super) workloads: u64,
    /// The versions that run on some shards only.
    pub(super) canaries: Vec<StatusCanaryReply>,
    /// What an administrator should know.
    pub(super) warnings: Vec<String>,
}

/// A version that runs on some shards only.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusCanaryReply {
    /// Whose it is.
    pub(super) workload: String,
    /// The version.
    pub(super) version: u64,
    /// The share that was asked for.
    pub(super) share: String,
}

/// The level of formats.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FormatsReply {
    /// The one that the cluster is at.
    pub(super) level: u32,
    /// The one that the build of the node that answered reads.
    pub(super) readable: u32,
    /// Whom that one waits for, in words.
    pub(super) waits_for: Vec<String>,
}

/// The build of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BuildReply {
    /// Its version, where it says.
    pub(super) version: Option<String>,
    /// The level of formats that it reads.
    pub(super) formats: u32,
}

/// How the shards fare.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ShardTotals {
    /// All.
    pub(super) total: u64,
    /// Those with an owner that serves.
    pub(super) served: u64,
    /// Those that cannot be served.
    pub(super) unavailable: u64,
}

/// How data moves.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MovesReply {
    /// Moves under way.
    pub(super) in_flight: u64,
    /// Moves that wait for room.
    pub(super) waiting: u64,
    /// Some of those under way.
    pub(super) list: Vec<MoveReply>,
}

/// One move.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MoveReply {
    /// The shard.
    pub(super) shard: u32,
    /// Who owns it now.
    pub(super) from: String,
    /// Who is to own it.
    pub(super) to: String,
    /// Who is to hold it beside those who do.
    pub(super) gains: Vec<String>,
    /// Who is to hold it no longer.
    pub(super) loses: Vec<String>,
    /// Why, in words.
    pub(super) why: String,
    /// What is being done.
    pub(super) state: String,
    /// Bytes sent so far.
    pub(super) sent_bytes: u64,
    /// Bytes to send in all.
    pub(super) whole_bytes: u64,
    /// How long it will still take.
    pub(super) seconds_left: Option<f64>,
}

/// One member.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeReply {
    /// Its id.
    pub(super) id: String,
    /// Whether it lives.
    pub(super) state: String,
    /// Its part in the control group.
    pub(super) role: String,
    /// Where clients reach it.
    pub(super) http: String,
    /// Where nodes reach it.
    pub(super) peer: String,
    /// Its failure zone.
    pub(super) zone: String,
    /// How much it can carry.
    pub(super) capacity: u64,
    /// What it says of itself besides.
    pub(super) labels: BTreeMap<String, String>,
    /// Its build, where it is known.
    pub(super) build: Option<BuildReply>,
    /// How many shards it owns.
    pub(super) shards_owned: u64,
    /// How many shards it has a replica of.
    pub(super) shards_held: u64,
}

/// One shard.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ShardReply {
    /// Its number.
    pub(super) shard: u32,
    /// The node that runs it.
    pub(super) owner: Option<String>,
    /// The nodes that hold its log.
    pub(super) replicas: Vec<String>,
    /// Its epoch.
    pub(super) epoch: u64,
    /// Whether it is served.
    pub(super) state: String,
    /// How heavy it is.
    pub(super) weight: u64,
}

/// One shard with its load.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BusyShardReply {
    /// Its number.
    pub(super) shard: u32,
    /// The node that runs it.
    pub(super) owner: Option<String>,
    /// How heavy it is.
    pub(super) weight: u64,
    /// Whether its owner told its load.
    pub(super) load_told: bool,
    /// Milliseconds per second in which a guest ran.
    pub(super) busy_ms_per_second: f64,
    /// Calls per second.
    pub(super) calls_per_second: f64,
    /// Calls that wait.
    pub(super) queue_depth: u64,
    /// Bytes of its state.
    pub(super) state_bytes: u64,
}

/// `GET /v1/audit`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuditReply {
    /// The oldest first.
    pub(super) entries: Vec<AuditEntryReply>,
}

/// What somebody did, or was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuditEntryReply {
    /// Its place in the control log.
    pub(super) index: u64,
    /// When.
    pub(super) at: String,
    /// Who.
    pub(super) by: String,
    /// What.
    pub(super) what: String,
    /// The digest of what it is about.
    pub(super) digest: Option<String>,
    /// Whether it was done.
    pub(super) outcome: String,
    /// Why it was refused.
    pub(super) reason: Option<String>,
    /// The version that a deploy has made.
    pub(super) version: Option<u64>,
    /// How often in a row.
    pub(super) times: u64,
}

/// One token of the API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessReply {
    /// Its name.
    pub(super) name: String,
    /// What its holder may do.
    pub(super) role: String,
    /// The index of the entry that made it.
    pub(super) since: u64,
}

/// One address of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointReply {
    /// The node.
    pub(super) node: String,
    /// What the address is for.
    pub(super) name: String,
    /// The address.
    pub(super) address: String,
}

/// One deployed workload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WorkloadReply {
    /// Its name.
    pub(super) name: String,
    /// Counts its deploys.
    pub(super) version: u64,
    /// The digest of its component.
    pub(super) component: String,
    /// The digest of its shard function, where it has one of its own.
    pub(super) shard_function: Option<String>,
    /// How HTTP requests reach it, for a component of wasi:http.
    pub(super) http: Option<HttpSpec>,
    /// Its settings.
    pub(super) config: Value,
    /// What runs in its place on some shards.
    pub(super) canary: Option<CanaryReply>,
    /// How many shards there are.
    pub(super) shard_count: u64,
    /// From which entry of the control log on it is current.
    pub(super) since: u64,
    /// From which on calls are counted.
    pub(super) counted_since: u64,
    /// Nodes that did not tell what they have counted.
    pub(super) not_counted_on: Vec<String>,
    /// Its versions, where one workload was asked for.
    pub(super) versions: Vec<VersionReply>,
}

/// A deploy that has taken effect.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeployReply {
    /// The workload.
    pub(super) name: String,
    /// Its new version.
    pub(super) version: u64,
    /// The share of the shards that it is on, if not on all.
    pub(super) canary: Option<String>,
    /// The nodes that have confirmed it.
    pub(super) confirmed_by: Vec<String>,
}

/// A version that runs on some shards.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CanaryReply {
    /// The version.
    pub(super) version: u64,
    /// The share that was asked for.
    pub(super) share: String,
    /// The shards.
    pub(super) shards: Vec<u32>,
}

/// A version that is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VersionReply {
    /// The version.
    pub(super) version: u64,
    /// Whether it runs.
    pub(super) state: String,
    /// On how many shards.
    pub(super) shards: u64,
    /// The digest of its component.
    pub(super) component: String,
    /// Its settings.
    pub(super) config: Value,
    /// Calls since the last change of what runs.
    pub(super) calls: u64,
    /// Those that it failed at.
    pub(super) errors: u64,
    /// Their part.
    pub(super) error_rate: Option<f64>,
    /// Half of the calls took less.
    pub(super) p50_ms: Option<f64>,
    /// All but a hundredth took less.
    pub(super) p99_ms: Option<f64>,
}

/// Another version has become current.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VersionChangeReply {
    /// The workload.
    pub(super) name: String,
    /// The version that is current.
    pub(super) version: u64,
    /// The one that was.
    pub(super) before: u64,
    /// The canary that is none any more.
    pub(super) canary: Option<u64>,
}

/// Weights, in outline.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WeightsReply {
    /// The lightest shard's.
    pub(super) min: u64,
    /// The heaviest shard's.
    pub(super) max: u64,
    /// All together.
    pub(super) sum: u64,
}

/// The weigher that is in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WeigherReply {
    /// The digest of its component, where it has one.
    pub(super) component: Option<String>,
    /// Its name, where it has none.
    pub(super) built_in: Option<String>,
    /// What it last said, once it has.
    pub(super) weights: Option<WeightsReply>,
    /// Where that stands.
    pub(super) last_run: Option<EntryReply>,
    /// Why its last run gave none.
    pub(super) alarm: Option<String>,
}

/// An entry of the control log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EntryReply {
    /// Its index.
    pub(super) index: u64,
}

/// A run of a weigher.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WeigherRunReply {
    /// What it said.
    pub(super) weights: WeightsReply,
    /// The shards whose weight would change by a dry run.
    pub(super) changes: Vec<WeightChangeReply>,
    /// What nodes carry, and would carry.
    pub(super) nodes: Vec<NodeWeightReply>,
}

/// A shard whose weight would change, and what the weigher was told of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WeightChangeReply {
    /// Its number.
    pub(super) shard: u32,
    /// Who owns it.
    pub(super) owner: Option<String>,
    /// Its weight now.
    pub(super) weight: u64,
    /// Its weight then.
    pub(super) would_be: u64,
    /// Calls per second.
    pub(super) calls_per_second: f64,
    /// Milliseconds per second in which a guest ran.
    pub(super) busy_ms_per_second: f64,
    /// Bytes of its state.
    pub(super) state_bytes: u64,
    /// Calls that wait.
    pub(super) queue_depth: u64,
}

/// The weight of all shards that a node owns.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeWeightReply {
    /// The node.
    pub(super) node: String,
    /// Now.
    pub(super) weight: u64,
    /// Then.
    pub(super) would_be: u64,
}

/// One setting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettingReply {
    /// Its name.
    pub(super) name: String,
    /// Its value, as people write it.
    pub(super) text: String,
    /// Its value where nobody has set it.
    pub(super) default_text: String,
    /// What it counts.
    pub(super) unit: String,
    /// What it is for.
    pub(super) about: String,
}

/// Reads a reply for a table.
///
/// # Errors
/// If the reply has another shape.
pub(super) fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> anyhow::Result<T> {
    T::deserialize(value).map_err(|error| {
        anyhow::anyhow!("the node's reply cannot be read ({error}); is it of another version? Try --json")
    })
}

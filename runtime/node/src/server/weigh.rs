//! Weighing: the leader asks all nodes for their loads, runs the weigher, and writes its answer to the control log.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shardloom_host as host;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{ComponentRole, PeerReply, PeerRequest, ShardLoad, Trial, WeightsOutline};
use shardloom_protocol::workload::WorkloadLimits;
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::Instant;

use super::deploy;
use super::fabric::{Class, ControlCommand};
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::view::View;

/// How long one node has to tell its loads; without it, its shards keep the weight they have.
const LOADS_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the leader has for a whole run.
const RUN_WAIT_MAX: Duration = Duration::from_secs(30);

/// Makes a component the weigher, once all live nodes have tried it, and runs it.
///
/// # Errors
/// As a deploy; a weigher that is set but gives no weights is an error too, and shows as the alarm.
pub async fn set(server: &NodeServer, component: Digest) -> Result<WeightsOutline, Problem> {
    let trial = Trial {
        component,
        role: ComponentRole::Weigher,
        workload: String::new(),
        config: BTreeMap::new(),
        limits: WorkloadLimits::default(),
    };
    deploy::confirm(server, &[trial]).await?;
    // The leader, which is to run it, may be another node.
    deploy::write_everywhere(server, ControlCommand::SetWeigher { component }).await?;
    run(server).await
}

/// Has the leader run the weigher.
///
/// # Errors
/// `refused` with the reason that is the alarm as well; `no-leader`.
pub async fn run(server: &NodeServer) -> Result<WeightsOutline, Problem> {
    let view = server.fabric.view();
    let reply = match view.leader {
        None => return Err(Problem::new(Code::NoLeader, "nobody leads, so nobody can run the weigher")),
        Some(leader) if leader == view.this_node => run_here(server).await,
        Some(leader) => {
            let request = PeerRequest::Weigh.encode().map_err(|error| internal(&error.to_string()))?;
            let deadline = Instant::now() + RUN_WAIT_MAX;
            let reply = server.fabric.request(leader, Class::Bulk, request, deadline).await;
            let bytes = reply.map_err(|error| internal(&error.to_string()))?;
            PeerReply::decode(&bytes).map_err(|error| internal(&error.to_string()))?
        }
    };
    match reply {
        PeerReply::Weighed(Ok(outline)) => Ok(outline),
        PeerReply::Weighed(Err(reason)) => Err(Problem::new(Code::Refused, reason)),
        PeerReply::NotLeader(_) => Err(Problem::new(Code::NoLeader, "the leader has just changed")),
        other => Err(internal(&format!("the leader answered {other:?}"))),
    }
}

/// Runs the weigher on this node, which leads. A failure becomes the alarm, and the old weights stay.
pub async fn run_here(server: &NodeServer) -> PeerReply {
    let view = server.fabric.view();
    if view.leader != Some(view.this_node) {
        return PeerReply::NotLeader(view.leader);
    }
    let Some(weigher) = &view.weigher else { return PeerReply::Weighed(Err("no weigher is set".into())) };
    let component = weigher.component;
    let weighed = match tokio::time::timeout(RUN_WAIT_MAX, weigh(server, &view, component)).await {
        Ok(weighed) => weighed,
        Err(_) => Err("the weigher took too long".to_owned()),
    };
    // What the control log says already is not written again, every half minute.
    let written = match &weighed {
        Ok(weights) if view.weights.as_deref() == Some(weights) && weigher.alarm.is_none() => {
            return PeerReply::Weighed(Ok(outline(weights)));
        }
        Err(reason) if weigher.alarm.as_ref() == Some(reason) => {
            return PeerReply::Weighed(Err(reason.clone()));
        }
        Ok(weights) => ControlCommand::SetWeights { component, weights: weights.clone() },
        Err(text) => {
            tracing::warn!(%component, reason = text, "the weigher gave no weights; the old ones stay");
            ControlCommand::RaiseWeigherAlarm { component, text: text.clone() }
        }
    };
    match (deploy::write_everywhere(server, written).await, weighed) {
        (Ok(_), weighed) => PeerReply::Weighed(weighed.map(|weights| outline(&weights))),
        (Err(problem), Ok(_)) => {
            PeerReply::Weighed(Err(format!("the weights were not written: {}", problem.detail)))
        }
        (Err(_), Err(reason)) => PeerReply::Weighed(Err(reason)),
    }
}

async fn weigh(server: &NodeServer, view: &View, component: Digest) -> Result<Vec<u32>, String> {
    let loads = collect(server, view).await;
    let weigher = server.guests.weigher(&component).await.map_err(|error| error.to_string())?;
    weigher.weigh(&loads).await.map_err(|error| error.to_string())
}

fn outline(weights: &[u32]) -> WeightsOutline {
    WeightsOutline {
        min: weights.iter().copied().min().unwrap_or(0),
        max: weights.iter().copied().max().unwrap_or(0),
        sum: weights.iter().copied().map(u64::from).sum(),
    }
}

/// One load per shard, in order; a shard whose owner did not tell has none.
async fn collect(server: &NodeServer, view: &View) -> Vec<host::ShardLoad> {
    let weight = |shard: ShardId| {
        view.weights.as_ref().and_then(|weights| weights.get(shard.index()).copied()).unwrap_or(1)
    };
    let mut loads: Vec<host::ShardLoad> = view
        .map
        .shards()
        .map(|shard| host::ShardLoad {
            shard: shard.0,
            calls_per_second: 0.0,
            busy_ms_per_second: 0.0,
            // No state is kept for guests yet.
            state_bytes: 0,
            queue_depth: 0,
            weight: weight(shard),
        })
        .collect();
    let told = join_all(view.live_nodes().map(|node| ask(server, view, node))).await;
    for load in told.into_iter().flatten() {
        if let Some(row) = loads.get_mut(load.shard.index()) {
            row.calls_per_second = load.calls_per_second;
            row.busy_ms_per_second = load.busy_ms_per_second;
            row.queue_depth = load.queue_depth;
        }
    }
    loads
}

async fn ask(server: &NodeServer, view: &View, node: NodeId) -> Vec<ShardLoad> {
    if node == view.this_node {
        return own_loads(server);
    }
    let Ok(request) = PeerRequest::Loads.encode() else { return Vec::new() };
    let reply = server.fabric.request(node, Class::Control, request, Instant::now() + LOADS_WAIT_MAX).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::Loads(loads))) => loads,
        other => {
            tracing::warn!(%node, ?other, "a node did not tell its loads");
            Vec::new()
        }
    }
}

/// The loads of the shards that this node owns.
pub fn own_loads(server: &NodeServer) -> Vec<ShardLoad> {
    server.router.started_slots().map(|slots| slots.loads(&server.fabric.view())).unwrap_or_default()
}

fn internal(detail: &str) -> Problem {
    Problem::new(Code::Internal, detail)
}

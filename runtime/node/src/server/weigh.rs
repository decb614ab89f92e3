//! Weighing: the leader asks all nodes for their loads, runs the weigher, and writes its answer to the control log.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use shardloom_cluster::control::Author;
use shardloom_host as host;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{ComponentRole, PeerReply, PeerRequest, ShardLoad, Trial, WeightsOutline};
use shardloom_protocol::workload::WorkloadLimits;
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::Instant;

use super::built_in_weighers::BuiltInWeigher;
use super::deploy;
use super::fabric::{Class, ControlCommand};
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::view::View;

/// How long one node has to tell its loads; without it, its shards keep the weight they have.
const LOADS_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the leader has for a whole run.
const RUN_WAIT_MAX: Duration = Duration::from_secs(30);

/// A weigher that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// One of ours.
    BuiltIn(BuiltInWeigher),
    /// A component that was uploaded.
    Component(Digest),
}

impl Choice {
    /// The one that stands in the control log under this digest.
    pub fn of(digest: Digest) -> Choice {
        BuiltInWeigher::of(&digest).map_or(Choice::Component(digest), Choice::BuiltIn)
    }

    /// What it stands under in the control log.
    pub fn digest(self) -> Digest {
        match self {
            Choice::BuiltIn(weigher) => weigher.digest(),
            Choice::Component(digest) => digest,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::BuiltIn(weigher) => weigher.fmt(f),
            Choice::Component(digest) => digest.fmt(f),
        }
    }
}

/// What a weigher says of one shard, and what it was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// What it was told, the weight that the shard has now included.
    pub load: host::ShardLoad,
    /// Who owns the shard.
    pub owner: Option<NodeId>,
    /// What it says.
    pub weight: u32,
}

/// Makes this the weigher, once all live nodes have tried it where it is a component, and runs it.
///
/// # Errors
/// As a deploy; a weigher that is set but gives no weights is an error too, and shows as the alarm.
pub async fn set(server: &NodeServer, by: Author, choice: Choice) -> Result<WeightsOutline, Problem> {
    if let Choice::Component(component) = choice {
        deploy::confirm(server, &[trial(component)]).await?;
    }
    // The leader, which is to run it, may be another node.
    let command = ControlCommand::SetWeigher { component: choice.digest() };
    deploy::write_everywhere(server, by, command).await?;
    run(server).await
}

fn trial(component: Digest) -> Trial {
    Trial {
        component,
        role: ComponentRole::Weigher,
        workload: String::new(),
        config: BTreeMap::new(),
        limits: WorkloadLimits::default(),
    }
}

/// Has this node run a weigher, the one that is set where none is named, and changes nothing: no weights, no alarm.
///
/// # Errors
/// `bad-request` if there is none, or it is no weigher; `refused` with the words of a failure.
pub async fn try_run(server: &NodeServer, choice: Option<Choice>) -> Result<Vec<Weighed>, Problem> {
    let view = server.fabric.view();
    let set = view.weigher.as_ref().map(|weigher| Choice::of(weigher.component));
    let Some(choice) = choice.or(set) else {
        let detail = "no weigher is set: name the one that is to be tried";
        return Err(Problem::new(Code::BadRequest, detail));
    };
    if let Choice::Component(component) = choice {
        let ready = server.guests.ready(&component, ComponentRole::Weigher).await;
        ready.map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    }
    let (loads, weights) =
        in_time(weigh(server, &view, choice)).await.map_err(|reason| Problem::new(Code::Refused, reason))?;
    let row = |(load, weight): (host::ShardLoad, u32)| Weighed {
        load,
        owner: view.map.owner(ShardId(load.shard)),
        weight,
    };
    Ok(loads.into_iter().zip(weights).map(row).collect())
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
    let Some(weigher) = &view.weigher else {
        return PeerReply::Weighed(Err("no weigher is set: `shardloom weigher set` sets one".into()));
    };
    let component = weigher.component;
    let weighed = in_time(weigh(server, &view, Choice::of(component))).await.map(|(_, weights)| weights);
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
    match (deploy::write_everywhere(server, Author::Node(view.this_node), written).await, weighed) {
        (Ok(_), weighed) => PeerReply::Weighed(weighed.map(|weights| outline(&weights))),
        (Err(problem), Ok(_)) => {
            PeerReply::Weighed(Err(format!("the weights were not written: {}", problem.detail)))
        }
        (Err(_), Err(reason)) => PeerReply::Weighed(Err(reason)),
    }
}

/// How many bytes of state each shard keeps, in order of shards; none where its owner did not tell.
pub async fn state_sizes(server: &NodeServer, view: &View) -> Vec<Option<u64>> {
    let (loads, told) = collect(server, view).await;
    loads.iter().zip(told).map(|(load, told)| told.then_some(load.state_bytes)).collect()
}

async fn in_time<T>(run: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || format!("the weigher took longer than {} s", RUN_WAIT_MAX.as_secs());
    tokio::time::timeout(RUN_WAIT_MAX, run).await.unwrap_or_else(|_| Err(late()))
}

/// What the weigher was told, and what it says: one of each for each shard.
async fn weigh(
    server: &NodeServer,
    view: &View,
    choice: Choice,
) -> Result<(Vec<host::ShardLoad>, Vec<u32>), String> {
    let (loads, told) = collect(server, view).await;
    let mut weights = match choice {
        Choice::BuiltIn(weigher) => weigher.weigh(&loads),
        Choice::Component(component) => {
            let weigher = server.guests.weigher(&component).await.map_err(|error| error.to_string())?;
            weigher.weigh(&loads).await.map_err(|error| error.to_string())?
        }
    };
    for ((weight, load), told) in weights.iter_mut().zip(&loads).zip(told) {
        if !told {
            *weight = load.weight;
        }
    }
    Ok((loads, weights))
}

/// Weights, in outline.
pub fn outline(weights: &[u32]) -> WeightsOutline {
    WeightsOutline {
        min: weights.iter().copied().min().unwrap_or(0),
        max: weights.iter().copied().max().unwrap_or(0),
        sum: weights.iter().copied().map(u64::from).sum(),
    }
}

/// One load per shard, in order, and whether its owner told it: where it did not, there is no load but the weight, which the shard keeps.
pub async fn collect(server: &NodeServer, view: &View) -> (Vec<host::ShardLoad>, Vec<bool>) {
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
            state_bytes: 0,
            queue_depth: 0,
            weight: weight(shard),
        })
        .collect();
    let mut told = vec![false; loads.len()];
    let answers = view.live_nodes().map(|node| async move { (node, ask(server, view, node).await) });
    for (node, answer) in join_all(answers).await {
        for load in answer {
            // A node that lags may tell of a shard that is another's by now.
            if let Some(row) = loads.get_mut(load.shard.index())
                && view.map.owner(load.shard) == Some(node)
            {
                row.calls_per_second = load.calls_per_second;
                row.busy_ms_per_second = load.busy_ms_per_second;
                row.queue_depth = load.queue_depth;
                row.state_bytes = load.state_bytes;
                told[load.shard.index()] = true;
            }
        }
    }
    (loads, told)
}

async fn ask(server: &NodeServer, view: &View, node: NodeId) -> Vec<ShardLoad> {
    if node == view.this_node {
        return server.router.loads();
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

fn internal(detail: &str) -> Problem {
    Problem::new(Code::Internal, detail)
}

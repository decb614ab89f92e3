//! Plans: whichever node is asked, the leader makes them and carries them out, since it alone knows who is silent and what is under way.

use std::time::Duration;

use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::protocol::leader::{Order, Ordered, PlanAsk, PlanRefusal, Preview};
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::problem::{Code, Problem};

/// How long the leader may take: a plan for ten thousand shards takes it some milliseconds.
const PLAN_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the leader would plan.
///
/// # Errors
/// `no-leader`; `bad-request` for what cannot be supposed.
pub async fn preview(server: &NodeServer, ask: PlanAsk) -> Result<Preview, Problem> {
    match ask_leader(server, PeerRequest::Plan(ask)).await? {
        PeerReply::Plan(plan) => plan.map(|preview| *preview).map_err(refused),
        other => Err(unexpected(&other)),
    }
}

/// Has the leader carry out a plan.
///
/// # Errors
/// `refused` where the plan is not known or does not fit any more, and nothing has changed; `no-leader`.
pub async fn order(server: &NodeServer, order: Order) -> Result<Ordered, Problem> {
    match ask_leader(server, PeerRequest::Order(order)).await? {
        PeerReply::Order(ordered) => ordered.map_err(refused),
        other => Err(unexpected(&other)),
    }
}

async fn ask_leader(server: &NodeServer, request: PeerRequest) -> Result<PeerReply, Problem> {
    let view = server.fabric.view();
    let internal = |detail: String| Problem::new(Code::Internal, detail);
    match view.leader {
        None => Err(Problem::new(Code::NoLeader, "nobody leads, so nobody plans")),
        Some(leader) if leader == view.this_node => Ok(match request {
            PeerRequest::Order(order) => PeerReply::Order(server.fabric.order(order).await),
            PeerRequest::Plan(ask) => PeerReply::Plan(server.fabric.plan(ask).await.map(Box::new)),
            other => return Err(internal(format!("{other:?} is nothing to ask a leader"))),
        }),
        Some(leader) => {
            let bytes = request.encode().map_err(|error| internal(error.to_string()))?;
            let deadline = Instant::now() + PLAN_WAIT_MAX;
            let reply = server.fabric.request(leader, Class::Bulk, bytes, deadline).await;
            let reply = reply.map_err(|error| {
                internal(format!(
                    "the leader {leader} did not answer ({error}): ask again; `shardloom status` shows whether what was ordered has begun"
                ))
            })?;
            PeerReply::decode(&reply).map_err(|error| internal(error.to_string()))
        }
    }
}

fn refused(refusal: PlanRefusal) -> Problem {
    let code = match refusal {
        PlanRefusal::NotLeader => Code::NoLeader,
        PlanRefusal::UnknownNode(_) | PlanRefusal::TooManyNodes | PlanRefusal::WrongWeights => {
            Code::BadRequest
        }
        PlanRefusal::UnknownPlan(_) | PlanRefusal::Supposes(..) | PlanRefusal::MapChanged(_) => Code::Refused,
    };
    Problem::new(code, refusal.to_string())
}

fn unexpected(reply: &PeerReply) -> Problem {
    Problem::new(Code::Internal, format!("the leader answered {reply:?}"))
}

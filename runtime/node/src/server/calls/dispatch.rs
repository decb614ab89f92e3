//! Handing a call to the shard task on this node.

use std::sync::Arc;

use shardloom_protocol::call::Executed;
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::outcome::{Answer, Outcome, Place};
use super::slots::{QueueFull, Slots};
use super::task::{Attempt, Job};
use super::ticket::Ticket;
use super::trip::{Step, Taken};
use crate::server::fabric::Permit;
use crate::server::problem::{Code, Problem};
use crate::server::view::Workload;

/// Queues the call and waits for its outcome, at most until the call's deadline.
///
/// # Cancel safety
/// Where the caller goes away, the call runs all the same if it has started or is next in the queue.
pub async fn dispatch(
    slots: &Slots,
    node: NodeId,
    shard: ShardId,
    permit: Permit,
    workload: &Arc<Workload>,
    taken: &Taken,
    attempt: Attempt,
) -> Step<Result<Answer, Problem>> {
    let epoch = permit.epoch();
    if Instant::now() >= taken.deadline {
        return Step::Done(Err(too_late(Executed::No).at(epoch)));
    }
    let (reply, outcome) = oneshot::channel();
    let ticket = Arc::new(Ticket::default());
    let job = Job {
        permit,
        id: taken.id,
        attempt,
        workload: Arc::clone(workload),
        request: Arc::clone(&taken.request),
        exchange: taken.exchange.clone(),
        deadline: taken.deadline.into_std(),
        ticket: Arc::clone(&ticket),
        reply,
    };
    if slots.submit(shard, job) == Err(QueueFull) {
        let full = format!("shard {shard}: as many calls are queued as may");
        return Step::Done(Err(Problem::new(Code::Overloaded, full).at(epoch)));
    }
    match timeout_at(taken.deadline, outcome).await {
        Ok(Ok(Outcome::Ran { epoch, version, given, answer })) => {
            Step::Done(Ok(Answer { place: Place { node, shard, epoch, version, given }, said: answer }))
        }
        Ok(Ok(Outcome::NotRun)) => Step::AgainLater,
        Ok(Ok(Outcome::Lost)) => Step::AgainInDoubt,
        Ok(Ok(Outcome::Failed(problem))) => Step::Done(Err(problem)),
        // The task ended with the call in its hands: the process is going down.
        Ok(Err(_)) if ticket.cross_out() => Step::AgainLater,
        Ok(Err(_)) => Step::Done(Err(Problem::new(Code::OwnerLost, "the node is ending").at(epoch))),
        Err(_) if ticket.cross_out() => Step::Done(Err(too_late(Executed::No).at(epoch))),
        Err(_) => Step::Done(Err(too_late(Executed::Unknown).at(epoch))),
    }
}

/// The deadline has passed.
pub fn too_late(executed: Executed) -> Problem {
    let detail = match executed {
        Executed::No => "the deadline passed before the call started",
        Executed::RolledBack | Executed::Unknown => "the deadline passed while the call was under way",
    };
    Problem::new(Code::DeadlineExceeded, detail).executed(executed)
}

//! Sending a call on to its shard's owner.

use std::sync::Arc;
use std::time::Duration;

use shardloom_protocol::call::{Call, CallReply, Executed};
use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use tokio::time::{Instant, sleep};

use super::dispatch::too_late;
use super::outcome::{Answer, Place};
use super::trip::{Step, Trip};
use crate::server::fabric::{Class, Fabric, FabricError};
use crate::server::problem::{Code, Problem};
use crate::server::view::Workload;

/// Bodies above this go on streams of their own, so that small calls do not wait behind them.
const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
/// After a newer epoch was committed with another owner, a reply of the former one may still be on the wire for this long.
const FORMER_OWNER_GRACE: Duration = Duration::from_millis(100);

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The shard.
    pub shard: ShardId,
    /// Its owner.
    pub node: NodeId,
    /// The epoch of that ownership.
    pub epoch: Epoch,
}

/// Sends the call and waits for the reply: until the deadline, or until the owner has lost the shard.
pub async fn forward(
    fabric: &Arc<dyn Fabric>,
    owner: Owner,
    workload: &Workload,
    trip: &mut Trip,
) -> Step<Result<Answer, Problem>> {
    let deadline = trip.taken.deadline;
    let Some(time_left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    else {
        return Step::Done(Err(too_late(Executed::No).at(owner.epoch)));
    };
    let call = Call {
        id: trip.taken.id,
        workload: workload.name.clone(),
        activation: workload.activation,
        shard: owner.shard,
        epoch: owner.epoch,
        hops: trip.travel.hops + 1,
        time_left_ms: u32::try_from(time_left.as_millis()).unwrap_or(u32::MAX).max(1),
        request: Arc::clone(&trip.taken.request),
    };
    let body_bytes = call.request.body.len();
    let class = if body_bytes > SMALL_BODY_BYTES_MAX { Class::Bulk } else { Class::Requests };
    let bytes = match PeerRequest::Call(call).encode() {
        Ok(bytes) => bytes,
        Err(error) => return Step::Done(Err(no_sending(&error.to_string()))),
    };
    tokio::select! {
        biased;
        reply = fabric.request(owner.node, class, bytes, deadline) => read(reply, owner, trip),
        () = lost(fabric, owner) => Step::AgainInDoubt,
    }
}

fn read(
    reply: Result<bytes::Bytes, FabricError>,
    owner: Owner,
    trip: &mut Trip,
) -> Step<Result<Answer, Problem>> {
    let unknown = |detail: String| {
        if Instant::now() >= trip.taken.deadline {
            return Step::Done(Err(too_late(Executed::Unknown).at(owner.epoch)));
        }
        tracing::debug!(node = %owner.node, shard = %owner.shard, detail, "what became of a call is not known yet");
        Step::AgainInDoubt
    };
    let bytes = match reply {
        Ok(bytes) => bytes,
        Err(FabricError::NotSent(_)) => return Step::AgainLater,
        Err(error @ FabricError::Overloaded) => {
            return Step::Done(Err(Problem::new(Code::Overloaded, error.to_string()).at(owner.epoch)));
        }
        Err(FabricError::Unknown(detail)) => return unknown(format!("node {}: {detail}", owner.node)),
    };
    match PeerReply::decode(&bytes) {
        Ok(PeerReply::Call(CallReply::Ran { epoch, version, given, answer })) => {
            let place = Place { node: owner.node, shard: owner.shard, epoch, version, given };
            Step::Done(Ok(Answer { place, said: answer }))
        }
        Ok(PeerReply::Call(CallReply::Moved { epoch })) if epoch > owner.epoch => {
            // It went by an epoch that is over: a hop. The next attempt waits until this node knows the newer one.
            trip.travel.hops += 1;
            trip.travel.epoch = trip.travel.epoch.max(epoch);
            Step::Again
        }
        Ok(PeerReply::Call(CallReply::Moved { .. })) => Step::AgainLater,
        Ok(PeerReply::Call(CallReply::InDoubt { .. })) => Step::AgainInDoubt,
        Ok(PeerReply::Call(CallReply::Failed { code, detail, executed, epoch })) => {
            let problem = Problem::new(Code::of_name(&code), detail).executed(executed).at(epoch);
            Step::Done(Err(problem))
        }
        Ok(other) => unknown(format!("node {} answered something else: {other:?}", owner.node)),
        Err(error) => unknown(format!("node {}: {error}", owner.node)),
    }
}

/// Returns once another node owns the shard under a newer epoch, and the grace is over.
async fn lost(fabric: &Arc<dyn Fabric>, owner: Owner) {
    let mut changed = fabric.changed();
    loop {
        let view = fabric.view();
        if view.map.epoch(owner.shard) > owner.epoch && view.map.owner(owner.shard) != Some(owner.node) {
            sleep(FORMER_OWNER_GRACE).await;
            return;
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn no_sending(detail: &str) -> Problem {
    Problem::new(Code::Internal, format!("the call cannot be sent on: {detail}")).executed(Executed::No)
}

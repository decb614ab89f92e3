//! One request to one node, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};

use crate::address::Address;
use crate::call::{Form, Place, Reply};
use crate::error::{Executed, Problem, Reason};
use crate::owners::Owner;
use crate::pool::{NoAnswer, Pool};
use crate::retry::{Ended, Scope};

/// The node gets this part of an attempt's time less than it has, so that its own word on the deadline still arrives.
const GRACE_PART: u32 = 10;
/// How much less at most.
const GRACE_MAX: Duration = Duration::from_millis(100);
/// Where the node answers that ran the call, as `host:port`. A cluster that does not send it is none the worse.
const NODE_HTTP: &str = "shardloom-node-http";

/// What an attempt has brought.
pub(crate) struct Brought {
    /// Where the call ran, if it did and the node says so.
    pub(crate) learned: Option<Learned>,
    /// The answer, or how it ended without one.
    pub(crate) outcome: Result<Reply, (Ended, Reason)>,
}

/// What a reply tells of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) shard: ShardId,
    pub(crate) owner: Owner,
    pub(crate) address: Option<Address>,
}

/// Asks one node.
///
/// # Cancel safety
/// As [`Pool::exchange`].
pub(crate) async fn attempt(pool: &Pool, address: &Address, form: &Form, time: Duration) -> Brought {
    let told = time - (time / GRACE_PART).min(GRACE_MAX);
    match pool.exchange(form.request(address, told), time).await {
        Ok(response) => sort(response, address),
        Err(NoAnswer::NotSent(words)) => {
            let reason = Reason::Unreachable { address: address.clone(), words };
            Brought { learned: None, outcome: Err((Ended::NotSent, reason)) }
        }
        Err(NoAnswer::Lost(words)) => {
            let reason = Reason::Lost { address: address.clone(), words };
            Brought { learned: None, outcome: Err((Ended::Lost, reason)) }
        }
    }
}

fn sort(response: Response<Bytes>, address: &Address) -> Brought {
    let (head, body) = response.into_parts();
    let learned = learned(&head.headers, address);
    if head.status != StatusCode::OK {
        return Brought { learned, outcome: Err(problem(head.status, &head.headers, &body, address)) };
    }
    let outcome = match &learned {
        Some(Learned { shard, owner, .. }) => Ok(Reply {
            place: Place {
                node: owner.node.to_string(),
                shard: shard.0,
                epoch: owner.epoch.0,
                version: number(&head.headers, "shardloom-workload-version").unwrap_or_default(),
            },
            replayed: head.headers.contains_key("idempotent-replayed"),
            headers: head.headers,
            body,
            asked: address.clone(),
            attempts: 1,
        }),
        None => Err((Ended::Lost, strange(address, head.status, "it does not say where the call ran"))),
    };
    Brought { learned, outcome }
}

fn problem(status: StatusCode, headers: &HeaderMap, body: &Bytes, address: &Address) -> (Ended, Reason) {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let problem = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if kind.starts_with("application/problem+json") => problem,
        // A proxy's words, perhaps: whether it has passed the call on, nobody knows.
        _ => return (Ended::Lost, strange(address, status, "it does not explain itself")),
    };
    let ended = match (problem.executed, problem.retryable) {
        (Executed::No, true) => Ended::Refused {
            retry_after: Duration::from_secs(number(headers, RETRY_AFTER.as_str()).unwrap_or(0)),
            scope: if problem.code == "overloaded" { Scope::Shard } else { Scope::Node },
        },
        (Executed::Unknown, _) => Ended::Lost,
        (executed, _) => Ended::Final(executed),
    };
    (ended, problem.into_reason())
}

fn strange(address: &Address, status: StatusCode, words: &str) -> Reason {
    Reason::Strange { address: address.clone(), status: status.as_u16(), words: words.to_owned() }
}

/// Where a call ran, if the answer says it; a problem that ended it before it came to a shard does not.
fn learned(headers: &HeaderMap, asked: &Address) -> Option<Learned> {
    let node: NodeId = headers.get("shardloom-node")?.to_str().ok()?.parse().ok()?;
    let shard = ShardId(u32::try_from(number(headers, "shardloom-shard")?).ok()?);
    let epoch = Epoch(number(headers, "shardloom-epoch")?);
    let address = headers.get(NODE_HTTP).and_then(|told| told.to_str().ok());
    Some(Learned {
        shard,
        owner: Owner { node, epoch },
        address: address.and_then(|told| asked.of_peer(told)),
    })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

//! What becomes of a call whose bodies are not held whole, where it cannot go on as others do: they are not carried from node to node,
//! and can be read once.

use bytes::Bytes;
use shardloom_protocol::call::{Executed, Given, GuestReply};

use super::forward::Owner;
use super::outcome::{Answer, Place};
use super::task::Attempt;
use super::trip::{Taken, Trip};
use crate::server::problem::{Code, Problem};
use crate::server::view::{View, Workload};

/// Sends the caller elsewhere, with the same method and body.
const STATUS_TEMPORARY_REDIRECT: u16 = 307;

/// What a call is told whose bodies are used up, and whose response has not begun: it cannot be made again from here.
pub fn spent(trip: &Trip) -> Option<Problem> {
    trip.taken.exchange.as_ref().filter(|exchange| exchange.is_taken())?;
    Some(match trip.attempt {
        Attempt::First => {
            let lost = "the shard moved before the response began, and nothing of the call remains: send the request again";
            Problem::new(Code::Resharding, lost).executed(Executed::RolledBack)
        }
        Attempt::Repeated => {
            let lost = "the shard moved as the response was about to begin: what the call wrote may be kept";
            Problem::new(Code::OwnerLost, lost)
        }
    })
}

/// Sends the caller to the shard's owner, who can read the body: it is not carried from node to node.
///
/// # Errors
/// `shard-unavailable` where the owner's address is not known.
pub fn elsewhere(view: &View, owner: Owner, workload: &Workload, taken: &Taken) -> Result<Answer, Problem> {
    let Owner { shard, node, epoch } = owner;
    let address = view.members.get(&node).map(|member| &member.http).filter(|address| !address.is_empty());
    let (Some(address), Some(exchange)) = (address, &taken.exchange) else {
        let words = format!("the address of node {node}, which owns shard {shard}, is not known here");
        return Err(Problem::new(Code::ShardUnavailable, words).at(epoch));
    };
    let by_tls = taken.request.http.as_ref().is_some_and(|target| target.tls);
    let scheme = if by_tls { "https" } else { "http" };
    let location = format!("{scheme}://{address}{}", exchange.asked());
    let reply = GuestReply {
        status: STATUS_TEMPORARY_REDIRECT,
        headers: vec![("location".to_owned(), location)],
        body: Bytes::new(),
    };
    let place = Place { node, shard, epoch, version: workload.version, given: Given::Now };
    Ok(Answer { place, said: Ok(reply) })
}

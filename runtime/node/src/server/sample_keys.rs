//! Before a shard function is deployed, all live nodes are asked for the shards of some keys. If two of them answered differently, one key would
//! have two homes: the deploy is refused. A function is pure, so that means that a node is not to be trusted with it: a damaged file, memory or
//! processor, or a build that runs it differently.

use futures::future::join_all;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{PeerReply, PeerRequest};
use shardloom_sharding::ids::NodeId;
use tokio::time::Instant;

use super::fabric::Class;
use super::guests::Guests;
use super::node_server::NodeServer;
use super::problem::{Code, Problem};

/// Keys as they come up, so that what a function does with their parts is asked for as well.
const USUAL_KEYS: [&str; 16] = [
    "",
    "a",
    "Z",
    "é",
    "0",
    "42",
    "tenant:1",
    "acme:orders/17",
    "acme/users/4",
    "52.5200,13.4050",
    "-33.8688,151.2093:stop-7",
    "u33db2/stop-1",
    "user@example.com",
    "2026-11-26T19:03:30Z",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "key with spaces and \u{1f980}",
];
/// Keys that are drawn by the function's digest beside these.
const DRAWN_KEYS: u64 = 48;
/// The most keys that a node takes at once: each may cost a function's whole fuel.
pub const KEYS_MAX: usize = 128;

/// What one node answers: the shard of each key, none where the function failed.
type Answers = Vec<Option<u32>>;

/// Asks these nodes, of which this one is one, for the same keys.
///
/// # Errors
/// `refused` with two nodes and the key where they differ; `not-confirmed` if a node that is live does not answer.
pub async fn agree(server: &NodeServer, function: Digest, nodes: &[NodeId]) -> Result<(), Problem> {
    let view = server.fabric.view();
    let (keys, shard_count) = (keys(&function), view.shard_count());
    let own = own_answers(&server.guests, &function, keys.clone(), shard_count).await;
    let own = own.map_err(|reason| Problem::new(Code::Internal, reason))?;
    let deadline = Instant::now() + server.deploy_deadline();
    let request = PeerRequest::SampleShards { function, keys: keys.clone(), shard_count };
    let request = request.encode().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let others = nodes.iter().copied().filter(|node| *node != view.this_node);
    let asked = others.map(|node| {
        let request = request.clone();
        async move {
            let reply = server.fabric.request(node, Class::Bulk, request, deadline).await;
            let reply = reply.map_err(|error| error.to_string());
            let read = reply.and_then(|bytes| PeerReply::decode(&bytes).map_err(|error| error.to_string()));
            match read {
                Ok(PeerReply::SampledShards(answers)) => (node, answers),
                Ok(other) => (node, Err(format!("it answered {other:?}"))),
                Err(error) => (node, Err(error)),
            }
        }
    });
    for (node, answers) in join_all(asked).await {
        match answers {
            Ok(answers) => compare(&keys, (view.this_node, &own), (node, &answers))?,
            // A node that died meanwhile confirms nothing, and need not.
            Err(_) if !server.fabric.view().is_live(node) => {}
            Err(reason) => return Err(Problem::not_confirmed(node, &reason)),
        }
    }
    Ok(())
}

/// What this node answers.
///
/// # Errors
/// In words: the function is not here, or there are too many keys.
pub async fn own_answers(
    guests: &Guests,
    function: &Digest,
    keys: Vec<String>,
    shard_count: u32,
) -> Result<Answers, String> {
    if keys.len() > KEYS_MAX {
        return Err(format!("{} keys are asked for; at most {KEYS_MAX} are taken at once", keys.len()));
    }
    let function = guests.shard_function(function).await.map_err(|error| error.to_string())?;
    let ask = move || keys.iter().map(|key| function.shard_of(key, shard_count).ok()).collect();
    // Off the threads that serve: a function may use up its fuel at each key.
    tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())
}

fn compare(keys: &[String], one: (NodeId, &Answers), other: (NodeId, &Answers)) -> Result<(), Problem> {
    let same = |index: &usize| one.1.get(*index) == other.1.get(*index);
    let Some(differs) = (0..keys.len()).find(|index| !same(index)) else { return Ok(()) };
    let says = |(node, answers): (NodeId, &Answers)| match answers.get(differs) {
        Some(Some(shard)) => format!("node {node} says shard {shard}"),
        Some(None) => format!("node {node} gets no shard"),
        None => format!("node {node} says nothing"),
    };
    Err(Problem::new(
        Code::Refused,
        format!(
            "the shard function answers differently on two nodes, so nothing was deployed: for the key {:?} {}, and {}. A shard function \
             cannot do that by itself: upload it anew through the node that is wrong, and if it stays so, take that node out",
            keys[differs],
            says(one),
            says(other)
        ),
    ))
}

/// The keys: usual ones, and some that are drawn by the function's digest, the same on every node.
fn keys(function: &Digest) -> Vec<String> {
    let [a, b, c, d, e, f, g, h, ..] = function.0;
    let mut seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let drawn = (0..DRAWN_KEYS).map(|number| {
        let word = draw(&mut seed);
        let (head, tail) = (word >> 44, word & 0xfff);
        match number % 4 {
            0 => format!("{word:016x}"),
            1 => format!("tenant-{}:item-{tail}", head % 1000),
            2 => format!("{:.4},{:.4}", (head % 180) as f64 - 90.0, (tail % 360) as f64 - 179.5),
            _ => word.to_be_bytes().map(|byte| char::from(b'a' + byte % 26)).iter().collect(),
        }
    });
    USUAL_KEYS.map(str::to_owned).into_iter().chain(drawn).collect()
}

/// Splitmix64: well spread, and the same everywhere.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_each_time_distinct_and_within_the_bound() {
        let (one, again) = (keys(&Digest([7; 32])), keys(&Digest([7; 32])));
        assert_eq!(one, again);
        let distinct: std::collections::BTreeSet<&String> = one.iter().collect();
        assert_eq!(distinct.len(), one.len());
        assert!(one.len() <= KEYS_MAX);
        assert_ne!(one, keys(&Digest([8; 32])));
    }

    #[test]
    fn a_difference_names_both_nodes_and_the_key() {
        let keys = ["x".to_owned(), "y".to_owned()];
        let (one, other) = (vec![Some(1), Some(2)], vec![Some(1), None]);
        assert_eq!(compare(&keys, (NodeId(1), &one), (NodeId(2), &one)), Ok(()));
        let refused = compare(&keys, (NodeId(1), &one), (NodeId(2), &other)).unwrap_err();
        for part in ["\"y\"", "0000000000000001 says shard 2", "0000000000000002 gets no shard"] {
            assert!(refused.detail.contains(part), "{}", refused.detail);
        }
    }
}

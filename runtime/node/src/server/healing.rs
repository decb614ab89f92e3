//! What `status` says of what does not heal by itself: moves that were given up again and again, and replicas that stay behind. Each live node is asked,
//! since the leader alone knows the ones, and the owners the others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shardloom_cluster::control::Setting;
use shardloom_protocol::peer::{HealingReport, PeerReply, PeerRequest};
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::protocol::leader::MoveSetback;
use shardloom_sharding::protocol::node::Laggard;
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::view::View;

/// How long a node may take to tell; `status` does without it then.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);
/// Shards that a sentence names; the others are counted.
const NAMED_MAX: usize = 8;

/// What all live nodes see, in sentences.
pub async fn survey(server: &NodeServer, view: &View) -> Vec<String> {
    let told = join_all(view.live_nodes().map(|node| ask(server, view, node))).await;
    let (mut sentences, mut laggards) = (Vec::new(), BTreeMap::new());
    for HealingReport { setbacks, laggards: seen } in told {
        sentences.extend(setbacks.iter().map(setback));
        seen.into_iter().for_each(|one| merge(&mut laggards, one));
    }
    sentences.extend(laggards.values().map(|one| laggard(view, one)));
    sentences
}

async fn ask(server: &NodeServer, view: &View, node: NodeId) -> HealingReport {
    if node == view.this_node {
        return server.fabric.healing().await;
    }
    let Ok(request) = PeerRequest::Healing.encode() else { return HealingReport::default() };
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let reply = server.fabric.request(node, Class::Control, request, deadline).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::Healing(report))) => report,
        other => {
            tracing::debug!(%node, ?other, "a node did not tell what does not heal");
            HealingReport::default()
        }
    }
}

fn merge(laggards: &mut BTreeMap<NodeId, Laggard>, one: Laggard) {
    match laggards.get_mut(&one.node) {
        None => drop(laggards.insert(one.node, one)),
        Some(known) => {
            known.shards += one.shards;
            known.named.extend(one.named);
            known.entries_most = known.entries_most.max(one.entries_most);
        }
    }
}

fn setback(one: &MoveSetback) -> String {
    let MoveSetback { shard, to, gains, reason, times, rests } = one;
    let who = match gains.is_empty() {
        true => format!("node {to} as its owner"),
        false => format!("a copy on {}", listed(gains.iter().map(|node| format!("node {node}")))),
    };
    let next = match rests.as_secs() {
        0 => "it is tried again now".to_owned(),
        seconds => format!("it is tried again in {seconds} s"),
    };
    format!(
        "shard {shard} was to get {who} ({reason}), and that was given up {times} times since it came no further: {next}. See the logs of the nodes \
         concerned, whether they reach each other, and whether their disks keep up (`shardloom why {shard}` shows where it is)"
    )
}

fn laggard(view: &View, one: &Laggard) -> String {
    let Laggard { node, shards, named, entries_most } = one;
    let mut named: Vec<ShardId> = named.clone();
    named.sort_unstable();
    named.truncate(NAMED_MAX);
    let more = if *shards as usize > named.len() { " and others" } else { "" };
    let what = match view.is_live(*node) {
        true => "It renews its lease all the same: see its log, whether it reaches the owners, and whether its disk keeps up".to_owned(),
        false => format!(
            "It is silent: start it again; otherwise its copies are made anew elsewhere once it has been silent for {} (replica_grace)",
            grace(view)
        ),
    };
    format!(
        "node {node} takes in nothing of {shards} shard(s) ({}{more}), of which it lacks up to {entries_most} entries: until it does, they have one copy less. {what}",
        listed(named.iter().map(ShardId::to_string))
    )
}

fn grace(view: &View) -> String {
    Setting::ReplicaGrace.show(view.settings.value(Setting::ReplicaGrace))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use shardloom_sharding::plan::Reason;

    use super::*;

    #[test]
    fn a_move_that_was_given_up_again_and_again_is_told_with_its_shard_node_and_what_to_do() {
        let (to, gains) = (NodeId(1), vec![NodeId(4)]);
        let one = MoveSetback {
            shard: ShardId(7),
            to,
            gains,
            reason: Reason::NodeDrains(NodeId(2)),
            times: 3,
            rests: Duration::from_secs(40),
        };
        let told = setback(&one);
        for part in [
            "shard 7 was to get a copy on node 0000000000000004",
            "node 0000000000000002 drains",
            "given up 3 times",
            "again in 40 s",
            "shardloom why 7",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }

    #[test]
    fn what_several_owners_see_of_a_laggard_is_one() {
        let mut laggards = BTreeMap::new();
        let one = |shard, entries_most| Laggard {
            node: NodeId(3),
            shards: 1,
            named: vec![ShardId(shard)],
            entries_most,
        };
        merge(&mut laggards, one(9, 4));
        merge(&mut laggards, one(2, 7));
        let merged = &laggards[&NodeId(3)];
        assert_eq!((merged.shards, merged.entries_most, merged.named.len()), (2, 7, 2));
    }
}

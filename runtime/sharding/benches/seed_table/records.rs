//! Protocol buffers with one record per shard: the messages that Clusterfunk writes to its log, and what they would be with
//! replicas and an epoch.

use std::collections::BTreeMap;

use prost::Message;
use shardloom_sharding::ids::{NodeId, ShardId};
use shardloom_sharding::map::ShardMap;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireNode {
    #[prost(int32, tag = "1")]
    pub(crate) node_id: i32,
    #[prost(string, tag = "2")]
    pub(crate) node_name: String,
    #[prost(int32, tag = "3")]
    pub(crate) worker_id: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireShard {
    #[prost(int32, tag = "1")]
    pub(crate) id: i32,
    #[prost(int32, tag = "2")]
    pub(crate) weight: i32,
    #[prost(int32, tag = "3")]
    pub(crate) node_id: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Distribution {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<WireNode>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) shards: Vec<WireShard>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReplicatedShard {
    #[prost(int32, tag = "1")]
    pub(crate) id: i32,
    #[prost(int32, tag = "2")]
    pub(crate) weight: i32,
    #[prost(int32, tag = "3")]
    pub(crate) node_id: i32,
    #[prost(int32, repeated, tag = "4")]
    pub(crate) replicas: Vec<i32>,
    #[prost(uint64, tag = "5")]
    pub(crate) epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReplicatedDistribution {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<WireNode>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) shards: Vec<ReplicatedShard>,
}

fn nodes(names: impl Iterator<Item = NodeId>) -> (Vec<WireNode>, BTreeMap<NodeId, i32>) {
    let mut numbers: BTreeMap<NodeId, i32> = names.map(|node| (node, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(place, number)| *number = place as i32);
    let nodes = numbers.iter().map(|(node, number)| WireNode {
        node_id: *number,
        node_name: node.to_string(),
        worker_id: number + 1,
    });
    (nodes.collect(), numbers)
}

pub(crate) fn message(owners: &[NodeId]) -> Distribution {
    let (nodes, numbers) = nodes(owners.iter().copied());
    let shards = owners
        .iter()
        .enumerate()
        .map(|(id, owner)| WireShard { id: id as i32, weight: 1, node_id: numbers[owner] })
        .collect();
    Distribution { nodes, shards }
}

pub(crate) fn encode(owners: &[NodeId]) -> Vec<u8> {
    message(owners).encode_to_vec()
}

pub(crate) fn decode(bytes: &[u8]) -> Vec<NodeId> {
    let message = Distribution::decode(bytes).unwrap();
    let names: Vec<NodeId> = message.nodes.iter().map(|node| node.node_name.parse().unwrap()).collect();
    message.shards.iter().map(|shard| names[shard.node_id as usize]).collect()
}

pub(crate) fn encode_replicated(map: &ShardMap) -> Vec<u8> {
    let (nodes, numbers) = nodes(map.holders().iter().map(|holder| holder.replica.node));
    let shard = |shard: ShardId| ReplicatedShard {
        id: shard.0 as i32,
        weight: 1,
        node_id: map.owner(shard).map_or(-1, |owner| numbers[&owner]),
        replicas: map.replicas(shard).map(|replica| numbers[&replica.node]).collect(),
        epoch: map.epoch(shard).0,
    };
    ReplicatedDistribution { nodes, shards: map.shards().map(shard).collect() }.encode_to_vec()
}

pub(crate) fn decode_replicated(bytes: &[u8]) -> Vec<(NodeId, Vec<NodeId>, u64)> {
    let message = ReplicatedDistribution::decode(bytes).unwrap();
    let names: Vec<NodeId> = message.nodes.iter().map(|node| node.node_name.parse().unwrap()).collect();
    let name = |number: &i32| names[*number as usize];
    let shards = message.shards.iter();
    shards
        .map(|shard| (name(&shard.node_id), shard.replicas.iter().map(name).collect(), shard.epoch))
        .collect()
}

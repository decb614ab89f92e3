//! The map itself: what it answers, what it refuses.

use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::{AssignError, ShardMap, Stale};

fn replica(node: u64) -> Replica {
    Replica { node: NodeId(node), disk: DiskId(node + 100) }
}

fn replicas(nodes: &[u64]) -> Vec<Replica> {
    nodes.iter().map(|node| replica(*node)).collect()
}

#[test]
fn the_owner_is_found_under_the_shards_epoch_only() {
    let mut map = ShardMap::new(4);
    map.assign(ShardId(2), Epoch(7), Some(NodeId(1)), &replicas(&[1, 2])).unwrap();
    assert_eq!(map.lookup(ShardId(2), Epoch(7)), Ok(NodeId(1)));
    for epoch in [0, 6, 8] {
        assert_eq!(map.lookup(ShardId(2), Epoch(epoch)), Err(Stale { current: Epoch(7) }));
    }
    assert_eq!(map.lookup(ShardId(1), Epoch(0)), Err(Stale { current: Epoch(0) }), "it was never set");
    assert_eq!(map.lookup(ShardId(4), Epoch(7)), Err(Stale { current: Epoch(0) }), "there is no such shard");
}

#[test]
fn replicas_stand_in_one_order_whatever_order_they_came_in() {
    let mut map = ShardMap::new(1);
    map.assign(ShardId(0), Epoch(1), Some(NodeId(5)), &replicas(&[9, 5, 1])).unwrap();
    let nodes: Vec<u64> = map.replicas(ShardId(0)).map(|replica| replica.node.0).collect();
    assert_eq!(nodes, [5, 1, 9]);
    assert_eq!(map.owner_replica(ShardId(0)), Some(replica(5)));
}

#[test]
fn shards_are_counted_as_they_come_and_go() {
    let mut map = ShardMap::new(3);
    for shard in map.shards() {
        map.assign(shard, Epoch(1), Some(NodeId(1)), &replicas(&[1, 2])).unwrap();
    }
    map.assign(ShardId(0), Epoch(2), Some(NodeId(2)), &replicas(&[2, 3])).unwrap();
    assert_eq!([1, 2, 3, 4].map(|node| map.owned(NodeId(node))), [2, 1, 0, 0]);
    assert_eq!(map.holders().iter().map(|holder| holder.held).collect::<Vec<_>>(), [2, 3, 1]);
    for shard in map.shards() {
        map.assign(shard, Epoch(3), Some(NodeId(4)), &replicas(&[4])).unwrap();
    }
    assert_eq!(map.holders().len(), 1, "who has nothing any more is forgotten");
}

#[test]
fn a_map_that_lives_long_does_not_fill_up() {
    let mut map = ShardMap::new(2);
    for round in 0..100_000 {
        let shard = ShardId((round % 2) as u32);
        map.assign(shard, Epoch(round), Some(NodeId(round)), &replicas(&[round])).unwrap();
    }
    assert_eq!(map.holders().len(), 2);
}

#[test]
fn what_no_map_may_say_is_refused_and_changes_nothing() {
    let mut map = ShardMap::new(2);
    map.assign(ShardId(0), Epoch(1), Some(NodeId(1)), &replicas(&[1, 2])).unwrap();
    let before = map.clone();
    let shard = ShardId(0);
    let mut refused =
        |shard, owner, replicas: &[Replica]| map.assign(shard, Epoch(2), owner, replicas).unwrap_err();

    let unknown = refused(ShardId(2), None, &[]);
    assert_eq!(unknown, AssignError::UnknownShard { shard: ShardId(2), shard_count: 2 });
    let stranger = refused(shard, Some(NodeId(3)), &replicas(&[1, 2]));
    assert_eq!(stranger, AssignError::OwnerWithoutReplica { shard, owner: NodeId(3) });
    let many = refused(shard, None, &replicas(&[1, 2, 3, 4, 5, 6]));
    assert_eq!(many, AssignError::TooManyReplicas { shard, replicas: 6 });
    let other_disk = Replica { disk: DiskId(0), ..replica(1) };
    let twice = refused(shard, None, &[replica(1), replica(2), other_disk]);
    assert_eq!(twice, AssignError::TwoReplicasOnNode { shard, node: NodeId(1) });
    assert_eq!(map, before);
}

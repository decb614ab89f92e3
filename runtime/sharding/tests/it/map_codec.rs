//! The map and the changes as bytes: what comes back, what is refused, what must never change.

use proptest::prelude::*;
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::{REPLICAS_MAX, ShardMap};
use shardloom_sharding::map_codec::{decode_changes, decode_map, encode_changes, encode_map};

/// A replica out of few nodes and fewer disks, so that several disks of one node meet in one map.
fn replica(seed: u8) -> Replica {
    let node = u64::from(seed % 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Replica { node: NodeId(node), disk: DiskId(u64::from(seed / 200)) }
}

fn distinct(seeds: &[u8]) -> Vec<Replica> {
    let mut replicas: Vec<Replica> = Vec::new();
    for replica in seeds.iter().copied().map(replica) {
        if replicas.iter().all(|other| other.node != replica.node) {
            replicas.push(replica);
        }
    }
    replicas
}

prop_compose! {
    fn rows(count_max: usize)(
        rows in prop::collection::vec(
            (any::<u32>(), prop::collection::vec(any::<u8>(), 0..=REPLICAS_MAX), any::<Option<u8>>(), any::<u8>()),
            0..count_max,
        ),
        spread in 0..64u32,
    ) -> Vec<(Epoch, Option<NodeId>, Vec<Replica>)> {
        rows.into_iter().map(|(epoch, seeds, owner, _)| {
            let replicas = distinct(&seeds);
            let owner = owner.and_then(|owner| replicas.get(usize::from(owner) % REPLICAS_MAX)).map(|r| r.node);
            (Epoch((u64::from(epoch) << 31) >> spread), owner, replicas)
        }).collect()
    }
}

fn map_of(rows: &[(Epoch, Option<NodeId>, Vec<Replica>)]) -> ShardMap {
    let mut map = ShardMap::new(rows.len() as u32);
    for (shard, (epoch, owner, replicas)) in rows.iter().enumerate() {
        map.assign(ShardId(shard as u32), *epoch, *owner, replicas).unwrap();
    }
    map
}

fn changes_of(rows: &[(Epoch, Option<NodeId>, Vec<Replica>)]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (place, (base, owner, replicas)) in rows.iter().enumerate() {
        let mut replicas = replicas.clone();
        replicas.sort();
        if let Some(owner) = owner.or(replicas.first().map(|replica| replica.node)) {
            replicas.sort_by_key(|replica| (replica.node != owner, *replica));
            let shard = ShardId((place * 3 + usize::from(base.0 % 2 == 0)) as u32);
            changes.push(Change { shard, base: *base, owner, replicas: replicas.into() });
        }
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_map_comes_back_as_it_was(rows in rows(300)) {
        let map = map_of(&rows);
        let back = decode_map(&encode_map(&map)).unwrap();
        prop_assert_eq!(&back, &map);
        prop_assert_eq!(back.holders(), map.holders());
        for (shard, (epoch, owner, replicas)) in rows.iter().enumerate() {
            let shard = ShardId(shard as u32);
            prop_assert_eq!(back.epoch(shard), *epoch);
            prop_assert_eq!(back.owner(shard), *owner);
            prop_assert_eq!(back.replicas(shard).len(), replicas.len());
            prop_assert!(replicas.iter().all(|replica| back.replicas(shard).any(|other| other == *replica)));
        }
    }

    #[test]
    fn equal_maps_have_equal_bytes_whatever_they_went_through(rows in rows(100), others in rows(100)) {
        let direct = map_of(&rows);
        let mut roundabout = ShardMap::new(rows.len() as u32);
        for (shard, (epoch, owner, replicas)) in others.iter().enumerate().take(rows.len()) {
            roundabout.assign(ShardId(shard as u32), *epoch, *owner, replicas).unwrap();
        }
        for (shard, (epoch, owner, replicas)) in rows.iter().enumerate().rev() {
            roundabout.assign(ShardId(shard as u32), *epoch, *owner, replicas).unwrap();
        }
        prop_assert_eq!(&roundabout, &direct);
        prop_assert_eq!(encode_map(&roundabout), encode_map(&direct));
        prop_assert_eq!(roundabout.holders(), direct.holders());
    }

    #[test]
    fn changes_come_back_as_they_were(rows in rows(300)) {
        let changes = changes_of(&rows);
        prop_assert_eq!(decode_changes(&encode_changes(&changes).unwrap()).unwrap(), changes);
    }

    #[test]
    fn changes_in_any_order_have_the_same_bytes(rows in rows(100)) {
        let changes = changes_of(&rows);
        let mut shuffled = changes.clone();
        shuffled.reverse();
        shuffled.iter_mut().for_each(|change| change.replicas.reverse());
        prop_assert_eq!(encode_changes(&shuffled), encode_changes(&changes));
    }
}

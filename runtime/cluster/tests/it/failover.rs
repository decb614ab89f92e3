//! Owners that die under load.

use std::collections::BTreeMap;

use shardloom_sharding::ids::ShardId;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_owners_are_killed() {
    let mut world = World::start(3, 8).await;
    let mut written: BTreeMap<(u32, String), String> = BTreeMap::new();
    let mut request = 0;
    for round in 0..3 {
        for number in 0..120_u32 {
            let (shard, key) = (number % 8, format!("k{}", number % 50));
            let value = format!("{round} {number}");
            request += 1;
            world.write(ShardId(shard), request, &[(&key, Some(&value))]).await;
            written.insert((shard, key), value);
        }
        let (owner, _) = world.owner(ShardId(round)).await;
        world.kill(owner).await;
        for ((shard, key), value) in &written {
            assert_eq!(
                world.read(ShardId(*shard), key).await.unwrap(),
                value.as_str(),
                "round {round}, {key}"
            );
        }
        world.restart(owner).await;
    }
}

//! `favour-tenants`: the shards of named tenants weigh more than they use.

use shardloom_host::ShardLoad;

use crate::by_busy_time::load;
use crate::fixture::Fixture;

#[tokio::test]
async fn the_shards_of_the_tenants_that_are_named_weigh_that_many_times_more() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("favour-tenants").await).await.unwrap();
    let function = fixture.host.shard_function(&fixture.admit("by-tenant").await).await.unwrap();
    let shards = 64;
    // As `tenants.txt` says; the shards are those of `by-tenant`, whatever key of theirs is asked for.
    let acme = function.shard_of("acme:orders/17", shards).unwrap();
    let globex = function.shard_of("globex/users", shards).unwrap();
    assert_ne!(acme, globex);
    let loads: Vec<ShardLoad> = (0..shards).map(|shard| load(shard, f64::from(shard % 3) * 20.0)).collect();
    let weights = weigher.weigh(&loads).await.unwrap();
    for (shard, weight) in (0..shards).zip(weights) {
        let factor = if shard == acme {
            4
        } else if shard == globex {
            2
        } else {
            1
        };
        assert_eq!(weight, (10 + shard % 3 * 20) * factor, "shard {shard}");
    }
}

#[tokio::test]
async fn a_load_that_is_no_number_counts_as_idle_and_a_huge_one_is_cut() {
    let fixture = Fixture::new();
    let weigher = fixture.host.weigher(&fixture.admit("favour-tenants").await).await.unwrap();
    let loads = [load(0, f64::NAN), load(1, -5.0), load(2, f64::INFINITY)];
    let weights = weigher.weigh(&loads).await.unwrap();
    assert!(weights[..2].iter().all(|weight| [10, 20, 40].contains(weight)), "{weights:?}");
    assert_eq!(weights[2], 1_000_000_000);
}

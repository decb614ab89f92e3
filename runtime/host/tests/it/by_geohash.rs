//! `by-geohash`, in C: places near each other are together, whichever way they are written.

use std::collections::BTreeSet;

use shardloom_host::ShardFunction;

use crate::fixture::Fixture;

async fn function(fixture: &Fixture) -> ShardFunction {
    fixture.host.shard_function(&fixture.admit("by-geohash").await).await.unwrap()
}

#[tokio::test]
async fn coordinates_and_geohashes_of_one_cell_are_on_one_shard() {
    let fixture = Fixture::new();
    let function = function(&fixture).await;
    for cell in [
        // Berlin, Sydney, New York, and where both coordinates are 0.
        ["52.52,13.405", "52.520000,13.404954:courier/7", "+52.5,13.4/x", "u33d", "U33DB2", "u33dc1:stop"],
        ["-33.8688,151.2093", "-33.86,151.21:x", "-33.9,151.2", "r3gx", "r3gx2f/1", "R3GX"],
        ["40.7128,-74.0060", "40.71,-74.01:x", "40.7,-74/y", "dr5r", "dr5regw3", "DR5R:z"],
        ["0,0", "0.0,0.000:x", "-0,+0", "s000", "s00000", "0.1,0.3"],
    ] {
        for count in [1, 16, 1_024, 65_536] {
            let shards: BTreeSet<u32> =
                cell.iter().map(|key| function.shard_of(key, count).unwrap()).collect();
            assert_eq!(shards.len(), 1, "{cell:?} of {count}: {shards:?}");
            assert!(shards.iter().all(|shard| *shard < count));
        }
    }
}

#[tokio::test]
async fn the_ends_of_the_world_belong_to_the_last_cells() {
    let fixture = Fixture::new();
    let function = function(&fixture).await;
    let shard = |key: &str| function.shard_of(key, 65_536).unwrap();
    assert_eq!(shard("90,180"), shard("zzzz"));
    assert_eq!(shard("-90,-180"), shard("0000"));
    assert_ne!(shard("52.52,13.405"), shard("48.8566,2.3522"), "Berlin is not Paris");
}

#[tokio::test]
async fn what_is_no_place_is_spread_by_its_own_hash() {
    let fixture = Fixture::new();
    let function = function(&fixture).await;
    let keys = [
        "",
        "a",
        "52.52",
        "52.52,",
        ",13",
        "91,0",
        "0,181",
        "1000,0",
        "52.52,13.4x",
        "52.,13",
        "--1,2",
        "u33",
        "u33a",
        "tenant:1",
        "52.1234567890,13",
        "\u{1f980}",
    ];
    let shards: BTreeSet<u32> = keys.iter().map(|key| function.shard_of(key, u32::MAX).unwrap()).collect();
    assert_eq!(shards.len(), keys.len(), "each is on a shard of its own");
}

#[tokio::test]
async fn cells_spread_over_the_shards() {
    let fixture = Fixture::new();
    let function = function(&fixture).await;
    let mut counts = [0_u32; 16];
    for cell in 0..16_000 {
        let (latitude, longitude) = (f64::from(cell / 160) - 50.0, f64::from(cell % 160) - 80.0);
        counts[function.shard_of(&format!("{latitude},{longitude}"), 16).unwrap() as usize] += 1;
    }
    // 1,000 each, with a standard deviation of 31.
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn answers_are_pinned() {
    let fixture = Fixture::new();
    let function = function(&fixture).await;
    let answers =
        ["u33d", "r3gx", "s000", "0000", "tenant"].map(|key| function.shard_of(key, 1_024).unwrap());
    assert_eq!(answers, PINNED, "keys would move: a new answer is a new component");
}

/// Worked out apart, from the description of the cells and of the hash.
const PINNED: [u32; 5] = [448, 645, 558, 626, 903];

//! The table of figures that Clusterfunk publishes, with its test set: 10,000 shards on 50 nodes. Beside each of ours stands a
//! reference that does the same the way Clusterfunk does, in the same run on the same machine.
//!
//! `cargo bench -p shardloom-sharding --bench seed_table`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so at once")]

mod cluster;
mod crc64;
mod records;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box, black_box_drop};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use shardloom_sharding::key::{shard_of_i64, shard_of_str, shard_of_u64};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::map_codec::{decode_changes, decode_map, encode_changes, encode_map};
use shardloom_sharding::plan::{PlanSettings, plan};

use cluster::{Epochs, NODES, SHARDS, members, owners_only, planned, scattered, settings, zoned};

fn main() {
    sizes();
    divan::main();
}

/// Sizes are not times: they are printed before the table.
fn sizes() {
    let of = |replicas, epochs| encode_map(&planned(replicas, epochs)).len();
    println!("bytes of a map of {SHARDS} shards on {NODES} nodes");
    println!("  owners alone                            {:>7}", of(1, Epochs::One));
    println!("  three replicas                          {:>7}", of(3, Epochs::One));
    println!("  three replicas, own epochs in sequence  {:>7}", of(3, Epochs::Sequence));
    println!("  three replicas, own epochs up to 2^40   {:>7}", of(3, Epochs::Scattered));
    println!("  reference: a record per shard, owners   {:>7}", records::encode(&owners_only()).len());
    let first = plan(&ShardMap::new(SHARDS), &members(), &[], &settings(3));
    println!("  the proposal of a first map             {:>7}", encode_changes(&first).unwrap().len());
}

/// Runs one function over many keys; what is reported per item is one key.
fn over<K: Copy>(bencher: Bencher<'_, '_>, keys: &[K], shard_of: impl Fn(K, u32) -> u32 + Sync) {
    let shard_count = black_box(SHARDS);
    bencher.counter(ItemsCount::new(keys.len())).bench_local(|| {
        for key in keys {
            black_box(shard_of(black_box(*key), shard_count));
        }
    });
}

#[divan::bench_group]
mod key_to_shard_integer {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher<'_, '_>) {
        over(bencher, &scattered(), |key, count| shard_of_u64(key, count).0);
    }

    #[divan::bench]
    fn ours_signed(bencher: Bencher<'_, '_>) {
        let keys: Vec<i64> = scattered().iter().map(|key| *key as i64).collect();
        over(bencher, &keys, |key, count| shard_of_i64(key, count).0);
    }

    #[divan::bench]
    fn reference_modulo(bencher: Bencher<'_, '_>) {
        over(bencher, &scattered(), |key, count| (key % u64::from(count)) as u32);
    }

    #[divan::bench]
    fn reference_modulo_of_small_keys(bencher: Bencher<'_, '_>) {
        let keys: Vec<u64> = scattered().iter().map(|key| key >> 40).collect();
        over(bencher, &keys, |key, count| (key % u64::from(count)) as u32);
    }
}

#[divan::bench_group]
mod key_to_shard_string {
    use super::*;

    fn keys(bytes: usize) -> Vec<String> {
        scattered()
            .iter()
            .map(|key| format!("{key:016x}").repeat(bytes.div_ceil(16))[..bytes].to_string())
            .collect()
    }

    #[divan::bench(args = [8, 16, 64])]
    fn ours(bencher: Bencher<'_, '_>, bytes: usize) {
        let keys = keys(bytes);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        over(bencher, &keys, |key, count| shard_of_str(key, count).0);
    }

    #[divan::bench(args = [8, 16, 64])]
    fn reference_crc64(bencher: Bencher<'_, '_>, bytes: usize) {
        let keys = keys(bytes);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let table = crc64::table();
        over(bencher, &keys, |key, count| {
            (crc64::checksum(&table, key.as_bytes()) % u64::from(count)) as u32
        });
    }
}

#[divan::bench_group]
mod shard_to_node {
    use super::*;

    fn shards() -> Vec<u32> {
        scattered().iter().map(|key| (key % u64::from(SHARDS)) as u32).collect()
    }

    #[divan::bench]
    fn ours_with_epoch_check(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::Sequence);
        let asked: Vec<(ShardId, Epoch)> =
            shards().into_iter().map(|shard| (ShardId(shard), map.epoch(ShardId(shard)))).collect();
        over(bencher, &asked, |(shard, epoch), _| map.lookup(shard, epoch).map_or(0, |node| node.0 as u32));
    }

    #[divan::bench]
    fn reference_array(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::Sequence);
        let owners: Vec<NodeId> = map.shards().map(|shard| map.owner(shard).unwrap()).collect();
        // The same questions, so that what the caller itself reads is as much.
        let asked: Vec<(ShardId, Epoch)> =
            shards().into_iter().map(|shard| (ShardId(shard), map.epoch(ShardId(shard)))).collect();
        over(bencher, &asked, |(shard, _), _| owners[shard.index()].0 as u32);
    }
}

#[divan::bench_group]
mod encode {
    use super::*;

    #[divan::bench(args = [1, 3])]
    fn ours(bencher: Bencher<'_, '_>, replicas: u8) {
        let map = planned(replicas, Epochs::One);
        bencher.bench_local(|| encode_map(black_box(&map)));
    }

    #[divan::bench]
    fn ours_own_epochs(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::Sequence);
        bencher.bench_local(|| encode_map(black_box(&map)));
    }

    #[divan::bench]
    fn ours_first_proposal(bencher: Bencher<'_, '_>) {
        let first = plan(&ShardMap::new(SHARDS), &members(), &[], &settings(3));
        bencher.bench_local(|| encode_changes(black_box(&first)));
    }

    #[divan::bench]
    fn reference_prost_owners_only(bencher: Bencher<'_, '_>) {
        let owners = owners_only();
        bencher.bench_local(|| records::encode(black_box(&owners)));
    }

    #[divan::bench]
    fn reference_prost_owners_only_message_ready(bencher: Bencher<'_, '_>) {
        let message = records::message(&owners_only());
        bencher.bench_local(|| prost::Message::encode_to_vec(black_box(&message)));
    }

    #[divan::bench]
    fn reference_prost_three_replicas(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::One);
        bencher.bench_local(|| records::encode_replicated(black_box(&map)));
    }
}

#[divan::bench_group]
mod decode {
    use super::*;

    #[divan::bench(args = [1, 3])]
    fn ours(bencher: Bencher<'_, '_>, replicas: u8) {
        let bytes = encode_map(&planned(replicas, Epochs::One));
        bencher.bench_local(|| decode_map(black_box(&bytes)));
    }

    #[divan::bench]
    fn ours_own_epochs(bencher: Bencher<'_, '_>) {
        let bytes = encode_map(&planned(3, Epochs::Sequence));
        bencher.bench_local(|| decode_map(black_box(&bytes)));
    }

    #[divan::bench]
    fn ours_first_proposal(bencher: Bencher<'_, '_>) {
        let first = plan(&ShardMap::new(SHARDS), &members(), &[], &settings(3));
        let bytes = encode_changes(&first).unwrap();
        bencher.bench_local(|| decode_changes(black_box(&bytes)));
    }

    #[divan::bench]
    fn reference_prost_owners_only(bencher: Bencher<'_, '_>) {
        let bytes = records::encode(&owners_only());
        bencher.bench_local(|| records::decode(black_box(&bytes)));
    }

    #[divan::bench]
    fn reference_prost_three_replicas(bencher: Bencher<'_, '_>) {
        let bytes = records::encode_replicated(&planned(3, Epochs::One));
        bencher.bench_local(|| records::decode_replicated(black_box(&bytes)));
    }
}

#[divan::bench_group]
mod planning {
    use super::*;

    #[divan::bench]
    fn set_up(bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| ShardMap::new(black_box(SHARDS)));
    }

    #[divan::bench(args = [1, 3])]
    fn first_map(bencher: Bencher<'_, '_>, replicas: u8) {
        let (map, members) = (ShardMap::new(SHARDS), members());
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings(replicas)));
    }

    #[divan::bench]
    fn first_map_three_zones(bencher: Bencher<'_, '_>) {
        let (map, members) = (ShardMap::new(SHARDS), zoned());
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings(3)));
    }

    /// One node out, one in.
    #[divan::bench(args = [1, 3])]
    fn redistribute(bencher: Bencher<'_, '_>, replicas: u8) {
        let map = planned(replicas, Epochs::One);
        let members = cluster::one_out_one_in();
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings(replicas)));
    }

    #[divan::bench]
    fn redistribute_and_apply(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::One);
        let members = cluster::one_out_one_in();
        bencher.with_inputs(|| map.clone()).bench_local_values(|mut map| {
            let changes = plan(&map, &members, &[], &settings(3));
            cluster::apply(&mut map, &changes, |_| Epoch(2));
            black_box_drop(map);
        });
    }

    #[divan::bench]
    fn one_node_silent(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::One);
        let members = cluster::one_silent();
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings(3)));
    }

    #[divan::bench]
    fn nothing_to_do(bencher: Bencher<'_, '_>) {
        let (map, members) = (planned(3, Epochs::One), members());
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings(3)));
    }

    #[divan::bench]
    fn new_weights(bencher: Bencher<'_, '_>) {
        let (map, members) = (planned(3, Epochs::One), members());
        let weights: Vec<u32> = scattered().iter().map(|key| 1 + (key % 100) as u32).collect();
        bencher.bench_local(|| plan(black_box(&map), &members, &weights, &settings(3)));
    }

    /// No threshold at all: the planner's worst case, which nobody should set.
    #[divan::bench]
    fn new_weights_levelled_to_the_letter(bencher: Bencher<'_, '_>) {
        let (map, members) = (planned(3, Epochs::One), members());
        let weights: Vec<u32> = scattered().iter().map(|key| 1 + (key % 100) as u32).collect();
        let settings = PlanSettings { threshold_percent: 0, ..settings(3) };
        bencher.bench_local(|| plan(black_box(&map), &members, &weights, &settings));
    }

    #[divan::bench]
    fn one_node_silent_levelled_to_the_letter(bencher: Bencher<'_, '_>) {
        let map = planned(3, Epochs::One);
        let members = cluster::one_silent();
        let settings = PlanSettings { threshold_percent: 0, ..settings(3) };
        bencher.bench_local(|| plan(black_box(&map), &members, &[], &settings));
    }
}

//! Replicas move by plan: as many as are set, over zones, away from lost nodes, under load and through crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::http::Shard;
use shardloom_harness::load::{Load, Tally};

/// How long the replicas of all shards may take to be where they are to be.
const MOVED_MAX: Duration = Duration::from_secs(120);
/// How long a node may take to be back.
const BACK_MAX: Duration = Duration::from_secs(60);
/// Few: every node holds a part of all of them.
const SHARDS: u32 = 16;
/// How many clients call meanwhile.
const CLIENTS: usize = 4;
/// Values of the shard that is large, and the bytes of each.
const LARGE_VALUES: usize = 400;
const LARGE_VALUE_BYTES: usize = 48 << 10;

fn settings(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let list: Vec<Value> = serde_json::from_str(&cluster.cli(&["settings", "--json"])?)?;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    Ok(list.iter().map(|row| (text(row, "name"), text(row, "text"))).collect())
}

/// Waits until the replicas of every shard are as they should be, and nothing moves any more.
fn wait_for_replicas(cluster: &mut Cluster, what: &str, fits: impl Fn(&Shard) -> bool) -> Result<()> {
    cluster.wait(what, MOVED_MAX, |cluster| {
        let shards = cluster.shards(cluster.any()?)?;
        let misfit = shards.iter().find(|shard| !fits(shard));
        ensure!(misfit.is_none(), "shard {misfit:?}");
        Ok(())
    })?;
    cluster.wait_until_settled(MOVED_MAX)
}

fn under_load(
    cluster: &mut Cluster,
    name: &str,
    nodes: &[usize],
    act: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<Tally> {
    let load = Load {
        workload: "counter",
        nodes: nodes.iter().map(|node| cluster.url(*node, "")).collect(),
        clients: CLIENTS,
        name: name.to_owned(),
        made: AtomicU64::new(0),
    };
    let ((), tally) = load.during(|| act(cluster))?;
    println!("{name}: {} calls, {} of them writes, slowest {:.3?}", tally.calls, tally.writes, tally.slowest);
    ensure!(tally.writes > 0, "nothing was written");
    tally.verdict()?;
    Ok(tally)
}

#[test]
fn replicas_grow_and_shrink_as_is_set_and_no_call_is_lost() {
    let options = Options::of(5).map(|options| Options { shards: SHARDS, ..options });
    check(options, |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        ensure!(settings(cluster)?["replicas"] == "3");
        under_load(cluster, "resized", &[0, 1, 2, 3, 4], |cluster| {
            for replicas in [5, 1, 3] {
                cluster.cli(&["settings", "set", &format!("replicas={replicas}"), "moves_in_flight=4"])?;
                wait_for_replicas(cluster, "another number of replicas", |shard| {
                    shard.replicas.len() == replicas
                })?;
            }
            Ok(())
        })?;
        ensure!(settings(cluster)?["moves_in_flight"] == "4");
        let refused = cluster.cli(&["settings", "set", "replicas=4", "move_rate=fast"]);
        let refused = refused.err().context("a setting that is none was taken")?.to_string();
        ensure!(refused.contains("32MiB/s"), "{refused}");
        ensure!(settings(cluster)?["replicas"] == "3", "half of it was taken");
        Ok(())
    });
}

#[test]
fn replicas_spread_over_zones_and_follow_a_node_that_comes_back_in_another() {
    let zoned = |zone: &str| ["--zone".to_owned(), zone.to_owned()];
    let first = Options::of(1).map(|options| Options {
        shards: SHARDS,
        replicas: 2,
        first_flags: zoned("a").into(),
        ..options
    });
    check(first, |cluster| {
        for zone in ["a", "b", "b"] {
            let token = cluster.create_token()?;
            let flags = [cluster.join_flags(&token)?.as_slice(), &zoned(zone)].concat();
            cluster.add(&flags)?;
        }
        cluster.wait_for_members(4, BACK_MAX)?;
        let mut zones = BTreeMap::new();
        for (index, zone) in ["a", "a", "b", "b"].into_iter().enumerate() {
            zones.insert(cluster.id_of(index)?, zone);
        }
        let spread = |zones: &BTreeMap<String, &'static str>, shard: &Shard| {
            shard.replicas.iter().filter_map(|node| zones.get(node).copied()).collect::<BTreeSet<_>>().len()
        };
        wait_for_replicas(cluster, "replicas in both zones", |shard| {
            shard.replicas.len() == 2 && spread(&zones, shard) == 2
        })?;

        cluster.cli(&["settings", "set", "replicas=5"])?;
        let status = cluster.cli(&["status"])?;
        ensure!(status.contains("5 replicas wanted, 4 possible"), "{status}");
        cluster.cli(&["settings", "set", "replicas=3"])?;
        wait_for_replicas(cluster, "three replicas", |shard| shard.replicas.len() == 3)?;

        let moved = cluster.id_of(3)?;
        cluster.terminate(3)?;
        cluster.node_mut(3).start(&zoned("c"))?;
        zones.insert(moved, "c");
        cluster.wait_for_members(4, BACK_MAX)?;
        wait_for_replicas(cluster, "replicas in all three zones", |shard| spread(&zones, shard) == 3)
    });
}

#[test]
fn the_replicas_of_a_lost_node_are_made_anew_and_it_comes_back() {
    let options = Options::of(4).map(|options| Options { shards: SHARDS, ..options });
    check(options, |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        cluster.cli(&["settings", "set", "replica_grace=3s"])?;
        let lost = cluster.id_of(3)?;
        let holds = |shard: &Shard| shard.replicas.contains(&lost);
        ensure!(cluster.shards(0)?.iter().any(holds), "it holds nothing that could be lost");
        under_load(cluster, "replaced", &[0, 1, 2], |cluster| {
            cluster.kill(3)?;
            wait_for_replicas(cluster, "three replicas on three nodes", |shard| {
                !holds(shard) && shard.replicas.len() == 3
            })?;
            cluster.restart(3)?;
            cluster.wait_for_members(4, BACK_MAX)?;
            cluster.wait("shards on the node that is back", MOVED_MAX, |cluster| {
                ensure!(cluster.shards(0)?.iter().any(holds), "none so far");
                Ok(())
            })?;
            cluster.wait_until_settled(MOVED_MAX)
        })?;
        Ok(())
    });
}

/// A value that is none of another key or round.
fn value(key: usize, round: usize) -> Vec<u8> {
    let mut bytes = format!("{key}:{round}:").into_bytes();
    bytes.resize(LARGE_VALUE_BYTES, b'x');
    bytes
}

fn large_key(key: usize) -> String {
    format!("large:{key}")
}

fn fill(cluster: &Cluster, through: usize, round: usize) -> Result<u32> {
    let mut shard = None;
    for key in 0..LARGE_VALUES {
        let reply = cluster.call(through, "kv", &large_key(key), "put", &value(key, round))?.good()?;
        shard = reply.stamp().map(|stamp| stamp.shard);
    }
    shard.context("no reply says which shard")
}

fn verify(cluster: &Cluster, through: usize, round: usize) -> Result<()> {
    for key in 0..LARGE_VALUES {
        let reply = cluster.call(through, "kv", &large_key(key), "get", b"")?.good()?;
        ensure!(reply.body == value(key, round), "key {key} has another value");
    }
    Ok(())
}

/// The move of the shard, once some of its state is sent and much is not.
fn midway(cluster: &Cluster, through: usize, shard: u32) -> Result<Value> {
    cluster.wait("a move midway", MOVED_MAX, |cluster| {
        let moves: Value = cluster.admin(through, "GET", "/v1/moves").send()?.good()?.json()?;
        let list = moves["list"].as_array().context("no list")?;
        let one = list.iter().find(|one| one["shard"] == shard).context("it does not move")?;
        let bytes = |field: &str| one[field].as_u64().unwrap_or_default();
        let (sent, whole) = (bytes("sent_bytes"), bytes("whole_bytes"));
        ensure!(sent > 0 && sent < whole / 2, "{sent} of {whole} bytes");
        Ok(one.clone())
    })
}

/// Waits until the move of the shard is given up, as its target is silent.
fn given_up(cluster: &Cluster, through: usize, shard: u32) -> Result<()> {
    cluster.wait("the end of a move to a dead node", MOVED_MAX, |cluster| {
        let moves: Value = cluster.admin(through, "GET", "/v1/moves").send()?.good()?.json()?;
        let list = moves["list"].as_array().context("no list")?;
        ensure!(list.iter().all(|one| one["shard"] != shard), "{moves}");
        Ok(())
    })
}

#[test]
fn a_large_shard_moves_under_load_and_through_the_crash_of_either_side() {
    let options = Options::of(4).map(|options| Options { shards: 4, ..options });
    check(options, |cluster| {
        let function = shardloom_harness::artefacts::guest("by-tenant")?.display().to_string();
        cluster.deploy("kv", "kv", &["--shard-function", &function])?;
        cluster.deploy("counter", "counter", &[])?;
        let shard = fill(cluster, 0, 1)?;
        cluster.cli(&["settings", "set", "move_rate=2MiB/s"])?;
        let owner = cluster.shards(0)?[shard as usize].owner.clone().context("no owner")?;
        let through: Vec<usize> =
            (0..4).filter(|index| cluster.id_of(*index).is_ok_and(|id| id != owner)).collect();
        // The target of the move is the one node without a replica.
        let held = cluster.shards(0)?[shard as usize].replicas.clone();
        let target =
            through.iter().copied().find(|index| cluster.id_of(*index).is_ok_and(|id| !held.contains(&id)));
        let (target, source) = (target.context("every node holds it")?, cluster.index_of(&owner)?);
        let safe: Vec<usize> = through.iter().copied().filter(|index| *index != target).collect();
        under_load(cluster, "moved", &safe, |cluster| {
            cluster.cli(&["node", "drain", &owner, "--wait", "0"])?;
            let first = midway(cluster, safe[0], shard)?;
            println!("before the target is killed: {first}");
            let status = cluster.cli(&["status"])?;
            ensure!(status.contains("MOVE OF SHARD"), "{status}");
            cluster.kill(target)?;
            given_up(cluster, safe[0], shard)?;
            cluster.restart(target)?;
            println!("after it is back: {}", midway(cluster, safe[0], shard)?);
            cluster.kill(source)?;
            cluster.wait_until_served(BACK_MAX)?;
            verify(cluster, safe[0], 1)?;
            cluster.restart(source)?;
            cluster.wait_for_members(3, BACK_MAX)?;
            cluster.cli(&["settings", "set", "move_rate=64MiB/s"])?;
            wait_for_replicas(cluster, "nothing left on the drained node", |shard| {
                shard.replicas.len() == 3 && !shard.replicas.contains(&owner)
            })
        })?;
        let metrics = cluster.admin(cluster.leader()?, "GET", "/metrics").send()?.good()?.text();
        // A leader counts what it has done itself: one that came when the source was dead has not seen it drain.
        let about_it = ["node-drains", "node-lost", "too-few-replicas"];
        let counts = about_it.map(|reason| {
            let done = format!("shardloom_moves_total{{outcome=\"done\",reason=\"{reason}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&done))
        });
        ensure!(counts.iter().flatten().any(|count| *count != "0"), "no move is counted: {metrics}");
        verify(cluster, target, 1)?;
        fill(cluster, target, 2)?;
        verify(cluster, safe[0], 2)
    });
}

//! Disks that are full: shards go to nodes that have room, or say so, and all is well again once there is room.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, READY_MAX, check};
use shardloom_harness::load::Load;
use shardloom_harness::small_disk::SmallDisk;
use shardloom_harness::wait::until;

/// The size of a small disk, in MiB: a node takes some 60 of it at first.
const DISK_MIB: u32 = 256;
/// The marks of every node, to suit such a disk.
const MARKS: &str = "limits.disk_low_bytes=67108864,limits.disk_high_bytes=100663296";
/// How long shards may take to move off a full disk, or back.
const MOVE_MAX: Duration = Duration::from_secs(60);

fn options(nodes: usize) -> Result<Options> {
    let flags = ["--set", MARKS].map(str::to_owned).into();
    Ok(Options { flags, ..Options::of(nodes)? })
}

#[test]
fn shards_leave_a_node_whose_disk_is_full_and_come_back_when_it_has_room() {
    check(options(2), |cluster| {
        let Some(disk) = SmallDisk::mount(&cluster.directory().join("node-3"), DISK_MIB)? else {
            return Ok(());
        };
        let small = cluster.join()?;
        cluster.wait_for_members(3, READY_MAX)?;
        cluster.wait_until_settled(READY_MAX)?;
        cluster.deploy("counter", "counter", &[])?;
        let id = cluster.id_of(small)?;
        let owned = |cluster: &Cluster| {
            let shards = cluster.shards(0)?;
            let of = |at: &dyn Fn(&&shardloom_harness::http::Shard) -> bool| shards.iter().filter(at).count();
            Ok::<_, anyhow::Error>((
                of(&|shard| shard.owner.as_ref() == Some(&id)),
                of(&|shard| shard.replicas.contains(&id)),
            ))
        };
        ensure!(owned(cluster)?.0 > 0, "the small node owns nothing");
        let load = Load {
            workload: "counter",
            nodes: (0..3).map(|index| cluster.url(index, "")).collect(),
            clients: 4,
            name: "full".to_owned(),
            made: AtomicU64::new(0),
        };
        let more = || {
            let begun = load.made.load(Ordering::Relaxed);
            until("calls to be answered", READY_MAX, || {
                ensure!(load.made.load(Ordering::Relaxed) >= begun + 200, "they are not");
                Ok(())
            })
        };
        let ((), tally) = load.during(|| {
            more()?;
            disk.fill()?;
            until("the full node to own nothing", MOVE_MAX, || {
                let (owner, replica) = owned(cluster)?;
                ensure!(owner == 0, "it owns {owner}");
                ensure!(replica == 64, "it is a replica of {replica} only");
                Ok(())
            })?;
            for index in 0..3 {
                let alarm = |text: &String| text.contains(&id) && text.contains("is full");
                until("the alarm", MOVE_MAX, || {
                    ensure!(
                        cluster.status(index)?.warnings.iter().any(alarm),
                        "node {index} does not raise it"
                    );
                    Ok(())
                })?;
            }
            until("the metric", MOVE_MAX, || metric(cluster, small, "shardloom_disk_full 1"))?;
            more()?;
            disk.empty()?;
            until("the node to own shards again", MOVE_MAX, || {
                ensure!(owned(cluster)?.0 > 0, "it owns none");
                Ok(())
            })?;
            until("the end of the alarm", MOVE_MAX, || {
                let warnings = cluster.status(0)?.warnings;
                ensure!(!warnings.iter().any(|text| text.contains("is full")), "{warnings:?}");
                metric(cluster, small, "shardloom_disk_full 0")
            })?;
            more()
        })?;
        println!(
            "{} calls, {} of them writes; the slowest took {:?}",
            tally.calls, tally.writes, tally.slowest
        );
        tally.verdict()?;
        cluster.node_mut(small).check()?;
        cluster.kill(small)
    });
}

#[test]
fn where_no_node_has_room_calls_that_write_are_refused_and_others_go_on() {
    check(options(1), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        ensure!(cluster.terminate(0).is_ok(), "it does not end");
        let data = cluster.node(0).data();
        let aside = data.with_extension("aside");
        std::fs::rename(&data, &aside)?;
        let Some(disk) = SmallDisk::mount(&data, DISK_MIB)? else { return Ok(()) };
        let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(&data).status()?;
        ensure!(copied.success(), "cp ended with {copied}");
        cluster.restart(0)?;
        cluster.wait_until_served(READY_MAX)?;
        let mut total = 0;
        for key in 0..8 {
            cluster.call(0, "counter", &key.to_string(), "add", b"1")?.good()?;
        }
        total += 1;
        disk.fill()?;
        let refused = until("a call to be refused", MOVE_MAX, || {
            let reply = cluster.call(0, "counter", "0", "add", b"1")?;
            total += u64::from(reply.status == 200);
            ensure!(reply.status == 507, "it said {}: {}", reply.status, reply.text());
            reply.json::<Value>()
        })?;
        ensure!(refused["code"] == "disk-full" && refused["executed"] == "no", "{refused}");
        for key in 0..8 {
            let reply = cluster.call(0, "counter", &key.to_string(), "add", b"1")?;
            ensure!(reply.status == 507 && reply.code() == "disk-full", "{}: {}", reply.status, reply.text());
            let said: u64 =
                cluster.call(0, "counter", &key.to_string(), "get", b"")?.good()?.text().trim().parse()?;
            ensure!(said == if key == 0 { total } else { 1 }, "key {key} reads {said}");
        }
        until("the alarm", READY_MAX, || {
            let warnings = cluster.status(0)?.warnings;
            ensure!(warnings.iter().any(|text| text.contains("MiB are free")), "{warnings:?}");
            Ok(())
        })?;
        let upload =
            cluster.deploy("kv", "kv", &[]).err().context("a component was taken in on a full disk")?;
        ensure!(format!("{upload:#}").contains("room"), "{upload:#}");
        disk.empty()?;
        until("a call to be carried out again", MOVE_MAX, || {
            cluster.call(0, "counter", "0", "add", b"1")?.good()
        })?;
        let said: u64 = cluster.call(0, "counter", "0", "get", b"")?.good()?.text().trim().parse()?;
        ensure!(said == total + 1, "the counter reads {said}, after {total} and one more");
        cluster.node_mut(0).check()?;
        cluster.kill(0)
    });
}

/// Whether a node's metrics have this line.
fn metric(cluster: &Cluster, index: usize, line: &str) -> Result<()> {
    let text = cluster.admin(index, "GET", "/metrics").send()?.good()?.text();
    ensure!(text.lines().any(|found| found == line), "there is no {line:?}");
    Ok(())
}

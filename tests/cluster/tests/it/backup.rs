//! Backups of a cluster under load, restored into another.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use shardloom_harness::cluster::{Cluster, call_path, check};
use shardloom_harness::http::Http;
use shardloom_harness::{Options, until};

/// Clients, each with a counter and a tenant of the bank of its own.
const CLIENTS: usize = 6;
/// What the accounts of a tenant hold together.
const MONEY: u64 = 300;
const ACCOUNTS: [&str; 3] = ["ann", "bob", "cid"];
/// Rows that are too many for one part of a shard's state: of 40 KB each.
const LARGE_ROWS: usize = 60;
const LARGE_BYTES: usize = 40 << 10;
/// How long things may take on a machine that does much else.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a client has counted: attempts before it sends them, acknowledgements after it has got them.
#[derive(Default)]
struct Counted {
    attempted: AtomicU64,
    acknowledged: AtomicU64,
    transfers: AtomicU64,
}

fn options() -> Result<Options> {
    Ok(Options { shards: 16, ..Options::of(3)? })
}

fn prepare(cluster: &Cluster) -> Result<()> {
    cluster.deploy("counter", "counter", &[])?;
    cluster.deploy("bank", "bank", &["--limit", "state_bytes=1000000", "--config", "currency=EUR"])?;
    cluster.deploy("kv", "kv", &[])?;
    for client in 0..CLIENTS {
        for account in ACCOUNTS {
            let body = format!(r#"{{"account": "{account}", "amount": {}}}"#, MONEY / ACCOUNTS.len() as u64);
            cluster.call(client % 3, "bank", &format!("tenant-{client}"), "open", body.as_bytes())?.good()?;
        }
    }
    for row in 0..LARGE_ROWS {
        cluster.call(0, "kv", &format!("large-{row}"), "put", &large(row))?.good()?;
    }
    Ok(())
}

fn large(row: usize) -> Vec<u8> {
    vec![b'a' + (row % 26) as u8; LARGE_BYTES]
}

/// One client, until it is told to stop: counts, and moves money about.
fn client(urls: &[String], number: usize, counted: &Counted, done: &AtomicBool) -> Result<()> {
    let http = Http::new();
    let mut turn = number;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let url = &urls[turn % urls.len()];
        let ask = |path: String| http.ask("POST", format!("{url}{path}")).within(WAIT_MAX);
        counted.attempted.fetch_add(1, Ordering::SeqCst);
        ask(call_path("counter", &format!("count-{number}"), "add")).body("1").send()?.good()?;
        counted.acknowledged.fetch_add(1, Ordering::SeqCst);
        let (from, to) = (ACCOUNTS[turn % 3], ACCOUNTS[(turn + 1 + turn % 2) % 3]);
        let body = format!(r#"{{"from": "{from}", "to": "{to}", "amount": {}}}"#, turn % 40);
        let moved = ask(call_path("bank", &format!("tenant-{number}"), "transfer")).body(body).send()?;
        // Too little money is an answer, too.
        ensure!(matches!(moved.status, 200 | 409), "{}: {}", moved.status, moved.text());
        counted.transfers.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn sums(counted: &[Counted], of: impl Fn(&Counted) -> &AtomicU64) -> Vec<u64> {
    counted.iter().map(|counted| of(counted).load(Ordering::SeqCst)).collect()
}

/// Makes a backup while clients call the nodes in `urls`; returns for each the least and the most that it may have counted in it.
fn backup_under_load(
    cluster: &mut Cluster,
    urls: &[String],
    to: &Path,
    before: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<Vec<(u64, u64)>> {
    let counted: Vec<Counted> = (0..CLIENTS).map(|_| Counted::default()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = counted
            .iter()
            .enumerate()
            .map(|(number, counted)| {
                let done = &done;
                scope.spawn(move || client(urls, number, counted, done))
            })
            .collect();
        let more = |count: u64| {
            let begun = sums(&counted, |counted| &counted.transfers);
            until("every client to go on", WAIT_MAX, || {
                let now = sums(&counted, |counted| &counted.transfers);
                ensure!(begun.iter().zip(now).all(|(begun, now)| now >= begun + count), "not yet");
                Ok(())
            })
        };
        let acted = (|| {
            more(20)?;
            before(cluster)?;
            let least = sums(&counted, |counted| &counted.acknowledged);
            cluster.cli(&["backup", &to.display().to_string()])?;
            let most = sums(&counted, |counted| &counted.attempted);
            more(20)?;
            Ok(least.into_iter().zip(most).collect())
        })();
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        acted
    })
}

/// Checks that each shard was saved as it was at one moment, between the two that are named.
fn check_restored(cluster: &Cluster, bounds: &[(u64, u64)]) -> Result<()> {
    for (number, (least, most)) in bounds.iter().enumerate() {
        let reply = cluster.call(number % 3, "counter", &format!("count-{number}"), "get", b"")?.good()?;
        let found: u64 = reply.text().parse()?;
        let right = (*least..=*most).contains(&found);
        ensure!(
            right,
            "client {number} has {found}: {least} were acknowledged before, {most} attempted until then"
        );
        let reply = cluster.call(number % 3, "bank", &format!("tenant-{number}"), "balances", b"")?.good()?;
        let balances: Value = reply.json()?;
        let sum: u64 = balances.as_object().context("no balances")?.values().filter_map(Value::as_u64).sum();
        ensure!(sum == MONEY, "tenant {number} has {balances}");
    }
    for row in 0..LARGE_ROWS {
        let reply = cluster.call(1, "kv", &format!("large-{row}"), "get", b"")?.good()?;
        ensure!(reply.body == large(row), "large row {row} is another");
    }
    Ok(())
}

fn refused(cluster: &Cluster, words: &[&str], why: &str) -> Result<()> {
    let output = cluster.cli_output(words)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains(why), "{words:?} was not refused with {why:?}: {said}");
    Ok(())
}

#[test]
fn a_backup_under_load_is_restored_elsewhere_and_lacks_nothing_older() {
    check(options(), |cluster| {
        prepare(cluster)?;
        let once = |cluster: &Cluster| {
            let path = call_path("counter", "once", "add");
            cluster.ask(0, "POST", &path).header("idempotency-key", "k").body("5").send()?.good()
        };
        ensure!(once(cluster)?.text() == "5", "the first call counts");
        let directory = cluster.directory().join("backup");
        let urls: Vec<String> = (0..3).map(|node| cluster.url(node, "")).collect();
        let bounds = backup_under_load(cluster, &urls, &directory, |_| Ok(()))?;
        let shown = directory.display().to_string();
        refused(cluster, &["backup", &shown], "something in it")?;
        refused(cluster, &["restore", &shown], "holds a state already")?;

        let unfinished = cluster.directory().join("unfinished");
        std::fs::create_dir_all(unfinished.join("shards"))?;
        check(options(), |other| {
            refused(other, &["restore", &unfinished.display().to_string()], "interrupted")?;
            let shard = directory.join("shards/00003.state");
            let whole = std::fs::read(&shard)?;
            std::fs::write(&shard, &whole[..whole.len() - 1])?;
            refused(other, &["restore", &shown], "damaged or cut")?;
            std::fs::write(&shard, whole)?;
            other.cli(&["restore", &shown])?;
            check_restored(other, &bounds)?;
            ensure!(
                once(other)?.text() == "5",
                "a call under an idempotency key is known after a restore, too"
            );
            let total = other.call(1, "counter", "once", "get", b"")?.good()?.text();
            ensure!(total == "5", "it was counted again: {total}");
            let workloads: Value = other.admin(0, "GET", "/v1/workloads").send()?.good()?.json()?;
            ensure!(workloads[0]["limits"]["state_bytes"] == 1_000_000, "{workloads}");
            ensure!(workloads[0]["config"]["currency"] == "EUR", "{workloads}");
            // Again, it finds that everything is done; what was written since stays.
            other.call(0, "counter", "once", "add", b"1")?.good()?;
            other.cli(&["restore", &shown])?;
            let total = other.call(1, "counter", "once", "get", b"")?.good()?.text();
            ensure!(total == "6", "the second restore has overwritten something: {total}");
            Ok(())
        });
        check(Ok(Options { shards: 8, nodes: 1, ..options()? }), |small| {
            refused(small, &["restore", &shown], "--shards 16")
        });
        Ok(())
    });
}

#[test]
fn a_backup_that_an_owner_dies_under_is_whole_all_the_same() {
    check(options(), |cluster| {
        prepare(cluster)?;
        let leader = cluster.leader()?;
        let victim = (0..3).find(|node| *node != leader).context("all nodes lead")?;
        let directory = cluster.directory().join("backup");
        let survivors: Vec<String> =
            (0..3).filter(|node| *node != victim).map(|node| cluster.url(node, "")).collect();
        let bounds = backup_under_load(cluster, &survivors, &directory, |cluster| cluster.kill(victim))?;
        let shown = directory.display().to_string();
        check(options(), |other| {
            other.cli(&["restore", &shown])?;
            check_restored(other, &bounds)
        });
        Ok(())
    });
}

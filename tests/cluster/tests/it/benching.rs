//! `shardloom bench`: what it reports is what the guests have seen, and what failed is not hidden.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::tool;

/// How many keys are called.
const KEYS: usize = 20;

/// Runs the command on the guest that counts: each call adds 1.
fn bench(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    let printed = cluster.cli(&all_words(words))?;
    serde_json::from_str(&printed).context("what was printed is no JSON")
}

fn all_words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "bench",
        "counter",
        "--json",
        "--keys",
        "20",
        "--key-prefix",
        "k-",
        "--method",
        "add",
        "--body",
        "1",
    ];
    [fixed.as_slice(), words].concat()
}

/// What the guest has counted in all.
fn counted(cluster: &Cluster) -> Result<u64> {
    let through = cluster.any()?;
    (0..KEYS).try_fold(0, |sum, key| {
        let total = cluster.call(through, "counter", &format!("k-{key}"), "get", b"")?.good()?.text();
        Ok(sum + total.trim().parse::<u64>()?)
    })
}

fn number(value: &Value, name: &str) -> Result<u64> {
    value[name].as_u64().with_context(|| format!("{name} is no number in {value}"))
}

/// One figure of all ways of calling together.
fn sum(report: &Value, name: &str) -> Result<u64> {
    let lanes = report["lanes"].as_array().context("no lanes")?;
    lanes.iter().try_fold(0, |sum, lane| Ok(sum + number(lane, name)?))
}

/// All calls that the guest must have counted, warm-up included; nothing may have failed.
fn good(report: &Value) -> Result<u64> {
    ensure!(sum(report, "failed")? == 0 && report["warm_up"]["failed"] == 0, "calls failed: {report:#}");
    Ok(sum(report, "ok")? + number(&report["warm_up"], "ok")?)
}

/// The parts of each way of calling sum up to the whole of it.
fn check_parts(report: &Value) -> Result<()> {
    for lane in report["lanes"].as_array().context("no lanes")? {
        for parts in ["nodes", "methods"] {
            for name in ["ok", "failed"] {
                let of_parts: u64 = lane[parts]
                    .as_array()
                    .context("no parts")?
                    .iter()
                    .filter_map(|part| part[name].as_u64())
                    .sum();
                ensure!(of_parts == number(lane, name)?, "{name} of {parts}: {of_parts} in {lane:#}");
            }
        }
        let failures: u64 = lane["failures"]
            .as_array()
            .context("no failures")?
            .iter()
            .filter_map(|one| one["calls"].as_u64())
            .sum();
        ensure!(failures == number(lane, "failed")?, "failures: {lane:#}");
        let steps: u64 = lane["histogram"]
            .as_array()
            .context("no histogram")?
            .iter()
            .filter_map(|one| one["calls"].as_u64())
            .sum();
        ensure!(steps == number(lane, "ok")?, "histogram: {lane:#}");
    }
    Ok(())
}

/// Starts a run that goes on for long, and waits until it has shown a line, so that it is under way.
fn begun(cluster: &Cluster, words: &[&str]) -> Result<(Child, String)> {
    let mut command = cluster.cli_command(&all_words(words))?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let mut lines = BufReader::new(child.stderr.take().context("no standard error")?);
    lines.read_line(&mut line)?;
    // Nobody reads the lines to come, and there is room for them in the pipe.
    child.stderr = Some(lines.into_inner());
    Ok((child, line))
}

/// What such a run has printed when it has ended well.
fn ended(mut child: Child) -> Result<Value> {
    let mut printed = String::new();
    child.stdout.take().context("no standard output")?.read_to_string(&mut printed)?;
    let status = child.wait()?;
    ensure!(status.success(), "the command ended with {status}: {printed}");
    serde_json::from_str(&printed).context("what was printed is no JSON")
}

#[test]
fn every_call_that_is_reported_was_counted_by_the_guest_and_no_other() {
    check(Options::of(3), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        let closed =
            bench(cluster, &["--clients", "8", "--seconds", "2", "--warm-up", "1", "--zipf", "0.99"])?;
        let mut calls = good(&closed)?;
        check_parts(&closed)?;
        ensure!(counted(cluster)? == calls, "{calls} were reported, {} counted", counted(cluster)?);
        let lane = &closed["lanes"][0];
        ensure!(lane["nodes"].as_array().map(Vec::len) == Some(3), "not all nodes have answered: {lane:#}");
        ensure!(number(&lane["latency_us"], "p50")? > 0, "{lane:#}");

        // 300 calls of each way, whatever they take.
        let words =
            ["--rate", "100", "--seconds", "3", "--warm-up", "0", "--through", "owner,one", "--seed", "7"];
        let open = bench(cluster, &words)?;
        calls += good(&open)?;
        check_parts(&open)?;
        ensure!(counted(cluster)? == calls, "{calls} were reported, {} counted", counted(cluster)?);
        ensure!(sum(&open, "ok")? + sum(&open, "not_started")? == 600, "not 100 a second: {open:#}");
        let owner = &open["lanes"][0];
        ensure!(
            number(owner, "direct")? == number(owner, "ok")?,
            "owners were not asked directly: {owner:#}"
        );
        let one = &open["lanes"][1];
        ensure!(number(one, "direct")? < number(one, "ok")?, "one node owns everything: {one:#}");
        Ok(())
    });
}

#[test]
fn calls_that_fail_when_a_node_dies_are_reported_and_not_hidden() {
    check(Options::of(3), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        for through in ["all", "owner"] {
            let before = counted(cluster)?;
            let words = ["--clients", "8", "--seconds", "8", "--warm-up", "0", "--through", through];
            let (child, line) = begun(cluster, &words)?;
            ensure!(line.contains(" ok "), "no line about the first second: {line:?}");
            cluster.kill(2)?;
            let report = ended(child)?;
            check_parts(&report)?;
            let lane = &report["lanes"][0];
            let of = |executed: &str| -> u64 {
                let failures = lane["failures"].as_array().into_iter().flatten();
                let alike = failures.filter(|failure| failure["executed"] == executed);
                alike.filter_map(|failure| failure["calls"].as_u64()).sum()
            };
            let (ok, failed, unknown) = (number(lane, "ok")?, number(lane, "failed")?, of("unknown"));
            ensure!(failed > 0 && of("no") > 0, "through {through} nothing failed: {lane:#}");
            ensure!(ok > failed, "the others did not go on: {lane:#}");
            let counted = counted(cluster)? - before;
            ensure!(
                (ok..=ok + unknown).contains(&counted),
                "through {through} {counted} calls were counted, {ok} reported, {unknown} in doubt: {lane:#}"
            );
            cluster.restart(2)?;
            cluster.wait_for_members(3, shardloom_harness::cluster::READY_MAX)?;
            cluster.wait_until_settled(shardloom_harness::cluster::READY_MAX)?;
        }
        Ok(())
    });
}

#[test]
fn an_interrupted_run_shows_its_figures_so_far() {
    check(Options::of(1), |cluster| {
        cluster.deploy("counter", "counter", &[])?;
        let (child, _) = begun(cluster, &["--rate", "50", "--seconds", "3600", "--warm-up", "0"])?;
        tool::run("sh", &["-c", &format!("kill -INT {}", child.id())])?;
        let report = ended(child)?;
        ensure!(report["interrupted"] == true, "{report:#}");
        let calls = good(&report)?;
        ensure!(calls > 0 && counted(cluster)? == calls, "{calls} were reported: {report:#}");
        ensure!(sum(&report, "not_started")? < 50, "calls count as missed that were not yet due: {report:#}");
        Ok(())
    });
}

#[test]
fn components_of_wasi_http_are_called_by_their_paths() {
    check(Options::of(2), |cluster| {
        cluster.deploy("web-kv", "web", &["--key-from", "path:1"])?;
        let words =
            ["bench", "web", "--keys", "3", "--clients", "4", "--seconds", "1", "--warm-up", "0", "--json"];
        let sent = ["--path", "/{key}", "--method", "PUT", "--body", "tea"];
        let report: Value = serde_json::from_str(&cluster.cli(&[words.as_slice(), &sent].concat())?)?;
        good(&report)?;
        for key in 0..3 {
            let reply = cluster.ask(0, "GET", &format!("/w/web/bench-{key}")).send()?.good()?;
            ensure!(reply.text() == "tea", "{}", reply.text());
        }
        // What a component answers by itself is told from what a node says.
        let read =
            ["--path", "/{key}/nothing", "--key-prefix", "none-", "--method", "GET:3", "--method", "HEAD:0"];
        let output = cluster.cli_output(&[words.as_slice(), &read].concat())?;
        ensure!(!output.status.success(), "no call succeeded, and that was said to be well");
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let failure = &report["lanes"][0]["failures"][0];
        ensure!(failure["code"] == "status-404" && failure["executed"] == "yes", "{report:#}");

        for (words, said) in [
            (["bench", "web", "--keys", "3"].as_slice(), "--path"),
            (&["bench", "nobody"], "no workload"),
            (&["bench", "web", "--path", "/all"], "{key}"),
        ] {
            let output = cluster.cli_output(words)?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(!output.status.success() && error.contains(said), "{words:?}: {error}");
        }
        Ok(())
    });
}

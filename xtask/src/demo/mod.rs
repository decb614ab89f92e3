//! `cargo xtask demo`: three nodes, a real text, a leader killed in mid-stream, and every count checked.

mod heal;
mod report;
mod stream;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use indicatif::ProgressBar;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::mount::Disks;
use shardloom_harness::network::Network;
use shardloom_harness::{Options, artefacts};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{guests, step, wasm_target};

/// The guest that is deployed, and the name it is deployed under.
const WORKLOAD: &str = "word-count";
/// How many nodes take part.
const NODES: usize = 3;
/// How often the stream's progress is looked at.
const POLL: Duration = Duration::from_millis(5);
/// The text that is on every Debian machine.
const DEBIAN_TEXT: &str = "/usr/share/common-licenses/GPL-3";

/// Count the words of a text on three nodes, kill the leader in the middle of it, and check every count.
#[derive(Args)]
pub(crate) struct Demo {
    /// End when all is shown, with 0 only if all was right.
    #[arg(long)]
    once: bool,
    /// The text to count.
    #[arg(long)]
    file: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        let text = self.text()?;
        guests::build_rust(&wasm_target::ensure()?)?;
        artefacts::use_binary(step::build_binary(false)?);

        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, interrupted.clone())?;
        }
        let mut cluster = start()?;
        let shown = show(&mut cluster, &text, &interrupted);
        if shown.is_err() {
            eprintln!("{}", cluster.logs());
        }
        shown?;
        if !self.once && !interrupted.load(Ordering::Relaxed) {
            leave_running(&cluster)?;
        }
        Ok(())
    }

    /// The text: the one given, else one that is surely there.
    fn text(&self) -> Result<String> {
        let own = artefacts::workspace().join("LICENSE");
        let path = match &self.file {
            Some(path) => path.as_path(),
            None if Path::new(DEBIAN_TEXT).exists() => Path::new(DEBIAN_TEXT),
            None => own.as_path(),
        };
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        println!("text: {}, {} bytes", path.display(), bytes.len());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn start() -> Result<Cluster> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    let shown = spinner.clone();
    let options = Options {
        disks: Disks::default(),
        nodes: NODES,
        shards: 1024,
        replicas: 3,
        network: Network::localhost(),
        binary: None,
        flags: Vec::new(),
        first_flags: Vec::new(),
        progress: Box::new(move |what| shown.set_message(what.to_owned())),
    };
    let cluster = Cluster::start_with(options);
    spinner.finish_and_clear();
    cluster
}

/// Everything that the demo shows, in order.
fn show(cluster: &mut Cluster, text: &str, interrupted: &AtomicBool) -> Result<()> {
    let status = cluster.status(0)?;
    println!("cluster {} serves {} shards:", status.cluster_id, status.shards.total);
    for node in &status.nodes {
        println!("  http://{}  {}  {}", node.http, node.id, node.role);
    }
    cluster.deploy(WORKLOAD, WORKLOAD, &[]).context("the deploy")?;
    println!("deployed {WORKLOAD} on all nodes");

    let expected = words::count(text);
    ensure!(!expected.is_empty(), "the text has no words");
    let calls = stream_and_kill(cluster, text, interrupted)?;
    let counted = stream::read_all(&urls(cluster), &expected, interrupted)?;
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(word, count)| counted.get(*word).map(|found| found.total) != Some(**count))
        .map(|(word, count)| format!("{word}: {count}, not {:?}", counted.get(word).map(|found| found.total)))
        .collect();
    ensure!(wrong.is_empty(), "{} counts are wrong: {}", wrong.len(), wrong.join("; "));
    println!("all {} counts are right, of {} words\n", expected.len(), expected.values().sum::<u64>());

    let status = cluster.status(cluster.any()?)?;
    print!("{}", report::commonest(&counted, &status)?);
    print!("{}", report::spread(&calls, &status));
    Ok(())
}

/// Counts the words, and kills the leader when half of them are counted.
fn stream_and_kill(
    cluster: &mut Cluster,
    text: &str,
    interrupted: &AtomicBool,
) -> Result<BTreeMap<String, u64>> {
    let (nodes, half, made) = (urls(cluster), words::words(text).count() / 2, AtomicUsize::new(0));
    thread::scope(|scope| {
        let stream = scope.spawn(|| stream::add_all(&nodes, text, interrupted, &made));
        while made.load(Ordering::Relaxed) < half && !stream.is_finished() {
            thread::sleep(POLL);
        }
        let killed = if stream.is_finished() { Ok(()) } else { heal::kill_leader(cluster) };
        let calls = stream.join().map_err(|_| anyhow!("the stream of calls panicked"))??;
        killed.map(|()| calls)
    })
}

fn urls(cluster: &Cluster) -> Vec<String> {
    cluster.running().map(|node| cluster.url(node.index, "")).collect()
}

/// Waits for Ctrl-C, with the cluster there to play with.
fn leave_running(cluster: &Cluster) -> Result<()> {
    println!("\nthe cluster goes on until Ctrl-C:");
    for node in cluster.running() {
        println!("  http://{}", node.addresses.http);
    }
    let first = cluster.any()?;
    println!("try, in another terminal:");
    println!("  export SHARDLOOM_SERVER={}", cluster.url(first, ""));
    println!("  export SHARDLOOM_ADMIN_TOKEN={}", cluster.token());
    println!("  {} status", artefacts::binary()?.display());
    println!("  curl -X POST {}", cluster.url(first, &format!("/v1/call/{WORKLOAD}/shardloom")));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if signals.forever().next().is_none() {
        bail!("the wait for Ctrl-C failed");
    }
    Ok(())
}

//! `shardloom backup`: everything that a cluster keeps, into a directory, while it serves.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::shard_file::ShardFileHeader;

use super::backup_dir::{BackupDir, FileEntry, Manifest, ShardEntry, ShardReader, WorkloadEntry};
use super::client::{Client, ClientError, SLOW};
use super::replies::{StatusReply, typed};
use super::{Global, progress};

/// Shards that are on their way at once: one waits for the disk or a hand-over while others go on.
pub(super) const SHARDS_AT_ONCE: usize = 4;
/// How long a shard is tried that cannot be read or written now.
const SHARD_TRIES_MAX: Duration = Duration::from_secs(120);
/// The pause between two tries: hand-overs take about as long.
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// Back up everything that a cluster keeps to a new directory, while it serves.
#[derive(Args)]
#[command(
    after_help = "Each shard is saved as it is at one moment, with every write that was acknowledged before the
backup began. Shards are saved one after another, so two of them are not of the same moment.

Example:
  shardloom backup ./backup-monday"
)]
pub(super) struct Backup {
    /// A directory that is not there yet, or empty.
    directory: PathBuf,
}

impl Backup {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let status: StatusReply = typed(&client.read("/v1/status")?)?;
        ensure!(status.shard_count > 0, "the node does not say how many shards there are");
        let directory = BackupDir::create(&self.directory)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut manifest = Manifest::begin(status.cluster_id, status.shard_count, now);
        let bar = progress::count("shards saved", u64::from(status.shard_count));
        let saved = each_shard(0..status.shard_count, |shard| {
            let entry = save(&client, &directory, shard)?;
            bar.inc(1);
            Ok(entry)
        });
        bar.finish_and_clear();
        manifest.shards = saved?;
        // After the shards: a component must be able to read the state of its predecessors, not of its successors.
        let workloads = client.read("/v1/workloads")?;
        manifest.workloads = typed::<Vec<WorkloadEntry>>(&workloads)?;
        let weigher = client.read("/v1/admin/weigher")?["component"].take();
        manifest.weigher = typed::<Option<Digest>>(&weigher)?;
        let components = manifest.needed();
        let bar = progress::count("components saved", components.len() as u64);
        for component in components {
            manifest.components.push(save_component(&client, &directory, component)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        directory.finish(&manifest)?;
        let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
        let reply = json!({
            "directory": self.directory,
            "cluster_id": manifest.cluster,
            "shards": manifest.shard_count,
            "rows": rows,
            "workloads": manifest.workloads.len(),
            "bytes": manifest.bytes(),
        });
        global.output().print(&reply, |_| {
            Ok(format!(
                "{} holds {} shard(s) with {rows} row(s) and {} workload(s), {} bytes",
                self.directory.display(),
                manifest.shard_count,
                manifest.workloads.len(),
                manifest.bytes()
            ))
        })
    }
}

fn save(client: &Client, directory: &BackupDir, shard: u32) -> anyhow::Result<ShardEntry> {
    let path = format!("/v1/admin/backup/shards/{shard}");
    let (file, (header, rows)) = tried(shard, || {
        directory.write(BackupDir::shard_file(shard), |file| {
            let mut checked = Checked { file, reader: ShardReader::default() };
            client.download(&path, SLOW, &mut checked)?;
            // A body that ends too early is as good as an answer that did not come.
            let lost = |error: anyhow::Error| ClientError::Lost {
                server: "the node".into(),
                reason: error.to_string(),
            };
            Ok(checked.reader.finish().map_err(lost)?)
        })
    })?;
    let ShardFileHeader { shard: found, tail } = header;
    ensure!(found.0 == shard, "asked for shard {shard}, the node sent {found}");
    Ok(ShardEntry { shard, file, rows, stamp: tail.stamp.0, position: tail.position.0 })
}

fn save_component(client: &Client, directory: &BackupDir, component: Digest) -> anyhow::Result<FileEntry> {
    let path = format!("/v1/components/{component}");
    let (entry, ()) = directory.write(BackupDir::component_file(&component), |file| {
        client.download(&path, SLOW, file).with_context(|| format!("component {component}"))
    })?;
    ensure!(entry.sha256 == component, "the node sent other bytes than component {component}");
    Ok(entry)
}

/// A file that is read as it is written.
struct Checked<'a, W> {
    file: &'a mut W,
    reader: ShardReader,
}

impl<W: Write> Write for Checked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reader.feed(bytes, |_row| Ok(())).map_err(io::Error::other)?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Does something to a shard, again and again while the cluster says, or seems to say, that it may go later: its owner dies, say.
///
/// # Errors
/// The last one, or the first that no waiting will mend.
pub(super) fn tried<T>(shard: u32, mut act: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = Instant::now() + SHARD_TRIES_MAX;
    loop {
        match act() {
            Err(error) if may_pass(&error) && Instant::now() < end => thread::sleep(TRY_PAUSE),
            done => return done.with_context(|| format!("shard {shard}")),
        }
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused { problem, .. }) => problem.retryable,
        Some(ClientError::Lost { .. } | ClientError::Unreachable { .. }) => true,
        _ => false,
    }
}

/// Does something to each shard, to some at once; in the order of the shards.
///
/// # Errors
/// The first that there was; no further shard is begun then.
pub(super) fn each_shard<T: Send, S: Send>(
    shards: impl IntoIterator<Item = S, IntoIter: Send>,
    act: impl Fn(S) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let left = Mutex::new(shards.into_iter().enumerate());
    let done: Mutex<Vec<(usize, anyhow::Result<T>)>> = Mutex::default();
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..SHARDS_AT_ONCE {
            scope.spawn(|| {
                while let Some((number, shard)) = next() {
                    let result = act(shard);
                    let failed = result.is_err();
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                    if failed {
                        while next().is_some() {}
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_gives_its_results_in_order_and_stops_at_an_error() {
        assert_eq!(each_shard(0..50_u32, |shard| Ok(shard * 2)).unwrap()[49], 98);
        let begun = Mutex::new(0);
        let failed = each_shard(0..10_000_u32, |shard| {
            *begun.lock().unwrap() += 1;
            ensure!(shard != 3, "three");
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "three");
        assert!(*begun.lock().unwrap() < 10_000);
    }
}

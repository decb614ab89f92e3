//! `shardloom restore`: a backup into a new cluster.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::shard_file::{StateRow, encode_rows};
use ureq::http::Method;

use super::backup::{each_shard, tried};
use super::backup_dir::{BackupDir, Manifest, ShardEntry, WorkloadEntry};
use super::client::{Client, Outgoing, SLOW};
use super::replies::{StatusReply, typed};
use super::segment::segment;
use super::{Global, progress};

/// Bytes of rows that are sent at once: below what a node takes as one body.
const SENT_BYTES: usize = 768 << 10;

/// Restore a backup into a new cluster that has the same number of shards and no workloads.
#[derive(Args)]
#[command(
    after_help = "Everything is checked before anything is written. Workloads are deployed once all shards have their state,
so that no call sees half of it: deploy nothing yourself until it is done. A restore that was interrupted can be run again.

Example:
  shardloom restore ./backup-monday"
)]
pub(super) struct Restore {
    /// The directory of the backup.
    directory: PathBuf,
}

impl Restore {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let (directory, manifest, name) = BackupDir::open(&self.directory)?;
        check_files(&directory, &manifest)?;
        let deployed = check_cluster(&client, &manifest)?;
        if deployed.is_empty() {
            upload_components(&client, &directory, &manifest)?;
        }
        let bar = progress::count("shards restored", u64::from(manifest.shard_count));
        let restored = each_shard(&manifest.shards, |entry| {
            let anew = restore_shard(&client, &directory, entry, name)?;
            bar.inc(1);
            Ok(u32::from(anew))
        });
        bar.finish_and_clear();
        let restored: u32 = restored?.into_iter().sum();
        for workload in manifest.workloads.iter().filter(|workload| !deployed.contains(workload)) {
            deploy(&client, workload)?;
        }
        if let Some(weigher) = manifest.weigher {
            client.write(Method::POST, "/v1/admin/weigher", &json!({ "component": weigher }), SLOW)?;
        }
        let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
        let reply = json!({
            "directory": self.directory,
            "from_cluster_id": manifest.cluster,
            "shards": manifest.shard_count,
            "shards_restored_now": restored,
            "rows": rows,
            "workloads": manifest.workloads.len(),
        });
        global.output().print(&reply, |_| {
            Ok(format!(
                "{} shard(s) with {rows} row(s) and {} workload(s) are restored",
                manifest.shard_count,
                manifest.workloads.len()
            ))
        })
    }
}

fn check_files(directory: &BackupDir, manifest: &Manifest) -> anyhow::Result<()> {
    let total = manifest.shards.len() + manifest.components.len();
    let bar = progress::count("files checked", total as u64);
    for component in &manifest.components {
        directory.check(component)?;
        bar.inc(1);
    }
    for shard in &manifest.shards {
        directory.check(&shard.file)?;
        directory.rows(shard, |row| Ok(row.split_key().map(drop)?))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Checks that the backup fits the cluster; which of its workloads a restore before this one has deployed already.
fn check_cluster(client: &Client, manifest: &Manifest) -> anyhow::Result<Vec<WorkloadEntry>> {
    let status: StatusReply = typed(&client.read("/v1/status")?)?;
    ensure!(
        status.shard_count == manifest.shard_count,
        "the backup has {} shards, the cluster {}: make a cluster with `shardloom node --bootstrap --shards {}`",
        manifest.shard_count,
        status.shard_count,
        manifest.shard_count
    );
    let found: Vec<WorkloadEntry> = typed(&client.read("/v1/workloads")?)?;
    let mut deployed = Vec::new();
    for workload in found {
        let known = manifest.workloads.iter().find(|known| known.name == workload.name);
        match known.filter(|known| known.spec == workload.spec) {
            Some(known) => deployed.push(known.clone()),
            None => bail!(
                "workload {} is deployed in this cluster: restore into a new one, since nothing is overwritten",
                workload.name
            ),
        }
    }
    Ok(deployed)
}

fn upload_components(client: &Client, directory: &BackupDir, manifest: &Manifest) -> anyhow::Result<()> {
    for component in &manifest.components {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut directory.read(&component.file)?, &mut bytes)?;
        let bar = progress::upload(bytes.len());
        let outgoing = Outgoing::new(Method::PUT, format!("/v1/components/{}", component.sha256))
            .header("content-type", "application/wasm")
            .body(&bytes)
            .deadline(SLOW)
            .progress(bar.clone());
        let sent = client.json(outgoing);
        bar.finish_and_clear();
        sent.with_context(|| component.file.clone())?;
    }
    Ok(())
}

/// Restores a shard; false if that was done before.
fn restore_shard(
    client: &Client,
    directory: &BackupDir,
    entry: &ShardEntry,
    backup: Digest,
) -> anyhow::Result<bool> {
    let step = |step: &str, rows: &[u8]| {
        let path = format!("/v1/admin/restore/shards/{}?backup={backup}&step={step}", entry.shard);
        tried(entry.shard, || {
            let outgoing = Outgoing::new(Method::POST, path.as_str()).body(rows).deadline(SLOW);
            Ok(client.json(outgoing.header("content-type", "application/octet-stream"))?)
        })
    };
    let begun: Value = step("begin", &[])?;
    if begun["state"] == "ended" {
        return Ok(false);
    }
    let (mut waiting, mut bytes): (Vec<StateRow>, usize) = (Vec::new(), 0);
    directory.rows(entry, |row| {
        bytes += row.key.len() + row.value.len();
        waiting.push(row);
        if bytes >= SENT_BYTES {
            bytes = 0;
            step("rows", &encoded(&std::mem::take(&mut waiting))?)?;
        }
        Ok(())
    })?;
    if !waiting.is_empty() {
        step("rows", &encoded(&waiting)?)?;
    }
    step("end", &[])?;
    Ok(true)
}

fn encoded(rows: &[StateRow]) -> anyhow::Result<Bytes> {
    Ok(encode_rows(rows)?)
}

fn deploy(client: &Client, workload: &WorkloadEntry) -> anyhow::Result<()> {
    let wait = progress::wait(format!("every node compiles and tries {}", workload.name));
    let path = format!("/v1/workloads/{}", segment(&workload.name));
    let deployed = client.write(Method::PUT, &path, &serde_json::to_value(&workload.spec)?, SLOW);
    wait.finish_and_clear();
    deployed.with_context(|| format!("the shards are restored, but {} is not deployed", workload.name))?;
    Ok(())
}

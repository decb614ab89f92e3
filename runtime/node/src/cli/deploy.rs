//! `shardloom deploy`: uploads by digest, then switches the workload on all nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shardloom_protocol::grant::Grant;
use shardloom_protocol::key_from::KeyFrom;
use shardloom_sharding::canary::Share;
use ureq::http::Method;

use super::client::{Client, Outgoing, SLOW};
use super::project::{DeployOptions, Project};
use super::replies::{DeployReply, typed};
use super::segment::segment;
use super::{Global, progress};

/// The largest file that is sent at all; nodes have their own, lower limit.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Deploy a component as a workload, on all nodes at once.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom deploy target/guests/word-count.wasm --name word-count
  shardloom deploy target/guests/word-count.wasm --name word-count --canary 5%
  shardloom deploy shop.wasm --name shop --shard-function by-tenant.wasm --config currency=EUR
  shardloom deploy site.wasm --name site --key-from path:1 --grant http:api.example.com
  shardloom deploy files.wasm --key-from whole-path --stream
  shardloom deploy ledger.wasm --require-label disk=nvme")]
pub(super) struct Deploy {
    /// The component, or a directory that `shardloom build` has built.
    file: PathBuf,
    /// The workload's name; left out, the file's.
    #[arg(long)]
    name: Option<String>,
    /// A component that says which shard a key belongs to.
    #[arg(long, value_name = "FILE")]
    shard_function: Option<PathBuf>,
    /// A setting that the guest can read; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// A limit of the guest, such as deadline_ms or memory_bytes; may be repeated.
    #[arg(long, value_name = "LIMIT=NUMBER", value_parser = pair)]
    limit: Vec<(String, String)>,
    /// Where the key of a request is, for a component of wasi:http: path:N (the Nth part of the path, from 1; a path that has none has the empty key), header:NAME, query:NAME,
    /// cookie:NAME or whole-path. With ,random behind it (cookie:NAME,random) a request without one goes to some shard, instead of
    /// being refused.
    #[arg(long, value_name = "WHERE")]
    key_from: Option<KeyFrom>,
    /// Keep the instances of a component of wasi:http for more than one request.
    #[arg(long)]
    reuse: bool,
    /// Pass the bodies of requests and responses on as they come, whatever their size; without it each is held whole. State can be used until
    /// the response begins.
    #[arg(long, conflicts_with = "reuse")]
    stream: bool,
    /// A host that the component may send requests to, as http:HOST or http:HOST:PORT; may be repeated.
    #[arg(long, value_name = "http:HOST")]
    grant: Vec<Grant>,
    /// Run the new version on this share of the shards only, beside the current one, until it is promoted or rolled back.
    #[arg(long, value_name = "PERCENT")]
    canary: Option<Share>,
    /// A label without which a node owns no shards, of any workload; it may hold copies. May be repeated; a deploy without it asks for none any more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with = "canary")]
    require_label: Vec<(String, String)>,
}

impl Deploy {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let limit = |(key, value): (String, String)| {
            let number: u64 = value.parse().with_context(|| format!("--limit {key}={value}"))?;
            Ok((key, number))
        };
        let now = DeployOptions {
            key_from: self.key_from,
            reuse: self.reuse.then_some(true),
            stream: self.stream.then_some(true),
            grants: self.grant,
            config: self.config.into_iter().collect(),
            limits: self.limit.into_iter().map(limit).collect::<anyhow::Result<_>>()?,
        };
        let (name, component, options) = if self.file.is_dir() {
            let project = Project::open(&self.file)?;
            let component = project.component(&self.file);
            if !component.exists() {
                bail!(
                    "{0} is not there: run `shardloom build {1}`",
                    component.display(),
                    self.file.display()
                );
            }
            (self.name.unwrap_or(project.name), component, project.deploy.with(now))
        } else {
            let name = self.name.map_or_else(|| named_after(&self.file), Ok)?;
            (name, self.file, now)
        };
        let mut manifest = options.manifest()?;
        if let Some(file) = &self.shard_function {
            manifest.insert("shard_function".into(), upload(&client, file)?.into());
        }
        if !self.require_label.is_empty() {
            let labels: BTreeMap<String, String> = self.require_label.into_iter().collect();
            manifest.insert("require_labels".into(), serde_json::to_value(labels)?);
        }
        if let Some(share) = self.canary {
            manifest.insert("canary".into(), share.to_string().into());
        }
        let reply = deploy(&client, &name, &component, manifest)?;
        global.output().print(&reply, told)
    }
}

/// What a deploy has come to, in words.
pub(super) fn told(reply: &Value) -> anyhow::Result<String> {
    let DeployReply { name, version, canary, confirmed_by } = typed(reply)?;
    let confirmed = format!("confirmed by {} node(s)", confirmed_by.len());
    Ok(match canary {
        None => format!("{name} version {version} is deployed, {confirmed}"),
        Some(share) => format!(
            "{name} version {version} is a canary on {share} of the shards, {confirmed}; `shardloom workloads {name}` shows how it fares, \
             `shardloom promote {name}` puts it on all shards, `shardloom rollback {name}` ends it"
        ),
    })
}

/// Uploads a component, and has all nodes switch to it.
///
/// # Errors
/// If the component cannot be read, or the cluster does not take it.
pub(super) fn deploy(
    client: &Client,
    name: &str,
    component: &Path,
    mut manifest: Map<String, Value>,
) -> anyhow::Result<Value> {
    manifest.insert("component".into(), upload(client, component)?.into());
    let wait = progress::wait(format!("every node compiles and tries {name}"));
    let path = format!("/v1/workloads/{}", segment(name));
    let reply = client.write(Method::PUT, &path, &manifest.into(), SLOW);
    wait.finish_and_clear();
    Ok(reply?)
}

/// Uploads a component and returns its digest.
pub(super) fn upload(client: &Client, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| shown.to_string())?.len();
    if size > FILE_BYTES_MAX {
        bail!("{shown} has {size} bytes: that is no component");
    }
    let bytes = std::fs::read(file).with_context(|| shown.to_string())?;
    if bytes.is_empty() {
        bail!("{shown} is empty");
    }
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let bar = progress::upload(bytes.len());
    let outgoing = Outgoing::new(Method::PUT, format!("/v1/components/{digest}"))
        .header("content-type", "application/wasm")
        .body(&bytes)
        .deadline(SLOW)
        .progress(bar.clone());
    let sent = client.json(outgoing);
    bar.finish_and_clear();
    sent.with_context(|| shown.to_string())?;
    Ok(digest)
}

fn named_after(file: &Path) -> anyhow::Result<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.map(str::to_owned).with_context(|| format!("{} makes no name: give --name", file.display()))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give it as KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_may_hold_equal_signs() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("=b").is_err());
        assert!(pair("a").is_err());
    }

    #[test]
    fn a_workload_is_named_after_its_file() {
        assert_eq!(named_after(Path::new("x/word-count.wasm")).unwrap(), "word-count");
    }
}

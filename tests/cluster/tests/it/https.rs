//! HTTPS with an operator's own certificate, which is replaced while the node runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::{Options, until};

/// The name that the certificates are for.
const HOST: &str = "shardloom.test";
/// How long a node may take to start, or to notice that a file is another.
const NOTICED_MAX: Duration = Duration::from_secs(60);

/// A certificate that signs itself, and its key.
struct Pair {
    certificate: &'static str,
    key: &'static str,
}

/// Made once, each for a hundred years, by
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=shardloom.test -addext subjectAltName=DNS:shardloom.test`.
const FIRST: Pair =
    Pair { certificate: include_str!("https/first.crt"), key: include_str!("https/first.key") };
const SECOND: Pair =
    Pair { certificate: include_str!("https/second.crt"), key: include_str!("https/second.key") };

/// The two files that a node is told of.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn within(directory: &Path) -> Files {
        Files { certificate: directory.join("server.crt"), key: directory.join("server.key") }
    }

    fn put(&self, pair: &Pair) -> Result<()> {
        fs::write(&self.certificate, pair.certificate)?;
        Ok(fs::write(&self.key, pair.key)?)
    }

    fn flags(&self) -> [String; 4] {
        let path = |path: &Path| path.display().to_string();
        ["--http-cert".into(), path(&self.certificate), "--http-key".into(), path(&self.key)]
    }
}

/// Asks the node whether it lives, as somebody who trusts this certificate alone.
fn ask(cluster: &Cluster, node: usize, trusted: &Pair) -> Result<()> {
    let file = cluster.directory().join("trusted.crt");
    fs::write(&file, trusted.certificate)?;
    let at = cluster.node(node).addresses.http;
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "10", "--fail", "--cacert"]).arg(file);
    curl.args(["--connect-to", &format!("{HOST}:{}:{at}", at.port())]);
    curl.arg(format!("https://{HOST}:{}/healthz", at.port()));
    let output = curl.output().context("curl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_certificate_that_is_replaced_while_the_node_runs_is_the_one_that_clients_see() {
    check(Options::of(1), |cluster| {
        let files = Files::within(cluster.directory());
        files.put(&FIRST)?;
        let token = cluster.create_token()?;
        let node = cluster.add(&[cluster.join_flags(&token)?.as_slice(), &files.flags()].concat())?;
        until("the node to live", NOTICED_MAX, || ask(cluster, node, &FIRST))?;

        // Half of a replacement is none.
        fs::write(&files.key, "no key")?;
        let said = "the one before stays in use";
        until("the node to say so", NOTICED_MAX, || {
            ensure!(cluster.node(node).log_tail().contains(said), "nothing is said");
            Ok(())
        })?;
        ask(cluster, node, &FIRST)?;

        files.put(&SECOND)?;
        until("the new certificate", NOTICED_MAX, || ask(cluster, node, &SECOND))?;
        let refused = ask(cluster, node, &FIRST).err().context("the old certificate is shown still")?;
        ensure!(refused.to_string().contains("certificate"), "{refused:#}");
        Ok(())
    });
}

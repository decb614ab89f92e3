//! Bodies that no node holds whole: any size, through any node.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use shardloom_harness::Options;
use shardloom_harness::cluster::{Cluster, check};

/// Three times what a request or a response may have that is held whole.
const LARGE_BYTES: usize = 24 << 20;

/// What curl says of a request: the status, how often it was sent elsewhere, and the body.
struct Said {
    status: u16,
    redirects: u32,
    body: Vec<u8>,
}

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request by curl, which goes where it is sent.
fn curl(cluster: &Cluster, taker: usize, path: &str, words: &[&str]) -> Result<Said> {
    let out = cluster.directory().join("answer");
    let _ = fs::remove_file(&out);
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "-L",
        "--max-time",
        "60",
        "-H",
        "x-key: one",
        "-w",
        "%{http_code} %{num_redirects}",
        "-o",
    ]);
    curl.arg(&out).args(words).arg(cluster.url(taker, path));
    let output = curl.output().context("curl")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{curl:?}: {printed} {}", String::from_utf8_lossy(&output.stderr));
    let (status, redirects) = printed.split_once(' ').context("curl says what it has done")?;
    let body = if out.exists() { fs::read(&out)? } else { Vec::new() };
    Ok(Said { status: status.parse()?, redirects: redirects.parse()?, body })
}

/// A large file, no two parts of which are alike.
fn large(path: &Path) -> Result<Vec<u8>> {
    let numbers = (0_u64..).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).take(LARGE_BYTES).collect();
    fs::write(path, &bytes)?;
    Ok(bytes)
}

#[test]
fn bodies_larger_than_a_node_holds_go_up_and_down_through_any_node() {
    check(Options::of(3), |cluster| {
        cluster.deploy("web-stream", "files", &["--key-from", "header:x-key", "--stream"])?;
        cluster.deploy("foreign-wstd", "server", &["--key-from", "header:x-key", "--stream"])?;
        cluster.deploy("web-stream", "whole", &["--key-from", "header:x-key"])?;
        let file = cluster.directory().join("large");
        let bytes = large(&file)?;
        let file = file.display().to_string();
        let upload = ["-T", file.as_str(), "-X", "POST"];

        let mut sent_on = 0;
        for taker in 0..cluster.size() {
            let said = curl(cluster, taker, "/w/files/echo", &upload)?;
            ensure!(said.status == 200 && said.body == bytes, "{}: {} bytes", said.status, said.body.len());
            sent_on += said.redirects;
            let said = curl(cluster, taker, "/w/server/echo", &upload)?;
            ensure!(said.status == 200 && said.body == bytes, "{}: {} bytes", said.status, said.body.len());
            let said = curl(cluster, taker, "/w/server/stream-body", &[])?;
            ensure!(said.text().lines().count() == 5, "{}", said.text());
            let said = curl(cluster, taker, &format!("/w/files/bytes?{LARGE_BYTES}"), &[])?;
            ensure!((said.status, said.body.len()) == (200, LARGE_BYTES), "{}", said.body.len());
            let said = curl(cluster, taker, "/w/whole/echo", &upload)?;
            ensure!(said.status == 413, "it is held whole, and too large: {}", said.status);
        }
        ensure!(sent_on == 2, "all nodes but the owner send the caller there, once: {sent_on}");
        let listed = cluster.cli(&["workloads"])?;
        ensure!(listed.contains("header:x-key, stream"), "{listed}");
        Ok(())
    });
}

#[test]
fn state_is_kept_before_the_head_of_a_streamed_response_and_refused_after_it() {
    check(Options::of(3), |cluster| {
        cluster.deploy("web-stream", "files", &["--key-from", "header:x-key", "--stream"])?;
        let file = cluster.directory().join("large");
        let bytes = large(&file)?;
        let file = file.display().to_string();
        for taker in 0..cluster.size() {
            let said = curl(cluster, taker, "/w/files/count", &["-T", &file, "-X", "POST"])?;
            ensure!((said.status, said.text()) == (200, bytes.len().to_string()), "{}", said.text());
            let said = curl(cluster, taker, "/w/files/late", &[])?;
            let words = said.text();
            ensure!(
                words.contains("refused") && words.contains("the response has begun"),
                "{}",
                words.trim()
            );
            let said = curl(cluster, taker, "/w/files/kept", &[])?;
            ensure!(said.text() == format!("count={LARGE_BYTES}\nearly=kept\n"), "{}", said.text());
        }
        let owner = cluster.ask(0, "GET", "/w/files/kept").header("x-key", "one").send()?;
        ensure!(owner.status == 200 || owner.status == 307, "{owner:?}");
        let refused =
            cluster.ask(0, "POST", "/w/files/count").header("x-key", "one").header("idempotency-key", "1");
        let refused = refused.body("x").send()?;
        ensure!((refused.status, refused.code().as_str()) == (400, "bad-request"), "{refused:?}");
        ensure!(refused.text().contains("leave out idempotency-key"), "{refused:?}");
        Ok(())
    });
}

//! `shardloom login`: keeps the admin token of a cluster for this user.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::Global;
use super::client::Client;
use super::replies::{StatusReply, typed};
use crate::credentials::Credentials;

/// The longest token that is read: longer is a wrong file.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Keep a cluster's admin token, so that commands on this machine just work.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom login --server https://node-1.example:7080 --token-file admin.token
  ssh node-1 sudo cat /var/lib/shardloom/admin.token | shardloom login --server http://node-1:7080")]
pub(super) struct Login {
    /// Where the token is; left out, it is read from standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Login {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let token = self.read_token()?;
        let client = Client::open(&global.server, Some(token.clone()), global.ca_cert.as_deref())?;
        let reply = client.read("/v1/status")?;
        let status: StatusReply = typed(&reply)?;

        // The other nodes' addresses are kept too, so that any of them can be named later.
        let scheme =
            if client.servers().iter().any(|server| server.starts_with("https:")) { "https" } else { "http" };
        let mut servers = client.servers().to_vec();
        let others = status.nodes.iter().filter(|node| !node.http.is_empty());
        servers.extend(others.map(|node| format!("{scheme}://{}", node.http)));
        servers.dedup();

        let credentials = Credentials::of_user()?;
        credentials.remember(&status.cluster_id, &servers, &token)?;
        let kept = serde_json::json!({
            "cluster_id": status.cluster_id, "servers": servers, "kept_in": credentials.path(),
        });
        global.output().print(&kept, |_| {
            Ok(format!(
                "logged in to cluster {}; kept in {}",
                status.cluster_id,
                credentials.path().display()
            ))
        })
    }

    fn read_token(&self) -> anyhow::Result<String> {
        let mut token = String::new();
        match &self.token_file {
            Some(path) => {
                let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
                file.take(TOKEN_BYTES_MAX).read_to_string(&mut token)?;
            }
            None if std::io::stdin().is_terminal() => {
                eprint!("admin token (from admin.token in the first node's data directory): ");
                std::io::stdin().read_line(&mut token)?;
            }
            None => {
                std::io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut token)?;
            }
        }
        let token = token.trim().to_owned();
        if token.is_empty() {
            bail!("no token was given: pass --token-file, or the token on standard input");
        }
        Ok(token)
    }
}

//! `shardloom token`: leave to join.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;
use ureq::http::Method;

use super::Global;
use super::client::QUICK;

/// Make tokens with which nodes may join.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom token create")]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and print it, and nothing else. One node can use it, once, within 15 minutes.
    #[command(after_help = "Example:
  shardloom node --data d2 --http 127.0.0.1:7090 --peer 127.0.0.1:7091 --gossip 127.0.0.1:7092 \\
      --join 127.0.0.1:7081 --token \"$(shardloom token create)\"")]
    Create,
}

impl Token {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Action::Create = self.action;
        let reply = global.client()?.write(Method::POST, "/v1/admin/tokens", &Value::Null, QUICK)?;
        global.output().print(&reply, |reply| {
            let token = reply["token"].as_str().context("the node's reply holds no token")?;
            Ok(token.to_owned())
        })
    }
}

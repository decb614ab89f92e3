//! `shardloom token`: leave to join.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
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
    /// Make a token and print it, and nothing else. One node can use it, once, before it expires.
    #[command(after_help = "Example:
  shardloom node --data d2 --http 127.0.0.1:7090 --peer 127.0.0.1:7091 --gossip 127.0.0.1:7092 \\
      --join 127.0.0.1:7081 --token \"$(shardloom token create)\"")]
    Create {
        /// For how many seconds the token is good, up to a day.
        #[arg(long, value_name = "SECONDS", default_value_t = 900)]
        expires_in: u64,
    },
}

impl Token {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Action::Create { expires_in } = self.action;
        let request = json!({ "expires_in_s": expires_in });
        let reply = global.client()?.write(Method::POST, "/v1/admin/tokens", &request, QUICK)?;
        global.output().print(&reply, |reply| {
            let token = reply["token"].as_str().context("the node's reply holds no token")?;
            Ok(token.to_owned())
        })
    }
}

//! `shardloom token`: leave to join, and leave to use the API.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shardloom_cluster::control::TokenRole;
use ureq::http::Method;

use super::Global;
use super::client::QUICK;
use super::replies::{AccessReply, typed};
use super::segment::segment;
use super::table::{Align, Table};

const ACCESS: &str = "/v1/admin/access";

/// Make tokens: with one kind nodes may join, with the other people and programs may use the API.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom token create
  shardloom token create --role deployer --name ci
  shardloom token list
  shardloom token revoke ci")]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and print it, and nothing else. Without --role it is a join token: one node can use it, once, before it
    /// expires. With --role and --name it is one of the API, good until it is revoked; its secret is shown this one time.
    #[command(after_help = "Examples:
  shardloom node --data d2 --http 127.0.0.1:7090 --peer 127.0.0.1:7091 --gossip 127.0.0.1:7092 \\
      --join 127.0.0.1:7081 --token \"$(shardloom token create)\"
  shardloom token create --role reader --name dashboard
  SHARDLOOM_ADMIN_TOKEN=$(shardloom token create --role deployer --name ci) shardloom deploy words.wasm --name words")]
    Create {
        /// For how many seconds a join token is good, up to a day.
        #[arg(long, value_name = "SECONDS", default_value_t = 900, conflicts_with = "role")]
        expires_in: u64,
        /// What the holder of a token of the API may do: reader (see), deployer (also deploy, undeploy, upload, weigh), admin (all).
        #[arg(long, requires = "name")]
        role: Option<TokenRole>,
        /// The name of a token of the API, as `token list` and the audit show it.
        #[arg(long, requires = "role")]
        name: Option<String>,
    },
    /// List the tokens of the API. Secrets are not kept, so none is shown.
    #[command(after_help = "Example:
  shardloom token list --json")]
    List,
    /// Revoke a token of the API: from now on it is good for nothing.
    #[command(after_help = "Example:
  shardloom token revoke ci")]
    Revoke {
        /// Its name.
        name: String,
    },
}

impl Token {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let reply = match self.action {
            Action::Create { role: Some(role), name, .. } => {
                client.write(Method::POST, ACCESS, &json!({ "name": name, "role": role.name() }), QUICK)?
            }
            Action::Create { expires_in, .. } => {
                let request = json!({ "expires_in_s": expires_in });
                client.write(Method::POST, "/v1/admin/tokens", &request, QUICK)?
            }
            Action::List => return global.output().print(&client.read(ACCESS)?, table),
            Action::Revoke { name } => {
                let path = format!("{ACCESS}/{}", segment(&name));
                let reply = client.write(Method::DELETE, &path, &Value::Null, QUICK)?;
                return global.output().print(&reply, |_| Ok(format!("the token {name} is revoked")));
            }
        };
        global.output().print(&reply, |reply| {
            let token = reply["token"].as_str().context("the node's reply holds no token")?;
            Ok(token.to_owned())
        })
    }
}

fn table(reply: &Value) -> anyhow::Result<String> {
    let mut table = Table::new(&[("NAME", Align::Left), ("ROLE", Align::Left), ("SINCE", Align::Right)]);
    for token in typed::<Vec<AccessReply>>(reply)? {
        table.row([token.name, token.role, token.since.to_string()]);
    }
    Ok(table.to_string())
}

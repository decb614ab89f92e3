//! `shardloom settings`: what is set for the whole cluster, and set it.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use ureq::http::Method;

use super::Global;
use super::client::QUICK;
use super::replies::{SettingReply, typed};
use super::table::{Align, Table};

const PATH: &str = "/v1/admin/settings";

/// Show or set what holds for the whole cluster; changes are taken up at once.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom settings
  shardloom settings set replicas=5 move_rate=64MiB/s")]
pub(super) struct Settings {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Set one or several values: all of them, or none.
    #[command(after_help = "Example:
  shardloom settings set replicas=5 moves_in_flight=4 move_rate=32MiB/s replica_grace=10m")]
    Set {
        /// What to set, and to what.
        #[arg(required = true, value_name = "NAME=VALUE")]
        values: Vec<String>,
    },
}

impl Settings {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let reply = match self.action {
            None => client.read(PATH)?,
            Some(Action::Set { values }) => {
                client.write(Method::PUT, PATH, &Value::Object(named(&values)?), QUICK)?
            }
        };
        global.output().print(&reply, table)
    }
}

fn named(values: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut named = Map::new();
    for given in values {
        let (name, value) = given
            .split_once('=')
            .with_context(|| format!("{given:?} sets nothing: write NAME=VALUE, such as replicas=3"))?;
        anyhow::ensure!(
            named.insert(name.to_owned(), Value::String(value.to_owned())).is_none(),
            "{name} is named twice"
        );
    }
    Ok(named)
}

fn table(reply: &Value) -> anyhow::Result<String> {
    let settings: Vec<SettingReply> = typed(reply)?;
    let mut table = Table::new(&[
        ("SETTING", Align::Left),
        ("VALUE", Align::Right),
        ("DEFAULT", Align::Right),
        ("UNIT", Align::Left),
        ("WHAT IT IS FOR", Align::Left),
    ]);
    for setting in settings {
        table.row([setting.name, setting.text, setting.default_text, setting.unit, setting.about]);
    }
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_named_once_each() {
        let given = |list: &[&str]| named(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let set = given(&["replicas=5", "move_rate=32MiB/s"]).unwrap();
        assert_eq!(set["move_rate"], "32MiB/s");
        assert!(given(&["replicas"]).unwrap_err().to_string().contains("NAME=VALUE"));
        assert!(given(&["replicas=5", "replicas=3"]).is_err());
    }
}

//! `shardloom why`: why a shard is where it is.

use clap::Args;
use serde_json::Value;

use super::Global;
use super::table::{Align, Table};

/// Show why a shard is where it is: owner, replicas with zones, weight, what is under way, its last changes and their reasons; and if it is not served, why.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom why 17
  shardloom why 17 --json")]
pub(super) struct Why {
    /// The shard's number, as `shardloom shards` lists it.
    shard: u32,
}

impl Why {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let reply = global.client()?.read(&format!("/v1/shards/{}/why", self.shard))?;
        global.output().print(&reply, |reply| Ok(shown(reply)))
    }
}

fn shown(why: &Value) -> String {
    let mut text = format!(
        "shard      {}, {}\nowner      {} since epoch {}\nweight     {}\nreplicas   {} of {} wanted\n",
        word(&why["shard"]),
        word(&why["state"]),
        word(&why["owner"]),
        word(&why["epoch"]),
        word(&why["weight"]),
        list(&why["replicas"]).len(),
        word(&why["replicas_wanted"]),
    );
    if let Some(reason) = why["not_served"].as_str() {
        text.push_str(&format!("not served {reason}\n"));
    }
    let pending = &why["pending"];
    if pending.is_object() {
        text.push_str(&format!(
            "under way  epoch {}: owner {}, replicas {}; {}\n",
            word(&pending["epoch"]),
            word(&pending["owner"]),
            words(&pending["replicas"]),
            reasons(pending),
        ));
    }
    let mut replicas = Table::new(&[
        ("REPLICA", Align::Left),
        ("PART", Align::Left),
        ("STATE", Align::Left),
        ("ZONE", Align::Left),
        ("CAPACITY", Align::Right),
        ("WEIGHT OWNED", Align::Right),
    ]);
    for replica in list(&why["replicas"]) {
        let part = if replica["owner"] == true { "owner" } else { "replica" };
        replicas.row([
            word(&replica["node"]),
            part.to_owned(),
            word(&replica["state"]),
            replica["zone"].as_str().unwrap_or_default().to_owned(),
            word(&replica["capacity"]),
            word(&replica["weight_owned"]),
        ]);
    }
    let mut history = Table::new(&[
        ("EPOCH", Align::Right),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("GAINED", Align::Left),
        ("LOST", Align::Left),
        ("WHY", Align::Left),
    ]);
    for change in list(&why["history"]) {
        history.row([
            word(&change["epoch"]),
            word(&change["from"]),
            word(&change["to"]),
            words(&change["gained"]),
            words(&change["lost"]),
            reasons(change),
        ]);
    }
    format!("{text}\n{replicas}\n{history}")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "nobody".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(value: &Value) -> String {
    list(value).iter().map(word).collect::<Vec<String>>().join(",")
}

fn reasons(change: &Value) -> String {
    let texts = list(&change["reasons"]).iter().filter_map(|reason| reason["text"].as_str());
    texts.collect::<Vec<&str>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_read_where_it_is_since_when_and_why() {
        let why = json!({
            "shard": 3, "state": "resharding", "owner": "a1", "epoch": 7, "weight": 2, "replicas_wanted": 3,
            "not_served": "it is being handed over",
            "pending": { "epoch": 9, "owner": "b2", "replicas": ["b2"], "reasons": [{ "text": "node a1 is drained" }] },
            "replicas": [{ "node": "a1", "owner": true, "state": "draining", "zone": "z", "capacity": 100, "weight_owned": 5 }],
            "history": [{ "epoch": 7, "from": null, "to": "a1", "gained": ["a1"], "lost": [], "reasons": [{ "text": "it had no owner before" }] }],
        });
        let text = shown(&why);
        for line in [
            "owner      a1 since epoch 7",
            "not served it is being handed over",
            "under way  epoch 9: owner b2, replicas b2; node a1 is drained",
            "a1       owner  draining  z          100             5",
            "    7  nobody  a1  a1      -     it had no owner before",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }
}

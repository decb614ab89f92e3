//! `shardloom inspect`: what a component is and what it wants, without a cluster.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use shardloom_host::{Inspection, Standing, inspect};

use super::Global;
use super::table::{Align, Table};

/// Show what a component is, what it imports and exports, and what it needs to be deployed.
#[derive(Args)]
#[command(after_help = "Example:
  shardloom inspect target/guests/word-count.wasm")]
pub(super) struct Inspect {
    /// The component.
    file: PathBuf,
}

impl Inspect {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let shown = self.file.display().to_string();
        let bytes = std::fs::read(&self.file).with_context(|| shown.clone())?;
        let inspection = inspect(&bytes).with_context(|| shown.clone())?;
        let reply = to_json(&shown, bytes.len(), &inspection);
        global.output().print(&reply, |_| Ok(to_text(&shown, bytes.len(), &inspection)))
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Granted => "granted",
        Standing::ByGrant => "needs --grant",
        Standing::Refused => "not granted",
    }
}

fn to_json(file: &str, bytes: usize, inspection: &Inspection) -> Value {
    let imports = inspection.imports.iter();
    json!({
        "file": file,
        "bytes": bytes,
        "world": inspection.world,
        "exports": inspection.exports,
        "imports": imports
            .map(|(name, it)| json!({ "name": name, "standing": standing(*it) }))
            .collect::<Vec<_>>(),
        "refusal": inspection.refusal.as_ref().map(ToString::to_string),
    })
}

fn to_text(file: &str, bytes: usize, inspection: &Inspection) -> String {
    let world = inspection.world.map_or_else(|| "none".to_owned(), |world| world.to_string());
    let mut text = format!("{file}: {bytes} bytes, world {world}\n\n");
    let mut table = Table::new(&[("", Align::Left), ("NAME", Align::Left), ("STANDING", Align::Left)]);
    for name in &inspection.exports {
        table.row(["export".to_owned(), name.clone(), String::new()]);
    }
    for (name, it) in &inspection.imports {
        table.row(["import".to_owned(), name.clone(), standing(*it).to_owned()]);
    }
    text.push_str(&table.to_string());
    if let Some(refusal) = &inspection.refusal {
        text.push_str(&format!("\nA cluster would refuse it: {refusal}\n"));
    } else if inspection.world == Some(shardloom_host::World::HttpHandler) {
        text.push_str("\nTo be deployed it needs --key-from: where in a request its key is. Bodies are held whole, 8 MiB at most, unless it is deployed\n\
             with --stream.\n");
    }
    text
}

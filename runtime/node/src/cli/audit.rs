//! `shardloom audit`: who changed what, when, and what came of it.

use clap::Args;

use super::Global;
use super::logs::plain;
use super::replies::{AuditReply, typed};
use super::table::{Align, Table};

/// Show who changed what in the cluster: operators by the names of their tokens, and nodes.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom audit
  shardloom audit --since 1200 --tail 1000 --json")]
pub(super) struct Audit {
    /// Only what came after this index of the control log.
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    since: u64,
    /// At most so many of the newest entries.
    #[arg(long, value_name = "ENTRIES", default_value_t = 100)]
    tail: u32,
}

impl Audit {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let path = format!("/v1/audit?since={}&tail={}", self.since, self.tail);
        let reply = global.client()?.read(&path)?;
        global.output().print(&reply, |reply| {
            let mut table = Table::new(&[
                ("INDEX", Align::Right),
                ("WHEN", Align::Left),
                ("WHO", Align::Left),
                ("WHAT", Align::Left),
                ("DIGEST", Align::Left),
                ("OUTCOME", Align::Left),
            ]);
            for entry in typed::<AuditReply>(reply)?.entries {
                let times = if entry.times > 1 { format!(", {} times", entry.times) } else { String::new() };
                let version = entry.version.map(|version| format!(", version {version}")).unwrap_or_default();
                let reason = entry.reason.map(|reason| format!(": {}", plain(&reason))).unwrap_or_default();
                table.row([
                    entry.index.to_string(),
                    entry.at,
                    entry.by,
                    plain(&entry.what),
                    entry.digest.unwrap_or_default().chars().take(12).collect(),
                    format!("{}{version}{reason}{times}", entry.outcome),
                ]);
            }
            Ok(table.to_string())
        })
    }
}

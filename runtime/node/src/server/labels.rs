//! Whether some node that is up could own shards, if a workload asked for labels.

use shardloom_cluster::control::Labels;

use super::problem::{Code, Problem};
use super::view::{MemberState, View};

/// Whether some live node has these labels, and all that other workloads ask for.
///
/// # Errors
/// None has.
pub fn has_owner(view: &View, name: &str, labels: &Labels) -> Result<(), Problem> {
    if labels.is_empty() {
        return Ok(());
    }
    let others = view.required_labels.iter().filter(|(workload, _)| *workload != name);
    let wanted: Vec<(&String, &String)> =
        others.flat_map(|(_, labels)| labels).chain(labels.iter()).collect();
    let mut live = view.members.values().filter(|member| matches!(member.state, MemberState::Live));
    if live.any(|member| wanted.iter().all(|(key, value)| member.labels.get(*key) == Some(*value))) {
        return Ok(());
    }
    let listed: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let detail = format!(
        "no live node has {}, so nobody could own shards: start nodes with `--label KEY=VALUE` first (`shardloom nodes` shows the labels). There is one \
         shard map for all workloads, so its owners need what all of them ask for",
        listed.join(" and ")
    );
    Err(Problem::new(Code::Refused, detail))
}

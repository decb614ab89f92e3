//! What people are told of builds and levels of formats: which node runs what, and whom the next level waits for.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shardloom_cluster::builds::{MemberBuild, held_back_by};
use shardloom_cluster::formats::{LEVEL, Level};
use shardloom_sharding::ids::NodeId;

use super::node_server::NodeServer;
use super::view::View;

/// The builds of all members. Those that are not live are not asked: it would take as long as they may take to answer.
pub async fn survey(server: &NodeServer, view: &View) -> BTreeMap<NodeId, MemberBuild> {
    let mut builds = server.fabric.builds(view.live_nodes().collect()).await;
    for node in view.members.keys() {
        builds.entry(*node).or_insert(MemberBuild::Silent);
    }
    builds
}

/// The level that the cluster is at, the one that this node's build reads, and whom that one waits for.
pub fn formats(view: &View, builds: &BTreeMap<NodeId, MemberBuild>) -> Value {
    let waits_for = if view.formats < LEVEL { held_back_by(builds, LEVEL) } else { Vec::new() };
    json!({ "level": view.formats, "readable": LEVEL, "waits_for": waits_for })
}

/// A node's build; null where it does not say.
pub fn build_row(build: Option<&MemberBuild>) -> Value {
    match build {
        Some(MemberBuild::Told(build)) => json!({ "version": build.version, "formats": build.highest }),
        Some(MemberBuild::First) => json!({ "version": null, "formats": Level(1) }),
        Some(MemberBuild::Silent) | None => Value::Null,
    }
}

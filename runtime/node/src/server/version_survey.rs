//! How the versions of a workload fare over all nodes: what each has counted since the last change of what runs, added up.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shardloom_protocol::peer::{PeerReply, PeerRequest, VersionCount};
use shardloom_sharding::ids::NodeId;
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::view::{View, Workload};

/// How long a node may take to tell; it is named as missing then.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// What the nodes have counted.
#[derive(Debug, Default)]
pub struct Survey {
    /// By version.
    pub counts: BTreeMap<u64, VersionCount>,
    /// Live nodes that did not tell.
    pub missing: Vec<NodeId>,
}

/// Asks all live nodes.
pub async fn survey(server: &NodeServer, view: &View, workload: &Workload) -> Survey {
    let asked =
        view.live_nodes().map(|node| async move { (node, ask(server, view, node, &workload.name).await) });
    let mut survey = Survey::default();
    for (node, told) in join_all(asked).await {
        let Some(told) = told else {
            survey.missing.push(node);
            continue;
        };
        // A node that has had no call since the last change tells of the one before.
        for count in told.into_iter().filter(|count| count.activation == workload.activation) {
            match survey.counts.get_mut(&count.version) {
                Some(sum) => add(sum, &count),
                None => drop(survey.counts.insert(count.version, count)),
            }
        }
    }
    survey
}

fn add(sum: &mut VersionCount, count: &VersionCount) {
    sum.calls = sum.calls.saturating_add(count.calls);
    sum.errors = sum.errors.saturating_add(count.errors);
    for (sum, count) in sum.latencies.iter_mut().zip(&count.latencies) {
        *sum = sum.saturating_add(*count);
    }
}

async fn ask(server: &NodeServer, view: &View, node: NodeId, name: &str) -> Option<Vec<VersionCount>> {
    if node == view.this_node {
        return Some(server.router.version_counts.read(name));
    }
    let request = PeerRequest::VersionCounts(name.to_owned()).encode().ok()?;
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let reply = server.fabric.request(node, Class::Control, request, deadline).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::VersionCounts(counts))) => Some(counts),
        other => {
            tracing::debug!(%node, ?other, "a node did not tell how the versions of a workload fare");
            None
        }
    }
}

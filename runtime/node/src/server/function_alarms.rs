//! What `status` says of shard functions that fail: what all live nodes have seen, in sentences.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shardloom_protocol::peer::{FunctionAlarm, PeerReply, PeerRequest};
use shardloom_sharding::ids::NodeId;
use tokio::time::Instant;

use super::fabric::Class;
use super::node_server::NodeServer;
use super::view::View;

/// How long a node may take to tell; `status` does without it then.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// What all live nodes have seen, in sentences.
pub async fn survey(server: &NodeServer, view: &View) -> Vec<String> {
    if view.workloads.values().all(|workload| workload.spec.shard_function.is_none()) {
        return Vec::new();
    }
    let told = join_all(view.live_nodes().map(|node| ask(server, view, node))).await;
    let mut merged: BTreeMap<String, FunctionAlarm> = BTreeMap::new();
    for alarm in told.into_iter().flatten() {
        match merged.get_mut(&alarm.workload) {
            None => drop(merged.insert(alarm.workload.clone(), alarm)),
            Some(known) => {
                let calls = known.calls.saturating_add(alarm.calls);
                if alarm.seconds_ago < known.seconds_ago {
                    *known = alarm;
                }
                known.calls = calls;
            }
        }
    }
    merged.into_values().map(|alarm| words(&alarm)).collect()
}

async fn ask(server: &NodeServer, view: &View, node: NodeId) -> Vec<FunctionAlarm> {
    if node == view.this_node {
        return server.router.failed_functions.raised(view);
    }
    let Ok(request) = PeerRequest::FunctionAlarms.encode() else { return Vec::new() };
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    let reply = server.fabric.request(node, Class::Control, request, deadline).await;
    match reply.map(|bytes| PeerReply::decode(&bytes)) {
        Ok(Ok(PeerReply::FunctionAlarms(alarms))) => alarms,
        other => {
            tracing::debug!(%node, ?other, "a node did not tell which shard functions have failed");
            Vec::new()
        }
    }
}

fn words(alarm: &FunctionAlarm) -> String {
    let FunctionAlarm { workload, calls, key, reason, seconds_ago } = alarm;
    format!(
        "the shard function of {workload} gives no shard for some keys: {calls} call(s) of late, the last {seconds_ago} s ago with \
         the key {key:?}: {reason}. Such calls are answered shard-function-failed, all others as ever. Mend the function, or have \
         callers leave such keys out; deploy the mended one under another name where {workload} keeps state"
    )
}

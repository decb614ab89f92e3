//! Which version of a workload runs: a canary becomes current, or an earlier version is current again. Both are one entry of the control log, and
//! ask no node first, since each version was tried on all of them when it was deployed and they keep it.

use std::sync::Arc;

use shardloom_cluster::control::{Author, VersionChange};
use shardloom_protocol::digest::Digest;

use super::deploy::write_everywhere;
use super::fabric::{ControlCommand, ControlReply};
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::state_of_names;
use super::view::Workload;

/// What runs after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The version that is current.
    pub version: u64,
    /// The one that was until then.
    pub before: u64,
    /// The canary that has ended. One that has become current is `version`.
    pub canary: Option<u64>,
    /// The control-log index from which on it is so.
    pub since: u64,
}

/// Makes the canary current on all shards.
///
/// # Errors
/// `refused` where there is none; `deploy-conflict`. Nothing has changed then.
pub async fn promote(server: &NodeServer, by: Author, name: &str) -> Result<Changed, Problem> {
    let _under_way = server.deploys.begin(name)?;
    let workload = deployed(server, name)?;
    let changed = change(server, by, &workload, VersionChange::Promote).await?;
    Ok(Changed { canary: None, ..changed })
}

/// Ends the canary; where there is none, makes an earlier version current again: this one, or the one before.
///
/// # Errors
/// `refused` where that version is not kept, or its shard function is another one while there is state; `deploy-conflict`. Nothing has changed then.
pub async fn roll_back(
    server: &NodeServer,
    by: Author,
    name: &str,
    to: Option<u64>,
) -> Result<Changed, Problem> {
    let _under_way = server.deploys.begin(name)?;
    let workload = deployed(server, name)?;
    if workload.canary.is_none()
        && let Some(function) = function_of(&workload, to)
    {
        state_of_names::may_have_function(server, name, function).await?;
    }
    change(server, by, &workload, VersionChange::RollBack { to }).await
}

/// The shard function of the version that a rollback goes to; none if it is not kept.
fn function_of(workload: &Workload, to: Option<u64>) -> Option<Option<Digest>> {
    let find = |version: u64| workload.kept.iter().find(|kept| kept.version == version);
    let to = to.or_else(|| find(workload.version)?.before)?;
    find(to).map(|found| found.spec.shard_function)
}

fn deployed(server: &NodeServer, name: &str) -> Result<Arc<Workload>, Problem> {
    let unknown = || Problem::new(Code::UnknownWorkload, format!("there is no workload {name:?}"));
    server.fabric.view().workloads.get(name).cloned().ok_or_else(unknown)
}

async fn change(
    server: &NodeServer,
    by: Author,
    workload: &Workload,
    change: VersionChange,
) -> Result<Changed, Problem> {
    let command =
        ControlCommand::ChangeVersion { name: workload.name.clone(), base: workload.activation, change };
    match write_everywhere(server, by, command).await? {
        ControlReply::Deployed { version, index } => Ok(Changed {
            version,
            before: workload.version,
            canary: workload.canary.as_ref().map(|canary| canary.workload.version),
            since: index,
        }),
        other => Err(Problem::new(Code::Internal, format!("changed, but got {other:?}"))),
    }
}

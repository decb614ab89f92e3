//! Deploying: every live node has the components, compiled and tried, before one log entry switches all of them.

use std::time::Duration;

use futures::future::join_all;
use shardloom_cluster::control::{Author, Labels, VersionChange, can_be_canary};
use shardloom_host as host;
use shardloom_host::{Admitted, World, outgoing_http};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{ComponentRole, PeerReply, PeerRequest, Trial};
use shardloom_protocol::workload::{Bodies, Reuse, WorkloadSpec};
use shardloom_sharding::canary::Share;
use shardloom_sharding::ids::NodeId;
use tokio::time::{Instant, timeout_at};

use super::fabric::{Class, ControlCommand, ControlError, ControlReply};
use super::guests::{self, GuestError};
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::view::Workload;
use super::{erase, labels as labels_of_nodes, sample_keys, state_of_names};

/// How long a deploy waits for the other nodes to have applied it, so that the next call through any of them finds it.
const APPLIED_EVERYWHERE_MAX: Duration = Duration::from_secs(2);
/// Bytes of a workload's name: it is part of paths, metrics and logs.
const NAME_BYTES_MAX: usize = 128;
/// Bytes of all names and values of a configuration: it is part of the control log.
const CONFIG_BYTES_MAX: usize = 64 << 10;

/// Grants of a workload: they are part of the control log, and each request is held against all.
const GRANTS_MAX: usize = 64;

/// A deploy that has taken effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The new version.
    pub version: u64,
    /// The nodes that had compiled and tried it before.
    pub confirmed_by: Vec<NodeId>,
}

/// On how many shards a new version runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On all.
    All,
    /// On this share of them, beside the current version.
    Canary(Share),
}

/// Deploys a workload on all live nodes. Where there are labels, nodes without them own no shards from then on.
///
/// # Errors
/// Nothing has changed then, unless `executed` is `unknown`.
pub async fn deploy(
    server: &NodeServer,
    by: Author,
    name: &str,
    spec: WorkloadSpec,
    reach: Reach,
    labels: Labels,
) -> Result<Deployed, Problem> {
    check(name, &spec)?;
    if reach != Reach::All && !labels.is_empty() {
        let detail = "labels are asked for by a workload as a whole, not by a canary: leave `require_labels` out, or the canary";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    labels_of_nodes::has_owner(&server.fabric.view(), name, &labels)?;
    let _under_way = server.deploys.begin(name)?;
    let view = server.fabric.view();
    let current = view.workloads.get(name);
    fits_beside(name, current.map(|current| &**current), &spec, reach)?;
    let base = current.map(|current| current.activation);
    state_of_names::may_have_function(server, name, spec.shard_function).await?;
    let confirmed_by = confirm(server, &trials(name, &spec)).await?;
    fits(server, name, &spec).await?;
    if let Some(function) = spec.shard_function {
        sample_keys::agree(server, function, &confirmed_by).await?;
    }
    // Once more: to compile takes a while, in which calls may have written what was not there before.
    state_of_names::may_have_function(server, name, spec.shard_function).await?;

    let name = name.to_owned();
    let command = match reach {
        Reach::All => ControlCommand::DeployWorkload { name, base, spec: Box::new(spec), labels },
        Reach::Canary(share) => {
            let change = VersionChange::Canary { spec: Box::new(spec), share };
            ControlCommand::ChangeVersion { name, base: base.unwrap_or(0), change }
        }
    };
    match write_everywhere(server, by, command).await? {
        ControlReply::Deployed { version, .. } => Ok(Deployed { version, confirmed_by }),
        other => Err(Problem::new(Code::Internal, format!("deployed, but got {other:?}"))),
    }
}

/// What becomes of the state of a workload that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It stays: whoever deploys the name again finds it.
    KeepState,
    /// It goes, also where the workload was taken away before.
    DeleteState,
}

/// Takes a workload away, on all nodes at one log index; says how many rows of state went with it.
///
/// # Errors
/// `unknown-workload`, or that the control log cannot be written; where state is to go, that some of it is left.
pub async fn undeploy(
    server: &NodeServer,
    by: Author,
    name: String,
    leaving: Leaving,
) -> Result<u64, Problem> {
    let _under_way = server.deploys.begin(&name)?;
    let deployed = server.fabric.view().workloads.contains_key(&name);
    let known = deployed || server.fabric.view().left_by.contains_key(&name);
    if leaving == Leaving::KeepState || deployed || !known {
        write_everywhere(server, by.clone(), ControlCommand::RemoveWorkload { name: name.clone() }).await?;
    }
    match leaving {
        Leaving::KeepState => Ok(0),
        Leaving::DeleteState => {
            let erased = erase::erase(server, &name).await;
            let refused = erased.as_ref().err().map(|problem| problem.detail.clone());
            note(server, by, (format!("delete the state of {name}"), None), refused).await;
            erased
        }
    }
}

fn trials(name: &str, spec: &WorkloadSpec) -> Vec<Trial> {
    let trial = |component, role| Trial {
        component,
        role,
        workload: name.to_owned(),
        config: spec.config.clone(),
        limits: spec.limits,
    };
    let function = spec.shard_function.map(|component| trial(component, ComponentRole::ShardFunction));
    std::iter::once(trial(spec.component, ComponentRole::Handler)).chain(function).collect()
}

fn check(name: &str, spec: &WorkloadSpec) -> Result<(), Problem> {
    let bad = |detail: String| Err(Problem::new(Code::BadRequest, detail));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.chars().all(plain) {
        return bad(format!(
            "{name:?} is no name for a workload: letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX}, \
             not beginning with `.`"
        ));
    }
    if spec.grants.len() > GRANTS_MAX {
        return bad(format!("{} grants are given; at most {GRANTS_MAX} are taken", spec.grants.len()));
    }
    let config_bytes: usize = spec.config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if config_bytes > CONFIG_BYTES_MAX {
        return bad(format!("the config has {config_bytes} bytes; at most {CONFIG_BYTES_MAX} are taken"));
    }
    guests::limits(&spec.limits).check().or_else(|error| bad(error.to_string()))
}

/// Says early, before nodes compile anything, what the control log would refuse.
fn fits_beside(
    name: &str,
    current: Option<&Workload>,
    spec: &WorkloadSpec,
    reach: Reach,
) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Code::Refused, detail));
    match (current, reach) {
        (None, Reach::All) => Ok(()),
        (None, Reach::Canary(_)) => refused(format!(
            "{name} is not deployed, so nothing could run on the other shards: deploy it without --canary first"
        )),
        (Some(Workload { canary: Some(canary), .. }), _) => refused(format!(
            "version {} of {name} is a canary still: `shardloom promote {name}` puts it on all shards, `shardloom rollback {name}` ends it; \
             then deploy again",
            canary.workload.version
        )),
        (Some(_), Reach::All) => Ok(()),
        (Some(current), Reach::Canary(_)) => {
            can_be_canary(name, &current.spec, spec).or_else(|error| refused(error.to_string()))
        }
    }
}

/// Checks that the workload is told what its component needs: where a request's key is, and what it may reach.
async fn fits(server: &NodeServer, name: &str, spec: &WorkloadSpec) -> Result<(), Problem> {
    let bad = |detail: String| Err(Problem::new(Code::BadRequest, detail));
    let admitted = server.guests.host().admitted(&host::Digest(spec.component.0)).await;
    let Ok(Some(Admitted { world, imports, .. })) = admitted else {
        return Err(Problem::new(Code::Internal, format!("component {} is gone", spec.component)));
    };
    match (world == World::HttpHandler, &spec.http) {
        (true, None) => {
            return bad(format!(
                "{name} is a component of wasi:http: say where a request's key is, with --key-from path:1, \
                 header:NAME, query:NAME, cookie:NAME or whole-path"
            ));
        }
        (false, Some(_)) => {
            return bad(format!(
                "{name} is a {world}: --key-from, --reuse and --stream are for components of wasi:http"
            ));
        }
        (true, Some(http)) if http.bodies == Bodies::Streamed && http.reuse == Reuse::Always => {
            return bad(format!(
                "{name}: an instance that streams is busy until its bodies have ended, and answers no other request: \
                 give --stream or --reuse, not both"
            ));
        }
        _ => {}
    }
    match (outgoing_http(&imports), spec.grants.is_empty()) {
        (Some(import), true) => bad(format!(
            "{name} imports `{import}`, by which it can send requests, and no grant allows any: give \
             --grant http:HOST for each host that it may reach"
        )),
        (None, false) => {
            bad(format!("{name} imports nothing that it could send requests by: it needs no grant"))
        }
        _ => Ok(()),
    }
}

/// Has the components ready here and then on all other live nodes; answers who they are.
///
/// # Errors
/// `bad-request` if a component does not fit; `not-confirmed` if a node that is still live does not confirm.
pub async fn confirm(server: &NodeServer, trials: &[Trial]) -> Result<Vec<NodeId>, Problem> {
    let deadline = Instant::now() + server.deploy_deadline();
    // Here first: what is wrong with a component shows at once, and the others can fetch it from here.
    for trial in trials {
        match timeout_at(deadline, server.guests.try_out(trial)).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ (GuestError::Nowhere(_) | GuestError::Unfit { .. }))) => {
                return Err(Problem::new(Code::BadRequest, error.to_string()));
            }
            Err(_) => return Err(Problem::not_confirmed(server.fabric.view().this_node, "it took too long")),
        }
    }
    let view = server.fabric.view();
    let others = view.live_nodes().filter(|node| *node != view.this_node);
    let answers = join_all(others.map(|node| async move {
        for trial in trials {
            try_out(server, node, trial, deadline).await.map_err(|reason| (node, reason))?;
        }
        Ok::<NodeId, (NodeId, String)>(node)
    }));
    let mut confirmed = vec![view.this_node];
    for answer in answers.await {
        match answer {
            Ok(node) => confirmed.push(node),
            // A node that died meanwhile fetches the components when it comes back.
            Err((node, _)) if !server.fabric.view().is_live(node) => {}
            Err((node, reason)) => return Err(Problem::not_confirmed(node, &reason)),
        }
    }
    confirmed.sort_unstable();
    Ok(confirmed)
}

async fn try_out(server: &NodeServer, node: NodeId, trial: &Trial, deadline: Instant) -> Result<(), String> {
    let request = PeerRequest::TryOut(trial.clone()).encode().map_err(|error| error.to_string())?;
    let asked = async {
        loop {
            match server.fabric.request(node, Class::Bulk, request.clone(), deadline).await {
                Ok(bytes) => return PeerReply::decode(&bytes).map_err(|error| error.to_string()),
                // To try it out twice does no harm: it is asked again for as long as the node is there.
                Err(error) if !server.fabric.view().is_live(node) => return Err(error.to_string()),
                Err(_) => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(PeerReply::TriedOut(result))) => result,
        Ok(Ok(other)) => Err(format!("it answered {other:?}")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("it took too long".into()),
    }
}

/// The pause before a node that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Writes to the control log and waits until all live nodes show it, or long enough.
///
/// # Errors
/// As the control log says; that a node lags is none.
pub async fn write_everywhere(
    server: &NodeServer,
    by: Author,
    command: ControlCommand,
) -> Result<ControlReply, Problem> {
    let reply = server.fabric.write(by, command).await?;
    if let Some(index) = reply.index() {
        await_applied(server, index).await;
    }
    Ok(reply)
}

/// Records in the audit what is no entry of its own, with why it was refused if it was. That it cannot be recorded, now that it is done, is for the log of
/// this node.
pub async fn note(
    server: &NodeServer,
    by: Author,
    (what, digest): (String, Option<Digest>),
    refused: Option<String>,
) {
    let written =
        server.fabric.write(by.clone(), ControlCommand::Note { what: what.clone(), digest, refused });
    match written.await {
        Ok(_) | Err(ControlError::Refused(_)) => {}
        Err(error) => tracing::warn!(%by, what, %error, "what was done is not in the audit"),
    }
}

async fn await_applied(server: &NodeServer, index: u64) {
    let view = server.fabric.view();
    let deadline = Instant::now() + APPLIED_EVERYWHERE_MAX;
    let wait_ms = u32::try_from(APPLIED_EVERYWHERE_MAX.as_millis()).unwrap_or(u32::MAX);
    let Ok(request) = PeerRequest::AwaitApplied { index, wait_ms }.encode() else { return };
    let others = view.live_nodes().filter(|node| *node != view.this_node);
    let here = server.router.view_when(|view| view.applied >= index, deadline);
    let everywhere =
        join_all(others.map(|node| server.fabric.request(node, Class::Control, request.clone(), deadline)));
    let _ = timeout_at(deadline, futures::future::join(here, everywhere)).await;
}

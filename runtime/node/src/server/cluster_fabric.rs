//! The real cluster behind [`Fabric`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shardloom_cluster::admission::TOKEN_LIFE;
use shardloom_cluster::builds::MemberBuild;
use shardloom_cluster::certificates::{CertificateReport, RotateError};
use shardloom_cluster::control::{
    AuditEntry, Author, ControlCommand as LogCommand, ControlReply as LogReply, ControlState, EventsAfter,
    Labels, MemberStanding, Outcome, Refused, RequiredLabel,
};
use shardloom_cluster::formats;
use shardloom_cluster::peers::PeerError;
use shardloom_cluster::serving::NotServing as NotServingHere;
use shardloom_cluster::standing::ClusterStanding;
use shardloom_cluster::step_down::StepDownError;
use shardloom_cluster::writer::WriteError;
use shardloom_cluster::{ClusterHandle, TokenRefused};
use shardloom_protocol::peer::{HealingReport, LogEnds};
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use shardloom_sharding::map_codec::encode_changes;
use shardloom_sharding::protocol::leader::{Order, Ordered, PlanAsk, PlanRefusal, Preview};
use shardloom_sharding::route::Progress;
use shardloom_transport::{Class as PeerClass, Delivery, TransportError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster_state::ClusterState;
use super::fabric::{
    Class, ControlCommand, ControlError, ControlReply, Fabric, FabricError, Force, NotServing, Permit,
    ShardWhy,
};
use super::state::ShardState;
use super::view::{Member, MemberState, Role, View, Weigher, Workload};

/// The real cluster.
pub struct ClusterFabric {
    cluster: ClusterHandle,
    changed: watch::Receiver<u64>,
    /// The last view, and the change that it was made after.
    view: Mutex<(u64, Arc<View>)>,
}

impl ClusterFabric {
    /// The cluster of a node that has applied the founding of its cluster.
    pub fn new(cluster: ClusterHandle) -> ClusterFabric {
        let changed = cluster.serving().changed();
        let at = *changed.borrow();
        let view = Arc::new(picture(&cluster));
        ClusterFabric { cluster, changed, view: Mutex::new((at, view)) }
    }
}

impl Fabric for ClusterFabric {
    fn view(&self) -> Arc<View> {
        let now = *self.changed.borrow();
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.0 != now {
            // Read the count first: a change that comes meanwhile makes another picture next time.
            *view = (now, Arc::new(picture(&self.cluster)));
        }
        view.1.clone()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    fn enter(&self, shard: ShardId) -> Result<Permit, NotServing> {
        match self.cluster.serving().enter(shard) {
            Ok(permit) => Ok(Permit::new(permit.epoch(), move || permit.may_answer())),
            Err(NotServingHere::NotOwner) => Err(NotServing::NotOwner),
            Err(NotServingHere::HandingOver) => Err(NotServing::HandingOver),
            Err(NotServingHere::NoLease) => Err(NotServing::NoLease),
        }
    }

    fn state(&self, shard: ShardId, epoch: Epoch) -> Option<Arc<dyn ShardState>> {
        let state = self.cluster.states().open(shard, epoch)?;
        Some(Arc::new(ClusterState::new(state)))
    }

    fn log_ends(&self, shards: Vec<ShardId>) -> BoxFuture<'_, Result<LogEnds, String>> {
        async move {
            let ends = self.cluster.log_ends();
            let tails = ends.of(shards).await.map_err(|error| error.to_string())?;
            Ok(LogEnds { disk: ends.disk(), tails })
        }
        .boxed()
    }

    fn request(
        &self,
        node: NodeId,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, FabricError>> {
        let class = match class {
            Class::Control => PeerClass::Control,
            Class::Requests => PeerClass::Requests,
            Class::Bulk => PeerClass::Bulk,
        };
        async move {
            let asked = self.cluster.peers().request(node, class, body, deadline.into_std()).await;
            match asked {
                // A node that has just started answers nothing yet, and has run nothing.
                Ok(reply) if reply.is_empty() => Err(FabricError::NotSent("the peer is starting".into())),
                Ok(reply) => Ok(reply),
                Err(PeerError::Transport(TransportError::Overloaded { .. })) => Err(FabricError::Overloaded),
                Err(error) if error.delivery() == Delivery::NotSent => {
                    Err(FabricError::NotSent(error.to_string()))
                }
                Err(error) => Err(FabricError::Unknown(error.to_string())),
            }
        }
        .boxed()
    }

    fn write(
        &self,
        by: Author,
        command: ControlCommand,
    ) -> BoxFuture<'_, Result<ControlReply, ControlError>> {
        async move {
            // The cluster draws the secret of a token, and logs its digest only.
            if let ControlCommand::CreateToken { life } = command {
                return self.create_token(by, life.unwrap_or(TOKEN_LIFE)).await;
            }
            if command == ControlCommand::RotateCertificates {
                return self.rotate_certificates(by).await;
            }
            let Some(command) = log_command(command) else {
                return Err(ControlError::Refused("the command is no entry of the control log".into()));
            };
            match self.cluster.write(command.by(by)).await {
                Ok(LogReply { index, outcome: Ok(Outcome::Done) }) => Ok(ControlReply::Applied { index }),
                Ok(LogReply { index, outcome: Ok(Outcome::Deployed { version }) }) => {
                    Ok(ControlReply::Deployed { version, index })
                }
                Ok(LogReply { outcome: Err(refused), .. }) => Err(refusal(refused)),
                Err(error) => Err(write_error(error)),
            }
        }
        .boxed()
    }

    fn step_down(&self) -> BoxFuture<'_, Result<NodeId, ControlError>> {
        async move {
            self.cluster.step_down().await.map_err(|error| match error {
                StepDownError::NoLeader => ControlError::NoLeader,
                error => ControlError::Refused(error.to_string()),
            })
        }
        .boxed()
    }

    fn plan(&self, ask: PlanAsk) -> BoxFuture<'_, Result<Preview, PlanRefusal>> {
        self.cluster.plan(ask).boxed()
    }

    fn order(&self, order: Order) -> BoxFuture<'_, Result<Ordered, PlanRefusal>> {
        self.cluster.order(order).boxed()
    }

    fn builds(&self, nodes: Vec<NodeId>) -> BoxFuture<'_, BTreeMap<NodeId, MemberBuild>> {
        self.cluster.builds().of(nodes).boxed()
    }

    fn healing(&self) -> BoxFuture<'_, HealingReport> {
        self.cluster.healing().boxed()
    }

    fn audit(&self, since: u64, tail: usize) -> (Vec<AuditEntry>, u64) {
        let applied = self.cluster.applied().read();
        let Some(state) = &applied.control else { return (Vec::new(), 0) };
        let entries = state.audit.after(since);
        let skipped = entries.len().saturating_sub(tail);
        (entries.skip(skipped).cloned().collect(), state.audit.dropped())
    }

    fn why(&self, shard: ShardId) -> ShardWhy {
        let applied = self.cluster.applied().read();
        let Some(state) = &applied.control else { return ShardWhy::default() };
        ShardWhy {
            pending: state.shards.pending(shard).cloned(),
            pending_reasons: state.history.pending(shard).to_vec(),
            history: state.history.of(shard).cloned().collect(),
        }
    }

    fn certificates(&self) -> CertificateReport {
        self.cluster.certificates()
    }

    fn events(&self, since: u64, most: usize) -> EventsAfter {
        let applied = self.cluster.applied().read();
        applied.control.as_ref().map(|state| state.events.after(since, most)).unwrap_or_default()
    }
}

impl ClusterFabric {
    async fn create_token(&self, by: Author, life: Duration) -> Result<ControlReply, ControlError> {
        match self.cluster.create_token(by, life).await {
            Ok(token) => Ok(ControlReply::Token { token: token.to_string(), expires_in: life }),
            Err(TokenRefused::Write(error)) => Err(write_error(error)),
            Err(error) => Err(ControlError::Refused(error.to_string())),
        }
    }

    async fn rotate_certificates(&self, by: Author) -> Result<ControlReply, ControlError> {
        match self.cluster.rotate_certificates(by).await {
            Ok(LogReply { index, outcome: Ok(_) }) => Ok(ControlReply::Applied { index }),
            Ok(LogReply { outcome: Err(refused), .. }) => Err(refusal(refused)),
            Err(RotateError::Write(error)) => Err(write_error(error)),
            Err(RotateError::Make(reason)) => Err(ControlError::Refused(reason)),
        }
    }
}

/// The entry for a command; none for what has a secret that is to be drawn first, and for changes that no map can hold.
fn log_command(command: ControlCommand) -> Option<LogCommand> {
    Some(match command {
        ControlCommand::DeployWorkload { name, base, spec, labels } if !labels.is_empty() => {
            LogCommand::DeployOnLabels { name, spec, replaces: base.unwrap_or(0), labels }
        }
        ControlCommand::DeployWorkload { name, base, spec, .. } => {
            LogCommand::DeployWorkload { name, spec: *spec, replaces: base.unwrap_or(0) }
        }
        ControlCommand::RemoveWorkload { name } => LogCommand::RemoveWorkload { name },
        ControlCommand::ChangeVersion { name, base, change } => {
            LogCommand::ChangeVersion { name, base, change }
        }
        ControlCommand::SetWeigher { component } => LogCommand::SetWeigher { component },
        ControlCommand::SetWeights { component, weights } => LogCommand::SetWeights { component, weights },
        ControlCommand::RaiseWeigherAlarm { component, text } => {
            LogCommand::WeigherFailed { component, reason: text }
        }
        ControlCommand::CreateToken { .. } | ControlCommand::RotateCertificates => return None,
        ControlCommand::UnsetWeigher => LogCommand::UnsetWeigher,
        ControlCommand::AddNode(node) => LogCommand::SetStanding { node, standing: MemberStanding::Active },
        ControlCommand::DrainNode(node) => {
            LogCommand::SetStanding { node, standing: MemberStanding::Draining }
        }
        ControlCommand::RemoveNode { node, force } => {
            LogCommand::RemoveMember { node, force: force == Force::Orphan }
        }
        ControlCommand::Quarantine { node, reason } => LogCommand::Quarantine { node, reason },
        ControlCommand::Release(node) => LogCommand::Release { node },
        ControlCommand::SetSettings(values) => LogCommand::SetSettings { values },
        ControlCommand::CreateAccess { name, role, digest } => {
            LogCommand::CreateAccessToken { name, role, digest }
        }
        ControlCommand::Note { what, digest, refused } => LogCommand::Note { what, digest, refused },
        ControlCommand::RevokeAccess { name } => LogCommand::RevokeAccessToken { name },
        ControlCommand::RepairShards { changes, nothing_left } => {
            LogCommand::RepairShards { changes: encode_changes(&changes).ok()?.into(), nothing_left }
        }
    })
}

fn refusal(refused: Refused) -> ControlError {
    match refused {
        Refused::DeployConflict { name, .. } => ControlError::Conflict { name },
        Refused::UnknownWorkload { name } => ControlError::UnknownWorkload { name },
        refused => ControlError::Refused(refused.to_string()),
    }
}

fn write_error(error: WriteError) -> ControlError {
    match error {
        WriteError::NoLeader | WriteError::NotLeader { .. } => ControlError::NoLeader,
        ahead @ WriteError::LevelAhead { .. } => ControlError::Refused(ahead.to_string()),
        WriteError::Unknown(reason) => ControlError::Unknown(reason),
    }
}

fn picture(cluster: &ClusterHandle) -> View {
    let standing = cluster.standing().read();
    let voters: BTreeSet<NodeId> = cluster.voters().into_iter().collect();
    let lease_live = cluster.serving().lease_live();
    let applied = cluster.applied().read();
    let index = applied.last.map_or(0, |id| id.index);
    let Some(state) = &applied.control else {
        unreachable!("a node starts its server after it has applied the founding of its cluster")
    };
    let leader = standing.leader.map(|(node, _)| node);
    let members: BTreeMap<NodeId, Member> =
        state.members.keys().map(|node| (*node, member(state, *node, leader, &voters, &standing))).collect();
    let mut full = standing.full.clone();
    if cluster.space().is_full() {
        full.insert(cluster.me());
    } else {
        full.remove(&cluster.me());
    }
    View {
        cluster_id: state.founding.cluster,
        this_node: cluster.me(),
        leader,
        term: standing.term,
        applied: index,
        replicas: u32::from(state.settings.replicas()),
        replicas_possible: possible(state) as u32,
        formats: state.level(),
        settings: state.settings.clone(),
        moves: standing.moves.clone(),
        map: Arc::new(state.shards.committed().clone()),
        unsettled: Arc::new(unsettled(state, &standing)),
        to_come: Arc::new(to_come(state, cluster.me())),
        warnings: warnings(state, &members)
            .into_iter()
            .chain(full_disks(cluster, &full))
            .chain(quarantines(&members))
            .chain(labels_missing(state, &members))
            .collect(),
        full,
        members,
        workloads: state
            .workloads
            .iter()
            .map(|(name, found)| (name.clone(), Arc::new(Workload::of(name, found))))
            .collect(),
        required_labels: required_labels(state),
        left_by: state.left_by.clone(),
        weigher: state.weigher.as_ref().map(|weigher| Weigher {
            component: weigher.component,
            last_run: (weigher.weights_since > 0).then_some(weigher.weights_since),
            alarm: weigher.alarm.clone(),
        }),
        weights: state
            .weigher
            .as_ref()
            // A weigher that has given none yet has left those of the one before.
            .filter(|weigher| weigher.weights_since > 0 || state.weights.iter().any(|weight| *weight != 1))
            .map(|_| Arc::new(state.weights.clone())),
        access: Arc::new(state.access.clone()),
        tally: standing.tally.clone(),
        elected: standing.elected,
        lease_live,
    }
}

fn member(
    state: &ControlState,
    node: NodeId,
    leader: Option<NodeId>,
    voters: &BTreeSet<NodeId>,
    standing: &ClusterStanding,
) -> Member {
    let member = &state.members[&node];
    let quarantine = state.later.exclusions.quarantine(node).map(|quarantine| quarantine.reason.clone());
    let lacking: Vec<RequiredLabel<'_>> = state.later.exclusions.lacking(&member.labels).collect();
    let silent = standing.silent.contains(&node);
    let role = if leader == Some(node) {
        Role::Leader
    } else if voters.contains(&node) {
        Role::Voter
    } else {
        Role::Learner
    };
    let state = match member.standing {
        MemberStanding::Pending => MemberState::Pending,
        _ if silent => MemberState::Silent,
        MemberStanding::Draining => MemberState::Draining,
        MemberStanding::Active if quarantine.is_some() => MemberState::Quarantined,
        MemberStanding::Active => MemberState::Live,
    };
    Member {
        state,
        role,
        http: member.addresses.http.clone(),
        peer: member.addresses.peer.clone(),
        gossip: member.addresses.gossip.clone(),
        zone: member.zone.clone(),
        capacity: member.capacity,
        labels: formats::without_label(member.labels.clone()),
        quarantine,
        lacks: lacking.iter().map(ToString::to_string).collect(),
        live: !silent && member.standing != MemberStanding::Pending,
    }
}

fn unsettled(state: &ControlState, standing: &ClusterStanding) -> BTreeMap<ShardId, Progress> {
    let pending = state.shards.pendings().map(|(shard, _)| (shard, Progress::Resharding));
    let unavailable = standing.unavailable.iter().map(|shard| (*shard, Progress::Unavailable));
    pending.chain(unavailable).collect()
}

/// The shards of others that are proposed to be this node's.
fn to_come(state: &ControlState, me: NodeId) -> BTreeSet<ShardId> {
    let of_another = |shard: ShardId| state.shards.committed().owner(shard).is_some_and(|owner| owner != me);
    let pending = state.shards.pendings().filter(|(_, pending)| pending.is_owned_by(me));
    pending.map(|(shard, _)| shard).filter(|shard| of_another(*shard)).collect()
}

/// How many replicas the nodes allow that are there to stay: at most as many as are wanted.
fn possible(state: &ControlState) -> usize {
    let stay = state.members.values().filter(|member| member.standing == MemberStanding::Active);
    stay.count().min(usize::from(state.settings.replicas()))
}

fn warnings(state: &ControlState, members: &BTreeMap<NodeId, Member>) -> Vec<String> {
    let mut warnings = Vec::new();
    let active =
        members.values().filter(|m| !matches!(m.state, MemberState::Draining | MemberState::Pending)).count();
    let (wanted, possible) = (usize::from(state.settings.replicas()), possible(state));
    if possible < wanted {
        warnings
            .push(format!("{wanted} replicas wanted, {possible} possible: add nodes, or set fewer replicas"));
    }
    if active == 1 {
        warnings.push("a single node: its loss is the loss of the cluster; add two more".into());
    }
    if active == 2 {
        warnings.push("two nodes: one of them votes, and its loss stops the cluster; add a third".into());
    }
    warnings
}

/// An alarm for each node without room. The words of this node's own have figures.
fn full_disks(cluster: &ClusterHandle, full: &BTreeSet<NodeId>) -> Vec<String> {
    let alarm = |node: &NodeId| {
        let what = "it owns no shard while others have room, takes on no replica, and calls that write are answered disk-full where it is the owner";
        let space = cluster.space();
        let (marks, mib) = (space.marks(), |bytes: u64| bytes >> 20);
        let place = match *node == cluster.me() {
            true => format!(
                "{} MiB are free under {}; delete what is not needed, or make the file system larger, until {} MiB are free",
                mib(space.report().free_bytes),
                space.dir().display(),
                mib(marks.high_bytes)
            ),
            false => "Make room under its data directory".to_owned(),
        };
        format!("the disk of node {node} is full: {what}. {place}: it goes on by itself then")
    };
    full.iter().map(alarm).collect()
}

/// An alarm for each node in quarantine.
fn quarantines(members: &BTreeMap<NodeId, Member>) -> impl Iterator<Item = String> {
    members.iter().filter_map(|(node, member)| {
        let reason = member.quarantine.as_deref()?;
        Some(format!(
            "node {node} is in quarantine: {reason}. It keeps its copies and its vote, and owns no shard. See why in its own log, mend that, \
             and let it own shards again with `shardloom node release {node}`; or take it out for good with `shardloom node drain {node}`"
        ))
    })
}

/// Which nodes own no shards since they lack labels that workloads ask for; or that all do, as nobody has them.
fn labels_missing(state: &ControlState, members: &BTreeMap<NodeId, Member>) -> Option<String> {
    let asked: Vec<String> = state.later.exclusions.required().map(|label| label.to_string()).collect();
    let up = || members.iter().filter(|(_, member)| matches!(member.state, MemberState::Live));
    let out: Vec<String> =
        up().filter(|(_, member)| !member.lacks.is_empty()).map(|(node, _)| node.to_string()).collect();
    let asked = asked.join(", ");
    match (out.len(), up().count()) {
        (0, _) => None,
        (out, all) if out == all => Some(format!(
            "no live node has all labels that workloads ask for, {asked}: so nodes without them own shards. Start a node with them (`--label`), or \
             deploy the workload without `--require-label`"
        )),
        (count, _) => Some(format!(
            "{count} node(s) own no shards while others can, since they lack labels: {}. Owners need {asked}",
            out.join(", ")
        )),
    }
}

fn required_labels(state: &ControlState) -> BTreeMap<String, Labels> {
    let of = |name: &String| Some((name.clone(), state.later.exclusions.required_by(name)?.clone()));
    state.workloads.keys().filter_map(of).collect()
}

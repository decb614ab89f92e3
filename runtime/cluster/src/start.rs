//! Starting a node: from a data directory and a few addresses to a member of a cluster that keeps the protocol.

mod control_group;
mod founding;
mod gossip;
mod ground;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{Boot, DiskId, NodeId, Replica};
use shardloom_sharding::plan::PlanSettings;
use shardloom_sharding::protocol::leader::{LeaderCore, LeaderSettings};
use shardloom_sharding::protocol::node::NodeCore;
use shardloom_sharding::protocol::timing::Timing;
use shardloom_store::{DiskSpace, SpaceMarks, Wal, WalOptions};
use shardloom_transport::{JoinToken, NodeIdentity, PeerNet, PeerOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::ClusterError;
use crate::addresses::AddressKeeper;
use crate::admission::{Admission, Leavers, TokenBook, Watch};
use crate::candidacy::Candidacy;
use crate::control::{Addresses, JoinPolicy, Member, MemberStanding};
use crate::formats;
use crate::franchise::Franchise;
use crate::gossip::GossipTiming;
use crate::group::GroupKeeper;
use crate::handle::Cluster;
use crate::identity::{IdentityStore, Logs, SharedIdentity};
use crate::join;
use crate::leading::Leading;
use crate::log_ends::LogEnds;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::raft::{Applied, AppliedEvent, HeartbeatLedger, Raft, RaftTiming, SnapshotStore};
use crate::raising::LevelRaiser;
use crate::renewal::RenewalKeeper;
use crate::seals::Seals;
use crate::service::{Dispatcher, Services};
use crate::serving::ServingTable;
use crate::shard_logs::ShardLogs;
use crate::shell::{Shell, ShellParts};
use crate::space_watch;
use crate::standing::StandingCell;
use crate::state::{self, SnapshotSender, SnapshotSource, StateLinks, StateOptions, StateWorkers, blocking};
use crate::step_down::StepDown;
use control_group::{Group, start_group, wait_for_state};
use gossip::start_gossip;
use ground::{Ground, Opened};

/// How a node that belongs to no cluster yet finds one. A member ignores it.
#[derive(Clone, Debug)]
pub enum Beginning {
    /// Make a new cluster.
    Bootstrap {
        /// Shards, for ever.
        shards: u32,
        /// Replicas of a shard, where there are nodes enough.
        replicas: u32,
        /// Whether a token is enough to join.
        join_policy: JoinPolicy,
        /// Digest of the admin token.
        admin_token: Digest,
    },
    /// Join the cluster that somebody at these addresses belongs to.
    Join {
        /// Peer addresses, host:port.
        addresses: Vec<String>,
        /// The token.
        token: JoinToken,
    },
    /// Neither: the data directory must belong to a cluster.
    Return,
}

/// What a node is told.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The data directory.
    pub data: PathBuf,
    /// UDP port for peers.
    pub listen_peer: SocketAddr,
    /// UDP port for gossip.
    pub listen_gossip: SocketAddr,
    /// Where the others find this node's services.
    pub addresses: Addresses,
    /// Its failure domain.
    pub zone: String,
    /// How much it can bear.
    pub capacity: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What to do if the data directory is new.
    pub beginning: Beginning,
    /// The spans of time of the shard protocol; the same on every node.
    pub timing: Timing,
    /// The timing of the control group.
    pub raft: RaftTiming,
    /// The timing of gossip.
    pub gossip: GossipTiming,
    /// The limits of the write-ahead log.
    pub wal: WalOptions,
    /// How much room the disk must have.
    pub space: SpaceMarks,
}

/// Messages from peers that wait for the shell at most; beyond that their streams are not read on.
const INCOMING_MAX: usize = 1_024;
/// How far the weight of a node may be from its share before shards move, in percent, until the leader has read the settings.
const BALANCE_THRESHOLD_PERCENT: u32 = 10;
/// Shards that may learn at once per node until the leader has read the settings.
const MOVES_IN_FLIGHT: usize = 1;

/// Starts a node, joins or bootstraps if need be, and returns when it takes part.
///
/// # Errors
///
/// The disk, a port or the cluster refuses; the text says what to do.
///
/// # Cancel safety
///
/// Dropped before the end, it is as if the node had crashed while it started.
pub async fn start(options: ClusterOptions) -> Result<Cluster, ClusterError> {
    start_with(options, StateOptions::default()).await
}

/// Like [`start`], with other bounds for the states of shards.
///
/// # Errors
///
/// As [`start`].
///
/// # Cancel safety
///
/// As [`start`].
pub async fn start_with(options: ClusterOptions, state: StateOptions) -> Result<Cluster, ClusterError> {
    let (data, wal, marks) = (options.data.clone(), options.wal.clone(), options.space);
    let ground = blocking(move || Ground::open(&data, wal, marks)).await?;
    check_cluster(&ground.identity, &options.beginning)?;
    let secret = ground.identity.endpoint_secret()?;
    let net = PeerNet::bind_with_secret(options.listen_peer, secret, PeerOptions::default())?;
    let assembled = assemble(&options, state, ground, net.clone()).await;
    if assembled.is_err() {
        net.close().await;
    }
    assembled
}

fn check_cluster(identity: &IdentityStore, beginning: &Beginning) -> Result<(), ClusterError> {
    match (identity.cluster(), beginning) {
        (Some(ours), Beginning::Join { token, .. }) if token.cluster() != ours => {
            Err(ClusterError::OtherCluster { ours, theirs: token.cluster() })
        }
        (None, Beginning::Return) => Err(ClusterError::Nowhere),
        _ => Ok(()),
    }
}

async fn assemble(
    options: &ClusterOptions,
    state_options: StateOptions,
    ground: Ground,
    net: PeerNet,
) -> Result<Cluster, ClusterError> {
    let node = ground.identity.node();
    let peers = Arc::new(Peers::new(node, net.clone()));
    if let Some(known) = ground.identity.credentials()? {
        net.set_credentials(&known)?;
    }
    let Opened { ground, snapshots, state } = on_firm_ground(options, ground, &peers).await?;
    let Ground { dir, space, mark, wal, recovery, mut identity, .. } = ground;
    let member = describe(options, node, state.disk);
    become_reachable(options, &mut identity, &net, &peers, &snapshots, &member, recovery.boot).await?;
    let taken_anew = identity.taken_anew()?;
    let franchise = Arc::new(Franchise::new(taken_anew.is_none()));
    let mut group = start_group(options, node, &wal, (&snapshots, mark), peers.clone(), &franchise).await?;
    if let Beginning::Bootstrap { .. } = options.beginning
        && identity.cluster().is_none()
    {
        let signed = founding::found(options, &group, &identity, &member).await?;
        net.set_identity(&identity.become_member(signed)?)?;
    }
    let cluster = identity.cluster().ok_or(ClusterError::Nowhere)?;
    let serving = Arc::new(ServingTable::default());
    let standing = Arc::new(StandingCell::default());
    let tokens = Arc::new(TokenBook::default());
    let leavers = Arc::new(Leavers::default());
    let watch = Watch::new(node, serving.clone(), standing.clone());
    let writer = group.writer();
    let (raft, timing) = (group.raft.clone(), options.raft.clone());
    let step_down = StepDown::new(node, raft, peers.clone(), standing.clone(), timing, franchise.clone());
    let me = Replica { node, disk: state.disk };
    let (state, StateWorkers { flusher, arrivals, requests }) = state::link(&wal, state, state_options);
    let states = state.states.clone();
    let log_ends = LogEnds::new(me.disk, wal.clone(), state.db.clone());
    let (shell_in, incoming) = mpsc::channel(INCOMING_MAX);
    let server = Arc::new(OnceLock::new());
    net.serve(Arc::new(Dispatcher::new(Services {
        me: node,
        raft: group.raft.clone(),
        franchise: franchise.clone(),
        outdated: group.outdated.clone(),
        peers: peers.clone(),
        writer: writer.clone(),
        admission: Admission::new(
            writer.clone(),
            group.applied.clone(),
            tokens.clone(),
            watch.clone(),
            leavers.clone(),
        ),
        step_down: step_down.clone(),
        arrivals,
        shell: shell_in.clone(),
        boots: group.boots.clone(),
        server: server.clone(),
    })))?;
    let shard_count = wait_for_state(&mut group, &peers, node).await?;
    serving.size(shard_count);
    let gossip = start_gossip(options, cluster, node, recovery.boot, &identity, &group.applied).await?;
    group.builds.listen(gossip.listener());
    let mut tasks = JoinSet::new();
    let seals = Arc::new(Seals::read(&wal, shard_count)?);
    let snapshots = SnapshotSender {
        source: SnapshotSource {
            db: state.db.clone(),
            unflushed: state.unflushed.clone(),
            seals: seals.clone(),
            peers: peers.clone(),
            pace: state.pace.clone(),
            news: state.tell.clone(),
        },
        requests,
    };
    let shell = make_shell(
        options,
        &wal,
        me,
        recovery.boot,
        shard_count,
        group_parts(&group),
        ShellLinks {
            state,
            seals,
            serving: serving.clone(),
            standing: standing.clone(),
            space: space.clone(),
            outbox: Outbox::new(peers.clone()),
            events: group.events,
            incoming,
        },
    )?;
    tasks.spawn(async move { shell.run().await });
    tasks.spawn(async move { Ok(flusher.run().await?) });
    let (seen, log) = (space.clone(), wal.clone());
    tasks.spawn(async move {
        space_watch::watch(seen, log).await;
        Ok(())
    });
    tasks.spawn(async move {
        snapshots.run().await;
        Ok(())
    });
    let (raft, applied) = (group.raft.clone(), group.applied.clone());
    let keeper = GroupKeeper::new(node, raft, applied, standing.clone(), tokens.clone(), leavers);
    tasks.spawn(async move {
        keeper.run().await;
        Ok(())
    });
    let raiser = LevelRaiser::new(node, group.raft.clone(), group.applied.clone(), group.builds.clone());
    tasks.spawn(async move {
        raiser.run().await;
        Ok(())
    });
    let outdated = group.outdated.clone();
    tasks.spawn(async move { Err(outdated.wait().await.into()) });
    let (applied, identity) = (group.applied.clone(), SharedIdentity::new(identity));
    if let Some(awaited) = taken_anew {
        let (raft, disks) = (group.raft.clone(), (awaited, me.disk));
        let candidacy = Candidacy::new(node, disks, raft, applied.clone(), identity.clone(), franchise);
        tasks.spawn(candidacy.run());
    }
    let renewals = RenewalKeeper::new(node, applied.clone(), writer.clone(), net, identity.clone());
    tasks.spawn(renewals.run());
    let addresses = AddressKeeper::new(applied, peers.clone(), tokens, watch, identity, &gossip);
    tasks.spawn(addresses.run());
    Ok(Cluster {
        me: node,
        cluster,
        dir,
        wal,
        raft: group.raft,
        applied: group.applied,
        builds: group.builds,
        outdated: group.outdated,
        serving,
        states,
        log_ends,
        standing,
        space,
        writer,
        step_down,
        peers,
        shell: shell_in,
        server,
        gossip,
        tasks,
    })
}

fn describe(options: &ClusterOptions, node: NodeId, disk: DiskId) -> Member {
    Member {
        node,
        disk,
        addresses: options.addresses.clone(),
        zone: options.zone.clone(),
        capacity: options.capacity,
        labels: formats::labelled(options.labels.clone()),
        standing: MemberStanding::Active,
    }
}

/// Opens the databases; where the logs below them are lost, once the cluster has taken this node anew.
async fn on_firm_ground(
    options: &ClusterOptions,
    mut ground: Ground,
    peers: &Peers,
) -> Result<Opened, ClusterError> {
    if ground.logs == Logs::Kept {
        return blocking(move || ground.open_databases()).await;
    }
    let (node, disk) = (ground.identity.node(), ground.recovery.disk);
    tracing::error!(%node, %disk, "the logs of this node are gone: it takes no part until the cluster has taken it anew");
    let others = ground.identity.known_peers().into_iter();
    peers.set_gossip(&others.map(|(node, addresses)| (node, addresses.peer)).collect());
    let led_by = join::attach_anew(peers, &describe(options, node, disk), ground.recovery.boot).await?;
    tracing::warn!(%node, %disk, "taken anew: everything is made again from the other members");
    if let Some(vote) = led_by {
        control_group::follow(&ground.wal, vote).await?;
    }
    blocking(move || {
        ground.begin_anew()?;
        ground.open_databases()
    })
    .await
}

/// A member says where it is; a stranger that was told to joins.
async fn become_reachable(
    options: &ClusterOptions,
    identity: &mut IdentityStore,
    net: &PeerNet,
    peers: &Peers,
    snapshots: &SnapshotStore,
    member: &Member,
    boot: Boot,
) -> Result<(), ClusterError> {
    if identity.cluster().is_some() {
        let mut places: BTreeMap<NodeId, String> =
            identity.known_peers().into_iter().map(|(node, addresses)| (node, addresses.peer)).collect();
        if let Some(state) = snapshots.load()?.and_then(|applied| applied.control) {
            for other in state.members.values() {
                places.entry(other.node).or_insert_with(|| other.addresses.peer.clone());
            }
        }
        places.remove(&member.node);
        peers.set_gossip(&places);
        return join::attach(peers, member, boot).await;
    }
    if let Beginning::Join { addresses, token } = &options.beginning {
        let (signed, joined) = join::join(net, &identity.key()?, token, addresses, member).await?;
        let others: BTreeMap<NodeId, Addresses> =
            joined.members.into_iter().map(|other| (other.node, other.addresses)).collect();
        identity.remember_peers(&others)?;
        let known: NodeIdentity = identity.become_member(signed)?;
        net.set_identity(&known)?;
        peers.set_gossip(&others.into_iter().map(|(node, addresses)| (node, addresses.peer)).collect());
        tracing::info!(cluster = %joined.cluster, node = %member.node, "joined");
    }
    Ok(())
}

struct GroupParts {
    raft: Raft,
    applied: Arc<Applied>,
    ledger: Arc<HeartbeatLedger>,
}

fn group_parts(group: &Group) -> GroupParts {
    GroupParts { raft: group.raft.clone(), applied: group.applied.clone(), ledger: group.ledger.clone() }
}

struct ShellLinks {
    state: StateLinks,
    seals: Arc<Seals>,
    serving: Arc<ServingTable>,
    standing: Arc<StandingCell>,
    space: DiskSpace,
    outbox: Outbox,
    events: mpsc::Receiver<AppliedEvent>,
    incoming: mpsc::Receiver<crate::shell::Incoming>,
}

fn make_shell(
    options: &ClusterOptions,
    wal: &Wal,
    me: Replica,
    boot: Boot,
    shard_count: u32,
    group: GroupParts,
    links: ShellLinks,
) -> Result<Shell, ClusterError> {
    let replicas = {
        let applied = group.applied.read();
        applied.control.as_ref().map_or(1, |state| state.founding.replicas)
    };
    let state = links.state;
    let (logs, stored) =
        ShardLogs::open(wal.clone(), links.seals, state.db.clone(), state.unflushed.clone())?;
    let timing = options.timing;
    let plan = PlanSettings {
        replicas: replicas.min(u32::from(u8::MAX)) as u8,
        threshold_percent: BALANCE_THRESHOLD_PERCENT,
        moves_max: None,
    };
    let settings = LeaderSettings { timing, plan, moves_in_flight: MOVES_IN_FLIGHT };
    Ok(Shell::new(ShellParts {
        node: NodeCore::new(me, boot, timing, shard_count, stored),
        leader: LeaderCore::new(settings),
        logs,
        state,
        wal: wal.clone(),
        applied: group.applied,
        raft: group.raft,
        serving: links.serving,
        standing: links.standing,
        space: links.space,
        outbox: links.outbox,
        leading: Leading::new(me.node, group.ledger),
        events: links.events,
        incoming: links.incoming,
        me: me.node,
        tick: timing.tick,
    }))
}

//! What is done to the nodes: one kind of fault each.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::sickness::Sickness;
use shardloom_harness::until;
use shardloom_harness::wound::Wound;

use super::sick;

/// How many nodes are hurt, or watch.
pub(super) const NODES: usize = 3;
/// How long the load runs on after a fault, before the next step.
const AFTER: Duration = Duration::from_secs(6);
/// How long a halted node stays halted.
const HALT: Duration = Duration::from_secs(10);
/// How long the cluster may take to be whole again.
const WHOLE_MAX: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// kill -9 of an owner that does not lead.
    KillOwner,
    /// kill -9 of the leader.
    KillLeader,
    /// kill -9 of the leader and another owner at once, both started again from their disks.
    KillBoth,
    /// An owner that does not lead is halted for ten seconds.
    HaltOwner,
    /// The leader is halted for ten seconds.
    HaltLeader,
    /// SIGTERM to a node, which is started again.
    Terminate,
    /// kill -9 of every node at once, all started again from their disks.
    KillAll,
    /// A node that does not lead and the others do not hear each other.
    CutOff,
    /// The leader and the others do not hear each other.
    CutOffLeader,
    /// Nobody hears a node that does not lead.
    Mute,
    /// A node that does not lead hears nobody.
    Deaf,
    /// Two nodes do not hear each other, but both hear the leader.
    TwoApart,
    /// Each node loses a tenth of the packets of the others.
    Loss,
    /// The fdatasync of a node fails.
    FailedSync,
    /// The disk of a node is full.
    FullDisk,
    /// All nodes lose their power at one instant.
    PowerCut,
    /// kill -9, and the last bytes of the write-ahead log are lost.
    TornTail,
    /// kill -9, and the newest file of the write-ahead log ends too soon.
    CutShort,
    /// kill -9, and behind the end of the write-ahead log lies garbage.
    Garbage,
    /// kill -9, and a bit of the write-ahead log turns over.
    BitInLog,
    /// kill -9, and a bit of the shards' state turns over.
    BitInState,
    /// kill -9, and the shards' state is deleted.
    NoState,
    /// kill -9, and everything is deleted but the node's identity.
    OnlyIdentity,
    /// Money is moved between accounts while nodes are hurt at random, and shards move.
    Bank,
}

impl Kind {
    pub(super) const ALL: [Kind; 24] = [
        Kind::KillOwner,
        Kind::KillLeader,
        Kind::KillBoth,
        Kind::HaltOwner,
        Kind::HaltLeader,
        Kind::Terminate,
        Kind::KillAll,
        Kind::CutOff,
        Kind::CutOffLeader,
        Kind::Mute,
        Kind::Deaf,
        Kind::TwoApart,
        Kind::Loss,
        Kind::FailedSync,
        Kind::FullDisk,
        Kind::PowerCut,
        Kind::TornTail,
        Kind::CutShort,
        Kind::Garbage,
        Kind::BitInLog,
        Kind::BitInState,
        Kind::NoState,
        Kind::OnlyIdentity,
        Kind::Bank,
    ];

    /// Whether calls through nodes that are not hurt may fail: only where no majority is left.
    pub(super) fn may_fail(self) -> bool {
        matches!(self, Kind::KillBoth | Kind::KillAll | Kind::PowerCut)
    }

    /// Which nodes are hurt; `turn` picks among those that are alike.
    pub(super) fn victims(self, cluster: &Cluster, turn: usize) -> Result<Vec<usize>> {
        let (leader, nodes) = (cluster.leader()?, cluster.size());
        let other = (leader + 1 + turn % (nodes - 1)) % nodes;
        Ok(match self {
            Kind::KillLeader | Kind::HaltLeader | Kind::CutOffLeader => vec![leader],
            Kind::KillBoth => vec![leader, other],
            Kind::KillAll | Kind::PowerCut => (0..nodes).collect(),
            Kind::TwoApart => (0..nodes).filter(|index| *index != leader).collect(),
            Kind::Loss => Vec::new(),
            _ => vec![other],
        })
    }

    /// Hurts these nodes, and has them back; says what was done where the kind does not.
    pub(super) fn inflict(self, cluster: &mut Cluster, victims: &[usize], seed: u64) -> Result<String> {
        if let Some(sickness) = self.sickness() {
            return sick::inflict(sickness, cluster, victims, seed);
        }
        self.signal(cluster, victims).map(|()| String::new())
    }

    /// What befalls the cluster, if it is more than a signal.
    pub(super) fn sickness(self) -> Option<Sickness> {
        Some(match self {
            Kind::CutOff | Kind::CutOffLeader => Sickness::CutOff,
            Kind::Mute => Sickness::Mute,
            Kind::Deaf => Sickness::Deaf,
            Kind::TwoApart => Sickness::TwoApart,
            Kind::Loss => Sickness::Loss,
            Kind::FailedSync => Sickness::FailedSync,
            Kind::FullDisk => Sickness::FullDisk,
            Kind::PowerCut => Sickness::PowerCut,
            Kind::TornTail => Sickness::Wounded(Wound::TornTail),
            Kind::CutShort => Sickness::Wounded(Wound::CutShort),
            Kind::Garbage => Sickness::Wounded(Wound::Garbage),
            Kind::BitInLog => Sickness::Wounded(Wound::BitInLog),
            Kind::BitInState => Sickness::Wounded(Wound::BitInState),
            Kind::NoState => Sickness::Wounded(Wound::NoState),
            Kind::OnlyIdentity => Sickness::Wounded(Wound::OnlyIdentity),
            Kind::KillOwner
            | Kind::KillLeader
            | Kind::KillBoth
            | Kind::HaltOwner
            | Kind::HaltLeader
            | Kind::Terminate
            | Kind::KillAll
            | Kind::Bank => return None,
        })
    }

    /// Hurts these nodes by a signal, and has them back.
    pub(super) fn signal(self, cluster: &mut Cluster, victims: &[usize]) -> Result<()> {
        match self {
            Kind::KillOwner | Kind::KillLeader => kill(cluster, victims, AFTER),
            Kind::KillBoth | Kind::KillAll => kill(cluster, victims, Duration::ZERO),
            Kind::HaltOwner | Kind::HaltLeader => halt(cluster, victims),
            Kind::Terminate => terminate(cluster, victims),
            // Faults of the bank are of other kinds, and a sickness is no signal.
            _ => Ok(()),
        }
    }
}

fn kill(cluster: &mut Cluster, victims: &[usize], away: Duration) -> Result<()> {
    victims.iter().try_for_each(|victim| cluster.kill(*victim))?;
    thread::sleep(away);
    victims.iter().try_for_each(|victim| cluster.restart(*victim))
}

fn halt(cluster: &mut Cluster, victims: &[usize]) -> Result<()> {
    victims.iter().try_for_each(|victim| cluster.stop(*victim))?;
    thread::sleep(HALT);
    victims.iter().try_for_each(|victim| cluster.cont(*victim))
}

fn terminate(cluster: &mut Cluster, victims: &[usize]) -> Result<()> {
    victims.iter().try_for_each(|victim| cluster.terminate(*victim))?;
    victims.iter().try_for_each(|victim| cluster.restart(*victim))
}

/// Waits until all nodes live and own something, and nothing moves any more.
pub(super) fn whole(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_for_members(cluster.size(), WHOLE_MAX)?;
    until("shards on every node", WHOLE_MAX, || {
        let nodes = cluster.status(cluster.any()?)?.nodes;
        ensure!(nodes.iter().all(|node| node.shards_owned > 0), "{nodes:?}");
        Ok(())
    })?;
    cluster.wait_until_settled(WHOLE_MAX)
}

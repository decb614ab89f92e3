//! What befalls a cluster beyond signals: its network, its disks, its power, its files. Each strikes under load, and is healed.
//!
//! It is the same for the tests, which strike each once, and for `cargo xtask faults`, which strikes again and again.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::cluster::{Cluster, END_MAX};
use crate::failing_sync::FailingSync;
use crate::fullness;
use crate::means::Means;
use crate::mount::Disks;
use crate::namespaces::Cut;
use crate::network::Network;
use crate::options::Options;
use crate::power;
use crate::wait::until;
use crate::wound::Wound;

/// How much is lost on a bad network.
const LOSS_PERCENT: u8 = 10;
/// The size of a node's disk: some segments of the write-ahead log and the state, several times over.
const DISK_BYTES: u64 = 256 << 20;
/// When a disk of that size counts as full, and when no longer.
const DISK_MARKS: &str = "limits.disk_low_bytes=67108864,limits.disk_high_bytes=100663296";
/// How long the others may take until they serve what a node served, on a machine that does much else.
const TAKE_OVER_MAX: Duration = Duration::from_secs(40);
/// The documented exit code of a node whose write or fdatasync failed.
const EXIT_DISK_FAILED: i32 = 74;

/// What befalls a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// The victim and the others do not hear each other.
    CutOff,
    /// Nobody hears the victim.
    Mute,
    /// The victim hears nobody.
    Deaf,
    /// The two nodes that do not lead do not hear each other; both hear the leader, and it them.
    TwoApart,
    /// Each node loses a part of what the others send to it.
    Loss,
    /// The fdatasync of the victim fails.
    FailedSync,
    /// The disk of the victim is full.
    FullDisk,
    /// All nodes lose their power at one instant.
    PowerCut,
    /// The victim is killed, and its files are damaged.
    Wounded(Wound),
}

impl Sickness {
    /// Whether the machine offers what it needs; standard error says what is missing.
    pub fn is_possible(self) -> bool {
        let means: &[Means] = match self {
            Self::CutOff | Self::Mute | Self::Deaf | Self::TwoApart | Self::Loss => &[Means::Namespaces],
            Self::FailedSync => &[Means::Compiler],
            Self::FullDisk => &[Means::Tmpfs],
            Self::PowerCut => &[Means::Images],
            Self::Wounded(_) => &[],
        };
        Means::offered(means)
    }

    /// The options of a cluster that it can strike.
    ///
    /// # Errors
    /// If the network cannot be had.
    pub fn fit(self, options: Options) -> Result<Options> {
        Ok(match self {
            // Of three replicas a majority hears each other all the same; of two that are apart there is none, and the leader must move them.
            Self::TwoApart => Options { network: Network::namespaces()?, replicas: 2, ..options },
            Self::CutOff | Self::Mute | Self::Deaf | Self::Loss => {
                Options { network: Network::namespaces()?, ..options }
            }
            Self::FullDisk => on_small_disks(options, Disks::Tmpfs { bytes: DISK_BYTES }),
            Self::PowerCut => on_small_disks(options, Disks::Images { bytes: DISK_BYTES }),
            Self::FailedSync | Self::Wounded(_) => options,
        })
    }

    /// The nodes whose clients it must not cost a call: each of their calls is answered, if late.
    pub fn spared(self, cluster: &Cluster, victim: usize) -> Result<Vec<usize>> {
        let leader = cluster.leader()?;
        let is_spared = |index: &usize| match self {
            Self::TwoApart => *index == leader,
            Self::Loss | Self::PowerCut => true,
            _ => *index != victim,
        };
        Ok((0..cluster.size()).filter(is_spared).collect())
    }

    /// Whether calls of clients of the spared nodes may fail.
    pub fn may_fail(self) -> bool {
        // Clients see their own nodes go.
        self == Self::PowerCut
    }

    /// What must be done before the load begins: some sicknesses are in the victim from its start.
    ///
    /// # Errors
    /// If a step fails.
    pub fn prepare(self, cluster: &mut Cluster, victim: usize) -> Result<()> {
        if self == Self::FailedSync {
            let sync = FailingSync::compile(cluster.directory())?;
            cluster.terminate(victim)?;
            cluster.node_mut(victim).environment = sync.environment();
            cluster.restart(victim)?;
        }
        Ok(())
    }

    /// Strikes, waits until the others serve where they must, and says what was done.
    ///
    /// # Errors
    /// If a step fails, or the others do not serve in time.
    pub fn strike(self, cluster: &mut Cluster, victim: usize, seed: u64) -> Result<String> {
        let id = cluster.id_of(victim)?;
        let others: Vec<usize> = (0..cluster.size()).filter(|index| *index != victim).collect();
        let way = |from, to| Cut::Way { from, to };
        let cuts: Vec<Cut> = match self {
            Self::CutOff => others.iter().flat_map(|other| Cut::between(victim, *other)).collect(),
            Self::Mute => others.iter().map(|other| way(victim, *other)).collect(),
            Self::Deaf => others.iter().map(|other| way(*other, victim)).collect(),
            Self::TwoApart => {
                let leader = cluster.leader()?;
                let apart: Vec<usize> = (0..cluster.size()).filter(|index| *index != leader).collect();
                let [one, other] = apart[..] else { bail!("only of three nodes two can be apart") };
                Cut::between(one, other).into()
            }
            Self::Loss => (0..cluster.size()).map(|to| Cut::Loss { to, percent: LOSS_PERCENT }).collect(),
            Self::FailedSync => {
                FailingSync::in_directory(cluster.directory()).fail()?;
                let status = cluster.node_mut(victim).ended(END_MAX)?;
                ensure!(status.code() == Some(EXIT_DISK_FAILED), "it ended with {status}");
                Vec::new()
            }
            Self::FullDisk => {
                fullness::fill(&cluster.node(victim).data())?;
                Vec::new()
            }
            Self::PowerCut => {
                power::cut(cluster)?;
                Vec::new()
            }
            Self::Wounded(wound) => {
                cluster.kill(victim)?;
                taken_over(cluster, others[0], &id)?;
                return wound.inflict(&cluster.node(victim).data(), seed);
            }
        };
        if !cuts.is_empty() {
            cluster.network().wires()?.cut(&cuts)?;
        }
        if matches!(self, Self::CutOff | Self::Mute | Self::Deaf | Self::FailedSync | Self::FullDisk) {
            taken_over(cluster, others[0], &id)?;
        }
        Ok(format!("{self:?} {cuts:?}"))
    }

    /// Heals what has struck; the cluster need not be whole yet.
    ///
    /// # Errors
    /// If a step fails, or the sickness was none.
    pub fn heal(self, cluster: &mut Cluster, victim: usize) -> Result<()> {
        match self {
            Self::CutOff | Self::Mute | Self::Deaf | Self::TwoApart | Self::Loss => {
                cluster.network().wires()?.mend().map(drop)
            }
            Self::FailedSync => {
                FailingSync::in_directory(cluster.directory()).mend()?;
                cluster.node_mut(victim).environment.clear();
                cluster.restart(victim)
            }
            Self::FullDisk => {
                // Full is not broken: it runs, and goes on by itself.
                cluster.node_mut(victim).check()?;
                fullness::empty(&cluster.node(victim).data())
            }
            Self::PowerCut => (0..cluster.size()).try_for_each(|index| cluster.restart(index)),
            // It comes back by itself, whatever it has lost.
            Self::Wounded(_) => cluster.restart(victim),
        }
    }
}

/// Nodes know how large their disks are, or they would count as full from the start.
fn on_small_disks(mut options: Options, disks: Disks) -> Options {
    options.flags.extend(["--set", DISK_MARKS].map(str::to_owned));
    Options { disks, ..options }
}

/// Waits until the others serve what a node served, as one of them sees it.
fn taken_over(cluster: &Cluster, witness: usize, victim: &str) -> Result<()> {
    until("new owners", TAKE_OVER_MAX, || {
        for shard in cluster.shards(witness)? {
            let moved = shard.owner.as_deref().is_some_and(|owner| owner != victim);
            ensure!(moved && shard.state == "served", "{shard:?}");
        }
        Ok(())
    })
}

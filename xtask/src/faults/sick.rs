//! The kinds beyond signals: the network, the disks, the power, the files of a node. The harness knows how each is done and healed.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::sickness::Sickness;
use shardloom_harness::wound::Wound;

use super::kinds::Kind;

/// How long a sickness lasts before it is healed.
const LASTS: Duration = Duration::from_secs(6);

impl Kind {
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
}

/// Strikes, and heals after a while; says what was done.
pub(super) fn inflict(
    sickness: Sickness,
    cluster: &mut Cluster,
    victims: &[usize],
    seed: u64,
) -> Result<String> {
    // Where no node is hurt more than others, none is asked for.
    let victim = victims.first().copied().unwrap_or_default();
    let done = sickness.strike(cluster, victim, seed)?;
    if sickness != Sickness::PowerCut {
        thread::sleep(LASTS);
    }
    sickness.heal(cluster, victim)?;
    Ok(done)
}

//! The kinds beyond signals: the network, the disks, the power, the files of a node. The harness knows how each is done and healed.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::sickness::Sickness;

/// How long a sickness lasts before it is healed.
const LASTS: Duration = Duration::from_secs(6);

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

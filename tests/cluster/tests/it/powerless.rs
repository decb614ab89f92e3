//! All nodes lose their power at one instant; skipped where the machine mounts no images.

use shardloom_harness::cluster::{READY_MAX, check};
use shardloom_harness::means::Means;
use shardloom_harness::mount::Disks;
use shardloom_harness::{Options, power};

use crate::under_load::{deploy, during};

/// The size of each node's file system: two segments of the write-ahead log and the state several times over.
const IMAGE_BYTES: u64 = 256 << 20;

#[test]
fn what_was_acknowledged_survives_a_power_cut_of_all_nodes() {
    if !Means::offered(&[Means::Images]) {
        return;
    }
    let disks = Disks::Images { bytes: IMAGE_BYTES };
    check(Options::of(3).map(|options| Options { disks, ..options }), |cluster| {
        deploy(cluster)?;
        // Clients see their nodes go, so calls fail; but what was acknowledged is there, and nothing that was refused.
        during(cluster, "power cut", &[0, 1, 2], |cluster, _| {
            power::cut(cluster)?;
            (0..cluster.size()).try_for_each(|index| cluster.restart(index))?;
            cluster.wait_until_served(READY_MAX)
        })
        .map(drop)
    });
}

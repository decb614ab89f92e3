//! Watches how much room the disk of the data directory has.

use std::time::Duration;

use shardloom_store::{DiskSpace, LogRoom, Wal};
use tokio::time::MissedTickBehavior;

use crate::state::blocking;

/// How often it looks: between two looks a fast disk takes less than what lies below the low mark.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks for as long as the node runs; whoever is to act asks `space`.
///
/// # Cancel safety
///
/// Dropped, nobody looks any more.
pub(crate) async fn watch(space: DiskSpace, wal: Wal) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_full = false;
    loop {
        tick.tick().await;
        let (seen, log) = (space.clone(), wal.clone());
        let looked = blocking(move || {
            seen.note_log(if log.is_disk_full() { LogRoom::Refused } else { LogRoom::Enough });
            seen.look()
        });
        let report = match looked.await {
            Ok(report) => report,
            Err(error) => {
                tracing::debug!(%error, "the disk does not say how full it is");
                continue;
            }
        };
        if report.full == was_full {
            continue;
        }
        was_full = report.full;
        let (dir, free_bytes, marks) = (space.dir().display(), report.free_bytes, space.marks());
        if report.full {
            tracing::error!(%dir, free_bytes, low_bytes = marks.low_bytes, high_bytes = marks.high_bytes,
                "the disk is full: nothing new is taken on until there is room");
        } else {
            tracing::info!(%dir, free_bytes, "the disk has room again");
        }
    }
}

//! Format levels: which formats of log, snapshots and messages there are, and which of them a cluster may write.
//!
//! A build reads the levels from [`LEVEL_MIN`] to [`LEVEL`]. What a cluster writes is of its active level, which is in the control log and is raised only
//! once every member has proven that its build can read more. It never goes down again.

mod mark;
mod outdated;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use mark::{FormatMark, MarkError};
pub use outdated::Outdated;

/// A level of formats. Those of a cluster are of [`LEVEL_MIN`] until they are raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(pub u32);

/// The newest level that this build reads, and writes once the cluster has come to it. The feature makes a build that is older by one, for tests of upgrades.
pub const LEVEL: Level = if cfg!(feature = "level-1") { Level(1) } else { Level(2) };
/// The oldest level that this build reads.
pub const LEVEL_MIN: Level = Level(1);

/// What came with each level, from 1 on.
pub const LEVELS: [(Level, &str); 2] = [
    (Level(1), "the first: nodes know nothing of levels"),
    (
        Level(2),
        "the level itself, raised in the control log; rotation of certificates, quarantine, labels that owners need",
    ),
];

/// The label by which a node says, when it joins and when it starts, which level its build reads. Level 1 has no other place for it; who has none reads
/// level 1 alone.
pub const LABEL: &str = "shardloom.formats";

impl Default for Level {
    fn default() -> Level {
        LEVEL_MIN
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.0)
    }
}

/// This build is too old for what it has come upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} was written by a newer build (formats {}): start the newer binary; this one reads up to {LEVEL}", named(*level))]
pub struct NewerBuild {
    /// What it has come upon.
    pub what: &'static str,
    /// Of which level it is, where that can be told.
    pub level: Option<Level>,
}

fn named(level: Option<Level>) -> String {
    level.map_or_else(|| "that this one does not know".to_owned(), |level| level.to_string())
}

/// The labels of a node of this build.
pub fn labelled(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = without_label(labels);
    if LEVEL > LEVEL_MIN {
        labels.insert(LABEL.to_owned(), LEVEL.0.to_string());
    }
    labels
}

/// The labels that a node was given, without the one that its build has added.
pub fn without_label(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.remove(LABEL);
    labels
}

/// Which level the build of a node reads, as it said when it last joined or started.
pub fn of_labels(labels: &BTreeMap<String, String>) -> Level {
    // Not below 1, whatever stands there: at level 1 nobody is refused.
    labels.get(LABEL).and_then(|text| text.parse().ok()).map_or(Level(1), Level).max(Level(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_says_what_came_with_it() {
        let levels: Vec<u32> = LEVELS.iter().map(|(level, _)| level.0).collect();
        assert_eq!(levels, (1..=2).collect::<Vec<u32>>());
        assert!(LEVEL_MIN <= LEVEL && LEVEL.0 as usize <= LEVELS.len());
    }

    #[test]
    fn a_node_says_what_its_build_reads_beside_its_own_labels() {
        let own =
            BTreeMap::from([("disk".to_owned(), "nvme".to_owned()), (LABEL.to_owned(), "9".to_owned())]);
        let labels = labelled(own);
        assert_eq!(of_labels(&labels), LEVEL);
        assert_eq!(without_label(labels), BTreeMap::from([("disk".to_owned(), "nvme".to_owned())]));
        assert_eq!(of_labels(&BTreeMap::new()), Level(1));
    }

    #[test]
    fn who_is_too_old_is_told_what_to_do() {
        let error = NewerBuild { what: "this data", level: Some(Level(3)) }.to_string();
        assert!(
            error.starts_with(
                "this data was written by a newer build (formats level 3): start the newer binary"
            )
        );
    }
}

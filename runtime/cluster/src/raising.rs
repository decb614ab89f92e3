//! Raises the cluster's level of formats, while this node leads: once every member has proven that its build reads more.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use shardloom_sharding::ids::NodeId;

use crate::builds::{Builds, MemberBuild};
use crate::control::{Author, ControlCommand};
use crate::formats::{LEVEL, Level};
use crate::raft::{Applied, Raft};
use crate::writer::dated;

/// How often the leader looks whether the level can rise: an operator who has started the last node waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the entry may take to be applied before it is tried anew.
const RAISE_WAIT: Duration = Duration::from_secs(10);

/// Raises the level while this node leads.
pub struct LevelRaiser {
    me: NodeId,
    raft: Raft,
    applied: Arc<Applied>,
    builds: Arc<Builds>,
}

impl LevelRaiser {
    /// Raises the level of the cluster in `applied`.
    pub fn new(me: NodeId, raft: Raft, applied: Arc<Applied>, builds: Arc<Builds>) -> LevelRaiser {
        LevelRaiser { me, raft, applied, builds }
    }

    /// Runs for as long as the node does.
    ///
    /// # Cancel safety
    ///
    /// An entry under way may be applied all the same.
    pub async fn run(self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let leads = self.raft.metrics().borrow().state == ServerState::Leader;
            let active = self.applied.read().level();
            if leads && active < LEVEL && tokio::time::timeout(RAISE_WAIT, self.look(active)).await.is_err() {
                tracing::warn!("to raise the level of formats takes long; trying anew");
            }
        }
    }

    async fn look(&self, active: Level) {
        let builds = self.builds.of_all().await;
        let Some(level) = common(builds.values()).filter(|level| *level > active) else { return };
        let proven = builds.into_keys().collect();
        let command = ControlCommand::RaiseLevel { level, proven }.by(Author::Node(self.me));
        match self.raft.client_write(dated(command)).await.map(|written| written.data.outcome) {
            Ok(Ok(_)) => {
                tracing::info!(%level, "every node reads these formats: the cluster writes them from now on");
            }
            Ok(Err(refused)) => tracing::info!(%refused, "the level of formats was not raised"),
            Err(error) => tracing::info!(%error, "the level of formats was not raised"),
        }
    }
}

/// The highest level that all of these have proven to read, up to this node's own.
fn common<'a>(builds: impl IntoIterator<Item = &'a MemberBuild> + Clone) -> Option<Level> {
    let reads = |level: &Level| builds.clone().into_iter().all(|build| build.reads(*level));
    (1..=LEVEL.0).rev().map(Level).find(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builds::Build;

    #[test]
    fn the_level_that_all_have_proven_to_read_is_taken() {
        let told = |lowest, highest| {
            MemberBuild::Told(Build {
                lowest: Level(lowest),
                highest: Level(highest),
                version: String::new(),
            })
        };
        let common = |builds: &[MemberBuild]| common(builds);
        assert_eq!(common(&[told(1, 2), told(1, 2)]), Some(LEVEL));
        assert_eq!(common(&[told(1, 2), told(1, 3)]), Some(LEVEL));
        assert_eq!(common(&[told(1, 2), MemberBuild::First]), Some(Level(1)));
        assert_eq!(common(&[told(1, 2), MemberBuild::Silent]), None, "who is down is waited for");
        assert_eq!(common(&[told(1, 1), told(2, 2)]), None);
    }
}

//! Who votes: the leader keeps one, three or five voters among the members; everybody else follows the log as a learner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::{ChangeMembers, EmptyNode, ServerState};
use shardloom_sharding::ids::NodeId;

use crate::control::{Author, ControlCommand, MemberStanding};
use crate::raft::{Applied, Raft, RaftMetrics};
use crate::standing::StandingCell;
use crate::writer::dated;
use crate::{admission, clock};

/// Voters at most: a majority of more takes longer, and five survive the loss of two.
const VOTERS_MAX: usize = 5;
/// How often the leader looks whether the control group is as it should be.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a voter must be silent before a live learner takes its place: longer than a restart.
const VOTER_GRACE: Duration = Duration::from_secs(10);
/// How long a change of the control group may take before it is tried anew.
const CHANGE_WAIT: Duration = Duration::from_secs(10);

/// A member as the choice of voters sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    node: NodeId,
    zone: String,
    votes: bool,
    /// It answers, or has not been silent for long.
    well: bool,
    /// It follows the log, so that it can vote at once.
    near: bool,
    stays: bool,
}

/// Keeps the control group in shape while this node leads.
pub struct GroupKeeper {
    me: NodeId,
    raft: Raft,
    applied: Arc<Applied>,
    standing: Arc<StandingCell>,
    tokens: Arc<admission::TokenBook>,
    leavers: Arc<admission::Leavers>,
    silent_since: BTreeMap<NodeId, tokio::time::Instant>,
}

impl GroupKeeper {
    /// Keeps the control group of `raft` after the members in `applied`.
    pub fn new(
        me: NodeId,
        raft: Raft,
        applied: Arc<Applied>,
        standing: Arc<StandingCell>,
        tokens: Arc<admission::TokenBook>,
        leavers: Arc<admission::Leavers>,
    ) -> GroupKeeper {
        GroupKeeper { me, raft, applied, standing, tokens, leavers, silent_since: BTreeMap::new() }
    }

    /// Runs for as long as the node does.
    ///
    /// # Cancel safety
    ///
    /// A change under way goes on by itself.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let metrics = self.raft.metrics().borrow().clone();
            if metrics.state != ServerState::Leader {
                self.silent_since.clear();
                continue;
            }
            let change = tokio::time::timeout(CHANGE_WAIT, self.look(&metrics)).await;
            if change.is_err() {
                tracing::warn!("a change of the control group takes long; trying anew");
            }
        }
    }

    async fn look(&mut self, metrics: &RaftMetrics) {
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let nodes: BTreeSet<NodeId> = membership.nodes().map(|(node, _)| *node).collect();
        let candidates = self.candidates(metrics, &voters);
        let wanted: BTreeSet<NodeId> = candidates.iter().map(|c| c.node).collect();
        if candidates.is_empty() {
            return;
        }
        let result = if let Some(&new) = wanted.iter().find(|node| !nodes.contains(node)) {
            tracing::info!(node = %new, "a new learner of the control log");
            self.raft.add_learner(new, EmptyNode::default(), false).await.map(|_| ())
        } else {
            let chosen = choose_voters(&candidates, self.me);
            let gone: BTreeSet<NodeId> = nodes.difference(&wanted).copied().collect();
            if chosen != voters {
                tracing::info!(voters = ?chosen, "changing the voters");
                self.raft.change_membership(chosen, true).await.map(|_| ())
            } else if !gone.is_empty() {
                self.raft.change_membership(ChangeMembers::RemoveNodes(gone), true).await.map(|_| ())
            } else {
                Ok(())
            }
        };
        if let Err(error) = result {
            tracing::info!(%error, "the control group was not changed");
        }
        for token in self.tokens.expired(clock::now()) {
            let command = ControlCommand::DropToken { token }.by(Author::Node(self.me));
            if let Err(error) = self.raft.client_write(dated(command)).await {
                tracing::debug!(%error, "an expired token stays for now");
            }
        }
    }

    fn candidates(&mut self, metrics: &RaftMetrics, voters: &BTreeSet<NodeId>) -> Vec<Candidate> {
        let silent = self.standing.read().silent;
        let now = tokio::time::Instant::now();
        self.silent_since.retain(|node, _| silent.contains(node));
        for node in silent {
            self.silent_since.entry(node).or_insert(now);
        }
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = |node: &NodeId| {
            let replication = metrics.replication.as_ref()?.get(node)?;
            replication.as_ref().map(|id| id.index)
        };
        let applied = self.applied.read();
        let members = applied.control.iter().flat_map(|state| state.members.values());
        members
            .filter(|member| {
                member.standing != MemberStanding::Pending && !self.leavers.contains(member.node)
            })
            .map(|member| Candidate {
                node: member.node,
                zone: member.zone.clone(),
                votes: voters.contains(&member.node),
                well: self.silent_since.get(&member.node).is_none_or(|since| {
                    voters.contains(&member.node) && now.duration_since(*since) < VOTER_GRACE
                }),
                near: member.node == self.me
                    || matched(&member.node).is_some_and(|index| index + NEAR_ENTRIES >= last),
                stays: member.standing == MemberStanding::Active,
            })
            .collect()
    }
}

/// A learner within so many entries of the log's end may become a voter.
const NEAR_ENTRIES: u64 = 100;

/// One voter for one or two members (two would have to agree on everything, and so be worse than one), three for three or four, else five.
/// Voters stay voters while they are well; new ones come from other zones first. The leader stays one.
fn choose_voters(candidates: &[Candidate], leader: NodeId) -> BTreeSet<NodeId> {
    let staying = candidates.iter().filter(|c| c.stays).count();
    let target = match staying {
        0..=2 => 1,
        3..=4 => 3,
        _ => VOTERS_MAX,
    };
    let mut order: Vec<&Candidate> = candidates.iter().filter(|c| c.votes || c.near).collect();
    order.sort_by_key(|c| (!c.stays, !c.well, c.node != leader, !c.votes, c.node));
    let mut chosen: Vec<&Candidate> = Vec::new();
    while chosen.len() < target && !order.is_empty() {
        let rank = |c: &Candidate| (!c.stays, !c.well, c.node != leader, !c.votes);
        let best = rank(order[0]);
        let zones: BTreeSet<&str> = chosen.iter().map(|c| c.zone.as_str()).collect();
        let at = order.iter().position(|c| rank(c) == best && !zones.contains(c.zone.as_str())).unwrap_or(0);
        chosen.push(order.remove(at));
    }
    // An even number of voters is no better than one less: only while too few are near enough.
    if chosen.len().is_multiple_of(2) && chosen.len() > 1 && !chosen[chosen.len() - 1].votes {
        chosen.pop();
    }
    chosen.iter().map(|c| c.node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(n: u64, voters: &[u64]) -> Vec<Candidate> {
        let one = |node| Candidate {
            node: NodeId(node),
            zone: String::new(),
            votes: voters.contains(&node),
            well: true,
            near: true,
            stays: true,
        };
        (1..=n).map(one).collect()
    }

    fn chosen(candidates: &[Candidate]) -> Vec<u64> {
        choose_voters(candidates, NodeId(1)).into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn one_three_or_five_vote() {
        for (n, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (50, 5)] {
            assert_eq!(chosen(&members(n, &[1])).len(), voters, "{n} members");
        }
    }

    #[test]
    fn voters_stay_while_they_are_well() {
        let mut all = members(6, &[1, 3, 4, 5, 6]);
        assert_eq!(chosen(&all), [1, 3, 4, 5, 6]);
        all[3].well = false;
        assert_eq!(chosen(&all), [1, 2, 3, 5, 6], "a silent voter is replaced");
        let mut three = members(3, &[1, 2, 3]);
        three[2].well = false;
        assert_eq!(chosen(&three), [1, 2, 3], "unless there is nobody to take its place");
    }

    #[test]
    fn new_voters_come_from_other_zones() {
        let mut all = members(5, &[1]);
        for (candidate, zone) in all.iter_mut().zip(["a", "a", "a", "b", "c"]) {
            candidate.zone = zone.into();
        }
        all[1].stays = false;
        assert_eq!(chosen(&all), [1, 4, 5]);
    }

    #[test]
    fn nobody_votes_before_it_has_the_log() {
        let mut all = members(3, &[1]);
        all[2].near = false;
        assert_eq!(chosen(&all), [1]);
    }
}

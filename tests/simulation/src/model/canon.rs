//! Forgets what can have no more effect, so that equal futures are equal states.

use std::sync::Arc;

use shardloom_sharding::ids::Epoch;
use shardloom_sharding::protocol::rules::Rule;

use super::message::{Id, Message};
use super::state::{Entry, State};
use super::world::World;

impl World {
    /// Brings a state into its plainest form.
    pub(super) fn canon(&self, state: &mut State) {
        for id in self.active.clone() {
            self.apply_idle(state, id);
        }
        self.deliver_acks(state);
        if !self.forgets() {
            return;
        }
        let floor = |id: Id| state.node(id).disk.durable.seal;
        let row = self.row(&state.log, state.log.len() as u8);
        let alive = |message: &Message| match message {
            Message::Append { to, epoch, .. }
            | Message::Fetch { to, epoch, .. }
            | Message::Snapshot { to, epoch, .. } => *epoch >= floor(*to),
            Message::Matched { to, epoch, position, .. } => {
                let more = |other: &Message| {
                    matches!((other, message), (
                        Message::Matched { to: a, from: b, epoch: c, position: d },
                        Message::Matched { to: e, from: f, epoch: g, .. },
                    ) if (a, b, c) == (e, f, g) && d > position)
                };
                self.may_own(state, *to, *epoch) && !state.net.iter().any(more)
            }
            Message::Mismatch { to, epoch, .. } | Message::Fetched { to, epoch, .. } => {
                self.may_own(state, *to, *epoch)
            }
            Message::SealAck { epoch, .. } => {
                self.owner_of(state, *epoch).is_some_and(|to| self.may_own(state, to, *epoch))
            }
            Message::Confirm { epoch } => {
                !self.rules_hold(Rule::CommitPendingOnly)
                    || row.pending.as_ref().is_some_and(|p| p.epoch == *epoch)
            }
        };
        if !state.net.iter().all(alive) {
            let net: Vec<Message> = state.net.iter().filter(|message| alive(message)).cloned().collect();
            state.net = Arc::new(net);
        }
    }

    /// Whether what is old stays without effect: not where seals may fall, or what is below them is taken.
    fn forgets(&self) -> bool {
        [
            Rule::SealDurable,
            Rule::SealOutlivesLog,
            Rule::AcceptNothingBelow,
            Rule::EpochOfOneBoot,
            Rule::ReplyUnsealed,
        ]
        .into_iter()
        .all(|rule| self.rules_hold(rule))
    }

    fn rules_hold(&self, rule: Rule) -> bool {
        use shardloom_sharding::protocol::rules::Rules;
        self.rules.holds(rule)
    }

    fn owner_of(&self, state: &State, epoch: Epoch) -> Option<Id> {
        match state.log.get((epoch.0 as usize).checked_sub(1)?)? {
            Entry::Propose(0, _) => Some(self.shape.first.0),
            Entry::Propose(place, _) => Some(self.shape.menu[usize::from(*place) - 1].0),
            Entry::Commit(_) => None,
        }
    }

    /// Whether a node owns the shard under an epoch, or may still come to it.
    fn may_own(&self, state: &State, id: Id, epoch: Epoch) -> bool {
        let node = state.node(id);
        let owns = node.core.owner().is_some_and(|owner| owner.epoch() == epoch);
        owns || node.core.replica().seal() < epoch
            || node.core.lost(&node.row, super::message::replica(id).node).is_none()
                && node.core.replica().seal() == epoch
    }

    /// In worlds where acknowledgements are prompt, brings them to their owner at once.
    fn deliver_acks(&self, state: &mut State) {
        if !self.shape.prompt_acks {
            return;
        }
        loop {
            let ack = |message: &&Message| matches!(message, Message::Matched { .. });
            let Some(message) = state.net.iter().find(ack).cloned() else { return };
            Arc::make_mut(&mut state.net).retain(|other| *other != message);
            self.deliver(state, &message, usize::MAX);
        }
    }

    /// A commit that a node only takes note of is applied at once.
    fn apply_idle(&self, state: &mut State, id: Id) {
        loop {
            let node = state.node(id);
            let Some(Entry::Commit(_)) = state.log.get(usize::from(node.applied)) else { return };
            let mut next = state.clone();
            self.apply(&mut next, id);
            let after = next.node(id);
            if after.core != node.core || after.disk != node.disk || after.out != node.out {
                return;
            }
            *state = next;
        }
    }
}

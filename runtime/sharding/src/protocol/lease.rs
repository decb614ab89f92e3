//! How long a node may serve: the lease on the node's side, and what the leader knows of it (rules 16 and 17).
//!
//! A grant counts from when the node *sent* the renewal that it answers, on the node's own clock. The leader counts from when
//! it *made* the grant, which is later, and adds the drift. So when a lease has run out for the leader, it has for the node.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::{Boot, Epoch};

use super::rules::{Rule, Rules};
use super::timing::{Time, Timing};

/// The most renewals that a node remembers, and grants that wait for a proposal: more than fit in a lease.
const REMEMBERED_MAX: usize = 16;

/// A node's side of its lease.
#[derive(Clone, Debug)]
pub struct NodeLease {
    boot: Boot,
    duration: Duration,
    number: u64,
    sent: VecDeque<(u64, Time)>,
    /// Grants that count once their proposal is applied: when they end, and that proposal.
    waiting: VecDeque<(Time, Epoch)>,
    until: Time,
}

impl NodeLease {
    /// No lease, in a boot that has just begun.
    pub fn new(boot: Boot, timing: &Timing) -> NodeLease {
        NodeLease {
            boot,
            duration: timing.lease,
            number: 0,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            until: Time(0),
        }
    }

    /// Begins a renewal that is sent now; returns its number.
    pub fn renew(&mut self, now: Time) -> u64 {
        self.number += 1;
        if self.sent.len() == REMEMBERED_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((self.number, now));
        self.number
    }

    /// Takes a grant; `applied` is the newest proposal that this node has applied. Says whether the lease has grown.
    pub fn granted<R: Rules>(
        &mut self,
        rules: R,
        boot: Boot,
        number: u64,
        proposal: Epoch,
        applied: Epoch,
    ) -> bool {
        let Some((_, sent)) = self.sent.iter().find(|(sent, _)| *sent == number && boot == self.boot) else {
            return false;
        };
        let until = *sent + self.duration;
        if proposal > applied && rules.holds(Rule::GrantAfterApply) {
            if self.waiting.len() == REMEMBERED_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back((until, proposal));
            return false;
        }
        self.prolong(until)
    }

    /// Takes note that proposals up to this one are applied. Says whether the lease has grown.
    pub fn applied(&mut self, applied: Epoch) -> bool {
        let ready =
            self.waiting.iter().filter(|(_, proposal)| *proposal <= applied).map(|(until, _)| *until).max();
        self.waiting.retain(|(_, proposal)| *proposal > applied);
        ready.is_some_and(|until| self.prolong(until))
    }

    fn prolong(&mut self, until: Time) -> bool {
        let grows = until > self.until;
        self.until = self.until.max(until);
        grows
    }

    /// The node may serve until this moment, and not at it.
    pub fn until(&self) -> Time {
        self.until
    }

    /// Whether the node may serve now.
    pub fn is_live(&self, now: Time) -> bool {
        now < self.until
    }
}

/// The grants of one leader to one node, as far as they may still be in force.
#[derive(Clone, Debug, Default)]
pub struct GrantedLease {
    /// For each proposal that a grant named, the latest end of such a grant; proposals and ends both rise.
    grants: VecDeque<(Epoch, Time)>,
}

impl GrantedLease {
    /// Notes a grant that is made now.
    pub fn grant(&mut self, now: Time, proposal: Epoch, timing: &Timing) {
        let until = now + timing.lease + timing.drift;
        match self.grants.back_mut() {
            Some((newest, end)) if *newest == proposal => *end = until,
            _ => self.grants.push_back((proposal, until)),
        }
        while self.grants.front().is_some_and(|(_, end)| *end <= now) {
            self.grants.pop_front();
        }
    }

    /// Whether every grant has run out by now that the node can use without having applied this proposal.
    pub fn is_out_before(&self, now: Time, proposal: Epoch) -> bool {
        self.grants.iter().filter(|(named, _)| *named < proposal).all(|(_, end)| *end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::AllRules;
    use super::*;

    const TIMING: Timing = Timing::DEFAULT;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_its_renewal() {
        let mut lease = NodeLease::new(Boot(1), &TIMING);
        let number = lease.renew(at(100));
        assert!(lease.granted(AllRules, Boot(1), number, Epoch(3), Epoch(3)));
        assert!(lease.is_live(at(1099)));
        assert!(!lease.is_live(at(1100)));
        assert!(!lease.granted(AllRules, Boot(2), number, Epoch(3), Epoch(3)), "another boot's grant");
    }

    #[test]
    fn a_grant_waits_for_the_proposal_that_it_names() {
        let mut lease = NodeLease::new(Boot(1), &TIMING);
        let number = lease.renew(at(0));
        assert!(!lease.granted(AllRules, Boot(1), number, Epoch(4), Epoch(3)));
        assert!(!lease.is_live(at(1)));
        assert!(lease.applied(Epoch(4)));
        assert!(lease.is_live(at(999)));
    }

    #[test]
    fn only_grants_from_before_a_proposal_hold_up_its_takeover() {
        let mut lease = GrantedLease::default();
        lease.grant(at(0), Epoch(3), &TIMING);
        lease.grant(at(500), Epoch(5), &TIMING);
        assert!(!lease.is_out_before(at(1019), Epoch(5)));
        assert!(lease.is_out_before(at(1020), Epoch(5)));
        assert!(!lease.is_out_before(at(1020), Epoch(6)));
        assert!(lease.is_out_before(at(1520), Epoch(6)));
    }
}

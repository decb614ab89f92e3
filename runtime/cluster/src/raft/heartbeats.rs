//! When this leader last sent a heartbeat that a quorum has since acknowledged (rule 17).
//!
//! openraft counts an acknowledgement from the sending too, but publishes it as an age at the time of its last report, on a clock that
//! stops with the machine. The leader's right to grant leases rests on this figure, so it is kept here, on our own clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use shardloom_sharding::ids::NodeId;
use shardloom_sharding::protocol::timing::Time;

/// For each peer, the term and the sending time of the newest append that it acknowledged. Shared by the network (which writes) and the
/// leader's shell (which reads).
#[derive(Debug, Default)]
pub struct HeartbeatLedger {
    acknowledged: Mutex<BTreeMap<NodeId, (u64, Time)>>,
}

impl HeartbeatLedger {
    /// Notes that `peer` acknowledged an append of `term` that was sent at `sent`.
    pub fn acknowledge(&self, peer: NodeId, term: u64, sent: Time) {
        let mut rows = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry(peer).or_insert((term, sent));
        *row = (*row).max((term, sent));
    }

    /// The newest instant such that a majority of `voters` acknowledged an append of `term` sent then or later. The leader, if a voter,
    /// counts as acknowledging at `now`.
    pub fn quorum_sent_at(&self, me: NodeId, term: u64, voters: &[NodeId], now: Time) -> Option<Time> {
        let rows = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent: Vec<Time> = voters
            .iter()
            .filter_map(|voter| match rows.get(voter) {
                _ if *voter == me => Some(now),
                Some(&(in_term, sent)) if in_term == term => Some(sent),
                _ => None,
            })
            .collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        sent.get(voters.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_as_old_as_its_oldest_member() {
        let ledger = HeartbeatLedger::default();
        let [a, b, c] = [NodeId(1), NodeId(2), NodeId(3)];
        let at = |now| ledger.quorum_sent_at(a, 4, &[a, b, c], Time(now));
        assert_eq!(at(100), None);
        ledger.acknowledge(b, 3, Time(90));
        assert_eq!(at(100), None, "an acknowledgement of an older term counts for nothing");
        ledger.acknowledge(b, 4, Time(50));
        assert_eq!(at(100), Some(Time(50)));
        ledger.acknowledge(c, 4, Time(70));
        ledger.acknowledge(c, 4, Time(60));
        assert_eq!(at(100), Some(Time(70)), "a late acknowledgement takes nothing back");
        assert_eq!(ledger.quorum_sent_at(a, 4, &[a], Time(9)), Some(Time(9)));
    }
}

//! How many replicas are enough, and which log wins.

use crate::ids::{NodeId, Replica, Tail};

use super::rules::{Rule, Rules};

/// How many of `replicas` must hold an entry before it is acknowledged: the majority.
pub fn write_quorum(replicas: usize) -> usize {
    replicas / 2 + 1
}

/// How many of `replicas` must have sealed before one is sure to be among them that holds each acknowledged entry: n - w + 1.
pub fn seal_quorum(replicas: usize) -> usize {
    if replicas == 0 { 0 } else { replicas - write_quorum(replicas) + 1 }
}

/// A replica's seal under the epoch in question, with the tail that it had then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seal {
    /// Who has sealed.
    pub replica: Replica,
    /// The last entry that it holds.
    pub tail: Tail,
}

/// What the seals so far allow a recovery to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Too few replicas of the committed map have sealed.
    NotYet,
    /// There is no log to recover: the shard has never had an owner.
    Nothing,
    /// The log on this disk wins.
    Copy(Replica),
}

/// Chooses the log that a new owner recovers from (rule 11). Ties go to `preferred`, which need not copy from itself.
pub fn choose_source<R: Rules>(rules: R, committed: &[Replica], seals: &[Seal], preferred: NodeId) -> Source {
    if committed.is_empty() {
        return Source::Nothing;
    }
    let counts = |seal: &&Seal| {
        let member = if rules.holds(Rule::TailsOfSameDisk) {
            committed.contains(&seal.replica)
        } else {
            committed.iter().any(|replica| replica.node == seal.replica.node)
        };
        member || !rules.holds(Rule::TailsOfCommitted)
    };
    let needed = if rules.holds(Rule::SealQuorum) { seal_quorum(committed.len()) } else { 1 };
    if seals.iter().filter(counts).count() < needed {
        return Source::NotYet;
    }
    let height = |seal: &&Seal| {
        let Tail { stamp, position } = seal.tail;
        let near = seal.replica.node == preferred;
        if rules.holds(Rule::StampBeforePosition) {
            (stamp.0, position.0, near)
        } else {
            (position.0, stamp.0, near)
        }
    };
    seals.iter().filter(counts).max_by_key(height).map_or(Source::NotYet, |seal| Source::Copy(seal.replica))
}

/// Chooses the log where an operator has accepted that the other replicas are lost: the highest of the survivors, all of which must have
/// sealed, since they are who was named. Nothing where nobody was.
pub fn choose_survivor(survivors: &[Replica], seals: &[Seal]) -> Source {
    if survivors.is_empty() {
        return Source::Nothing;
    }
    let seal_of = |survivor: &Replica| seals.iter().find(|seal| seal.replica == *survivor);
    let sealed: Option<Vec<&Seal>> = survivors.iter().map(seal_of).collect();
    let highest = sealed.and_then(|seals| seals.into_iter().max_by_key(|seal| seal.tail));
    highest.map_or(Source::NotYet, |seal| Source::Copy(seal.replica))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DiskId, Epoch, Position};

    #[test]
    fn the_highest_survivor_wins_once_all_of_them_have_sealed() {
        let replica = |node| Replica { node: NodeId(node), disk: DiskId(node) };
        let seal = |node, stamp, position| Seal {
            replica: replica(node),
            tail: Tail { stamp: Epoch(stamp), position: Position(position) },
        };
        let survivors = [replica(1), replica(2)];
        assert_eq!(choose_survivor(&survivors, &[seal(1, 9, 9)]), Source::NotYet);
        assert_eq!(choose_survivor(&survivors, &[seal(1, 9, 9), seal(3, 99, 9)]), Source::NotYet);
        let seals = [seal(1, 4, 9), seal(3, 99, 9), seal(2, 5, 3)];
        assert_eq!(choose_survivor(&survivors, &seals), Source::Copy(replica(2)));
        assert_eq!(choose_survivor(&[], &seals), Source::Nothing);
    }
}

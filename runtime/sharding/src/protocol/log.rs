//! What a replica knows about its shard log without the entries: which position carries which stamp.
//!
//! Positions count on for ever, and the stamps along them never fall, so the log is a base (the last entry that has been
//! truncated or replaced by a snapshot) and a few runs of equal stamps. Match, cut point and tail are decided from it alone.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ids::{Epoch, Position, Tail};

/// Entries of one stamp in a row, from `first` up to the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The stamp of the entries.
    pub stamp: Epoch,
    /// Where the run begins.
    pub first: Position,
}

/// The stamps of a shard log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LogIndex {
    base: Tail,
    last: Position,
    runs: SmallVec<[Run; 2]>,
}

impl LogIndex {
    /// A log without entries whose state already holds everything up to `base`.
    pub fn starting_after(base: Tail) -> LogIndex {
        LogIndex { base, last: base.position, runs: SmallVec::new() }
    }

    /// The last entry that the log no longer holds because the state does.
    pub fn base(&self) -> Tail {
        self.base
    }

    /// The stamp and position of the last entry, which may be the base.
    pub fn tail(&self) -> Tail {
        Tail { stamp: self.runs.last().map_or(self.base.stamp, |run| run.stamp), position: self.last }
    }

    /// The runs of equal stamps after the base, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The stamp at a position; none where the log does not know it (before the base, or after the tail).
    pub fn stamp(&self, position: Position) -> Option<Epoch> {
        if position == self.base.position {
            return Some(self.base.stamp);
        }
        if position < self.base.position || position > self.last {
            return None;
        }
        self.runs.iter().rev().find(|run| run.first <= position).map(|run| run.stamp)
    }

    /// The entry at a position as a tail; none where the log does not know it.
    pub fn tail_at(&self, position: Position) -> Option<Tail> {
        self.stamp(position).map(|stamp| Tail { stamp, position })
    }

    /// Whether the log, or the state before it, holds this entry. Entries before the base are committed, and so is every entry
    /// of a log that reaches back to them: they match by position alone only at the base itself.
    pub fn holds(&self, entry: Tail) -> bool {
        self.stamp(entry.position) == Some(entry.stamp)
    }

    /// Adds an entry at the end and says where it stands.
    pub fn push(&mut self, stamp: Epoch) -> Position {
        self.last = self.last.next();
        if self.runs.last().is_none_or(|run| run.stamp != stamp) {
            self.runs.push(Run { stamp, first: self.last });
        }
        self.last
    }

    /// Cuts everything after `position`, which must not be before the base.
    pub fn cut(&mut self, position: Position) {
        debug_assert!(position >= self.base.position);
        if position >= self.last {
            return;
        }
        self.last = position.max(self.base.position);
        while self.runs.last().is_some_and(|run| run.first > self.last) {
            self.runs.pop();
        }
    }

    /// Gives up the entries up to and including `position`, which the state holds; does nothing where the log does not know it.
    pub fn truncate(&mut self, position: Position) {
        let Some(base) = self.tail_at(position) else { return };
        self.base = base;
        let first = position.next();
        let kept = self.runs.iter().rposition(|run| run.first <= first).unwrap_or(0);
        self.runs.drain(..kept);
        if let Some(run) = self.runs.first_mut() {
            run.first = run.first.max(first);
        }
        if self.last == position {
            self.runs.clear();
        }
    }

    /// The last entry that both logs hold, if their known parts meet. Entries that one log holds and the other's state holds
    /// (they are before its base) are committed, and so equal.
    pub fn last_common(&self, other: &LogIndex) -> Option<Tail> {
        let mut position = self.last.min(other.last);
        let floor = self.base.position.max(other.base.position);
        while position >= floor {
            let (mine, theirs) = (self.stamp(position)?, other.stamp(position)?);
            if mine == theirs {
                return Some(Tail { stamp: mine, position });
            }
            // A whole run cannot match where its later part does not have the higher stamp: step to before the later run.
            let later = if mine > theirs { self.run_start(position) } else { other.run_start(position) };
            if later <= floor {
                return None;
            }
            position = Position(later.0 - 1);
        }
        None
    }

    fn run_start(&self, position: Position) -> Position {
        let run = self.runs.iter().rev().find(|run| run.first <= position);
        run.map_or(self.base.position, |run| run.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(stamps: &[u64]) -> LogIndex {
        let mut log = LogIndex::default();
        for stamp in stamps {
            log.push(Epoch(*stamp));
        }
        log
    }

    fn tail(stamp: u64, position: u64) -> Tail {
        Tail { stamp: Epoch(stamp), position: Position(position) }
    }

    #[test]
    fn stamps_are_found_by_position_and_nowhere_else() {
        let log = log(&[1, 1, 3]);
        assert_eq!(log.tail(), tail(3, 3));
        assert_eq!(log.stamp(Position(0)), Some(Epoch(0)));
        assert_eq!(log.stamp(Position(2)), Some(Epoch(1)));
        assert_eq!(log.stamp(Position(4)), None);
    }

    #[test]
    fn a_cut_log_equals_one_that_was_never_longer() {
        for at in 0..6 {
            let mut cut = log(&[1, 1, 3, 3, 4]);
            cut.cut(Position(at));
            assert_eq!(cut, log(&[1, 1, 3, 3, 4][..(at as usize).min(5)]));
        }
    }

    #[test]
    fn truncation_keeps_the_tail_and_the_stamps_that_are_left() {
        for at in 0..=5 {
            let whole = log(&[1, 1, 3, 3, 4]);
            let mut short = whole.clone();
            short.truncate(Position(at));
            assert_eq!(short.tail(), whole.tail());
            for position in 0..=6 {
                let expected = if position < at { None } else { whole.stamp(Position(position)) };
                assert_eq!(
                    short.stamp(Position(position)),
                    expected,
                    "truncated at {at}, looked at {position}"
                );
            }
            let mut grown = short.clone();
            grown.push(Epoch(4));
            assert_eq!(grown.tail(), tail(4, 6));
        }
    }

    #[test]
    fn logs_share_entries_up_to_the_first_difference() {
        assert_eq!(log(&[1, 1, 3]).last_common(&log(&[1, 1, 1, 1])), Some(tail(1, 2)));
        assert_eq!(log(&[1, 2, 4]).last_common(&log(&[1, 3, 3])), Some(tail(1, 1)));
        assert_eq!(log(&[]).last_common(&log(&[1])), Some(tail(0, 0)));
        let mut truncated = log(&[1, 1, 3]);
        truncated.truncate(Position(2));
        assert_eq!(truncated.last_common(&log(&[1])), None);
        assert_eq!(truncated.last_common(&log(&[1, 1, 1])), Some(tail(1, 2)));
    }
}

//! Which of a shard's recent calls are known, and where their replies are.
//!
//! The database keeps a few of the newest for the next owner. The owner itself remembers more, all that it took over included: a caller that asks
//! again must find its call however many others have come between.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use shardloom_sharding::ids::Position;

use super::limits::{RECENT_BYTES_MAX, RECENT_MAX};
use super::meta::KeptReply;

#[derive(Debug)]
struct Recent {
    request: u128,
    position: Position,
    /// None where it is in the database.
    reply: Option<Bytes>,
}

/// The newest calls of a shard that have a reply. Those from before it was served are looked up in the database when somebody asks.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The ordinal of the first of `recent`.
    first: u64,
    recent: VecDeque<Recent>,
    ordinals: BTreeMap<u128, u64>,
    /// Bytes of the replies in `recent`.
    bytes: usize,
    /// Everything that the database has is in here, too.
    complete: bool,
}

/// Where a reply is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Here.
    Reply(Position, Bytes),
    /// In the database, under this ordinal.
    Stored(u64),
    /// The call is not among the recent ones.
    Nowhere,
    /// What the database has must be [added](Ring::complete) first.
    Incomplete,
}

impl Ring {
    /// A ring after so many replies, which are in the database.
    pub(crate) fn after(replies: u64) -> Ring {
        Ring {
            first: replies,
            recent: VecDeque::new(),
            ordinals: BTreeMap::new(),
            bytes: 0,
            complete: replies == 0,
        }
    }

    /// Adds the newest reply.
    pub(crate) fn push(&mut self, request: u128, position: Position, reply: Bytes) {
        let ordinal = self.first + self.recent.len() as u64;
        self.ordinals.insert(request, ordinal);
        self.bytes += reply.len();
        self.recent.push_back(Recent { request, position, reply: Some(reply) });
        while self.recent.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(old) = self.recent.pop_front() else { return };
        if self.ordinals.get(&old.request) == Some(&self.first) {
            self.ordinals.remove(&old.request);
        }
        self.first += 1;
        self.bytes -= old.reply.map_or(0, |reply| reply.len());
        // Nothing older can be among the newest any more.
        self.complete = true;
    }

    /// Adds what the database has.
    pub(crate) fn complete(&mut self, mut stored: Vec<KeptReply>) {
        self.complete = true;
        stored.sort_by_key(|kept| std::cmp::Reverse(kept.ordinal));
        for kept in stored {
            if kept.ordinal + 1 == self.first && self.recent.len() < RECENT_MAX {
                self.first = kept.ordinal;
                self.ordinals.entry(kept.request).or_insert(kept.ordinal);
                let recent = Recent { request: kept.request, position: kept.position, reply: None };
                self.recent.push_front(recent);
            }
        }
    }

    /// Looks a call up by its request.
    pub(crate) fn find(&self, request: u128) -> Found {
        let Some(ordinal) = self.ordinals.get(&request) else {
            return if self.complete { Found::Nowhere } else { Found::Incomplete };
        };
        match self.recent.get((ordinal - self.first) as usize) {
            Some(Recent { reply: Some(reply), position, .. }) => Found::Reply(*position, reply.clone()),
            Some(_) => Found::Stored(*ordinal),
            None => Found::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(number: u64) -> Bytes {
        Bytes::from(number.to_string())
    }

    #[test]
    fn the_newest_replies_are_found_and_older_ones_forgotten() {
        let mut ring = Ring::after(0);
        let many = RECENT_MAX as u64 + 100;
        for number in 1..=many {
            ring.push(u128::from(number), Position(number), reply(number));
        }
        assert_eq!(ring.find(100), Found::Nowhere);
        assert_eq!(ring.find(101), Found::Reply(Position(101), reply(101)));
        assert_eq!(ring.find(u128::from(many)), Found::Reply(Position(many), reply(many)));
        let large = Bytes::from(vec![0; RECENT_BYTES_MAX / 2]);
        for number in 1..=3 {
            ring.push(u128::from(many + number), Position(many + number), large.clone());
        }
        assert_eq!(ring.find(u128::from(many + 1)), Found::Nowhere, "they take no more bytes than they may");
        assert_eq!(ring.find(u128::from(many + 3)), Found::Reply(Position(many + 3), large));
    }

    #[test]
    fn what_the_database_has_is_added_when_it_is_asked_for() {
        let mut ring = Ring::after(3);
        ring.push(4, Position(40), reply(4));
        assert_eq!(ring.find(4), Found::Reply(Position(40), reply(4)));
        assert_eq!(ring.find(2), Found::Incomplete);
        let kept = |ordinal: u64| KeptReply {
            ordinal,
            position: Position(ordinal + 10),
            request: u128::from(ordinal + 1),
            reply: reply(ordinal + 1),
        };
        // The database may be ahead of what was known when the ring began.
        ring.complete([0, 1, 2, 3].map(kept).to_vec());
        assert_eq!(ring.find(2), Found::Stored(1));
        assert_eq!(ring.find(4), Found::Reply(Position(40), reply(4)));
        assert_eq!(ring.find(9), Found::Nowhere);
    }
}

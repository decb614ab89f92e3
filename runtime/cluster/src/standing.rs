//! How this node and the others are, as far as this node knows: who leads, who is silent, what is unavailable. Hints for people and for
//! routing; leases and the control log are what counts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use shardloom_sharding::ids::{NodeId, ShardId, Term};
use shardloom_sharding::protocol::leader::Tally;
use shardloom_sharding::protocol::timing::Time;

use crate::leading::{LeaderNews, MovesNews};

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStanding {
    /// Who leads, and since which term.
    pub leader: Option<(NodeId, Term)>,
    /// The newest term that this node knows of.
    pub term: Term,
    /// Members whose lease has run out, in the leader's eyes.
    pub silent: BTreeSet<NodeId>,
    /// Shards with too few live replicas.
    pub unavailable: BTreeSet<ShardId>,
    /// Members without room on their disks, in the leader's eyes.
    pub full: BTreeSet<NodeId>,
    /// How data moves.
    pub moves: Arc<MovesNews>,
    /// When this node last saw somebody begin to lead.
    pub elected: Option<Time>,
    /// What became of the changes that this node has made in the term in which it led last.
    pub tally: (Term, Arc<Tally>),
}

/// The one place where it is kept.
#[derive(Debug, Default)]
pub struct StandingCell {
    current: Mutex<ClusterStanding>,
}

impl StandingCell {
    /// How things stand now.
    pub fn read(&self) -> ClusterStanding {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over the term, and who leads if that has changed.
    pub(crate) fn see_leader(&self, leader: Option<Option<(NodeId, Term)>>, term: u64, now: Time) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.term = Term(term);
        let Some(leader) = leader else { return };
        if leader.is_some() && leader != current.leader {
            current.elected = Some(now);
        }
        current.leader = leader;
    }

    /// Takes over what this node has counted as the leader; whether that says anything new.
    pub(crate) fn take_tally(&self, term: Term, tally: &Tally) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let news = current.tally.0 != term || *current.tally.1 != *tally;
        if news {
            current.tally = (term, Arc::new(tally.clone()));
        }
        news
    }

    /// Takes over the leader's news; whether they say anything new.
    pub(crate) fn take_news(&self, from: NodeId, news: LeaderNews) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.leader != Some((from, news.term)) {
            return false;
        }
        let silent = news.silent.into_iter().collect();
        let unavailable = news.unavailable.into_iter().collect();
        let full = news.full.into_iter().collect();
        let changed = current.silent != silent
            || current.unavailable != unavailable
            || current.full != full
            || *current.moves != news.moves;
        current.full = full;
        current.moves = Arc::new(news.moves);
        current.silent = silent;
        current.unavailable = unavailable;
        changed
    }
}

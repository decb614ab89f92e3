//! The output gate of a shard task: what a guest has said waits here until everything that it rests on is committed.
//!
//! Calls run ahead of the quorum: the next one may already see what the last has written. So no result leaves before the log is
//! committed up to the newest write that the call can have seen, refusals and traps included (rule 25).

use std::collections::VecDeque;
use std::sync::Arc;

use shardloom_sharding::ids::Position;
use tokio::sync::{oneshot, watch};

use super::outcome::Outcome;
use super::version_counts::Tally;
use crate::server::fabric::Permit;
use crate::server::state::ShardState;

/// Results of one shard task that wait at most; beyond that, no further call starts. Fewer than the replies that a replica keeps of a shard
/// (`shardloom_cluster::state`): so none is forgotten while its caller may have to ask the next owner.
pub const GATED_MAX: usize = 64;

/// A result that waits.
#[derive(Debug)]
pub struct Gated {
    /// The leave under which the call ran.
    pub permit: Permit,
    /// The result.
    pub outcome: Outcome,
    /// Where it goes.
    pub reply: oneshot::Sender<Outcome>,
    /// Whether the call has put something into the log.
    pub wrote: Wrote,
    /// Up to where the log must be committed first.
    pub upto: Position,
    /// Where it is counted.
    pub tally: Tally,
}

/// Whether a call has put something into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// A batch: it may outlive this epoch.
    Something,
    /// Nothing: as if it had not run.
    Nothing,
}

impl Gated {
    /// Sends the result if it may leave; else it is lost.
    fn leave(self) {
        if self.permit.may_answer() {
            // The permit goes first: a hand-over that waits for this call need not wait for the caller to read it.
            drop(self.permit);
            self.tally.note(&self.outcome);
            let _ = self.reply.send(self.outcome);
        } else {
            self.lose();
        }
    }

    /// The call is to be routed again: only the log can tell what became of what it has written.
    fn lose(self) {
        drop(self.permit);
        let _ = self.reply.send(match self.wrote {
            Wrote::Something => Outcome::Lost,
            Wrote::Nothing => Outcome::NotRun,
        });
    }
}

/// The results of one epoch that wait, in the order of their calls.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: VecDeque<Gated>,
    committed: Option<watch::Receiver<Position>>,
}

impl Gate {
    /// Turns to another state. What waits for the old one is lost: an epoch that is over commits nothing more.
    pub fn turn_to(&mut self, state: &Arc<dyn ShardState>) -> usize {
        self.committed = Some(state.committed());
        self.lose_all()
    }

    /// Whether one more result may wait.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < GATED_MAX
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets a result pass, or keeps it until it may; says how many calls are over by that.
    pub fn pass(&mut self, gated: Gated) -> usize {
        self.waiting.push_back(gated);
        self.release()
    }

    /// Lets everything pass that may by now; says how much.
    pub fn release(&mut self) -> usize {
        let Some(committed) = &mut self.committed else { return self.lose_all() };
        let upto = *committed.borrow_and_update();
        let before = self.waiting.len();
        while let Some(gated) = self.waiting.pop_front_if(|gated| gated.upto <= upto) {
            gated.leave();
        }
        before - self.waiting.len()
    }

    fn lose_all(&mut self) -> usize {
        let lost = self.waiting.len();
        self.waiting.drain(..).for_each(Gated::lose);
        lost
    }

    /// Completes when more is committed, or nothing more will be; says how many calls are over by that. Never, while nothing waits.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn progress(&mut self) -> usize {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let goes_on = match &mut self.committed {
            Some(committed) => committed.changed().await.is_ok(),
            None => false,
        };
        if goes_on { self.release() } else { self.lose_all() }
    }
}

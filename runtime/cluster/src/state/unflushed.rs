//! What is not in the database yet, shard by shard, and whose flush is held off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shardloom_sharding::ids::{Position, ShardId};
use tokio::sync::{Notify, watch};

use super::keys::Copy;
use super::limits::StateOptions;

/// How far one shard's state is behind its log.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// Up to where the state may follow.
    upto: Position,
    /// What was logged since the last flush, in bytes.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Noted {
    shards: BTreeMap<ShardId, Behind>,
    bytes: u64,
    /// Since when something is behind.
    since: Option<Instant>,
    held: BTreeMap<ShardId, u32>,
    flushing: BTreeSet<ShardId>,
    /// Whose state was replaced or given up since the round under way began: what the round knows is about what was there before.
    replaced: BTreeSet<ShardId>,
    garbage: BTreeSet<Copy>,
}

/// What is to be flushed and deleted; a cheap note on every write, no more.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    options: StateOptions,
    noted: Mutex<Noted>,
    wake: Notify,
    rounds: watch::Sender<u64>,
}

/// What there is to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Flush these shards up to there; to be [ended](Unflushed::flushed).
    Flush(Vec<(ShardId, Position)>),
    /// Delete the rows of these copies.
    Delete(Vec<Copy>),
    /// Nothing before that moment, or before somebody wakes.
    Nothing(Option<Instant>),
}

impl Unflushed {
    /// Nothing is behind yet.
    pub(crate) fn new(options: StateOptions) -> Unflushed {
        Unflushed { options, ..Unflushed::default() }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard's log has grown.
    pub(crate) fn logged(&self, shard: ShardId, bytes: u64) {
        let mut noted = self.noted();
        noted.bytes += bytes;
        let behind = noted.shards.entry(shard).or_default();
        behind.bytes += bytes;
        let large =
            behind.bytes >= self.options.flush_bytes && behind.bytes - bytes < self.options.flush_bytes;
        let full = noted.bytes >= self.options.flush_total_bytes
            && noted.bytes - bytes < self.options.flush_total_bytes;
        let first = noted.begin();
        drop(noted);
        if first || large || full {
            self.wake.notify_one();
        }
    }

    /// A shard's state may follow its log up to here.
    pub(crate) fn applied(&self, shard: ShardId, upto: Position) {
        let mut noted = self.noted();
        let behind = noted.shards.entry(shard).or_default();
        behind.upto = upto.max(behind.upto);
        let first = noted.begin();
        drop(noted);
        if first {
            self.wake.notify_one();
        }
    }

    /// A shard's state is about to be replaced, or given up: said before it is, so that whoever meets the new one knows.
    pub(crate) fn replaced(&self, shard: ShardId) {
        let mut noted = self.noted();
        noted.replaced.insert(shard);
        if let Some(behind) = noted.shards.remove(&shard) {
            noted.bytes -= behind.bytes;
        }
    }

    /// Whether that was said since the round under way began.
    pub(crate) fn was_replaced(&self, shard: ShardId) -> bool {
        self.noted().replaced.contains(&shard)
    }

    /// The rows of a copy are to go, once everything submitted to the write-ahead log before is durable.
    pub(crate) fn delete(&self, copies: impl IntoIterator<Item = Copy>) {
        self.noted().garbage.extend(copies);
        self.wake.notify_one();
    }

    /// The rows of a copy are gone.
    pub(crate) fn deleted(&self, copy: Copy) {
        self.noted().garbage.remove(&copy);
    }

    /// What there is to do.
    pub(crate) fn due(&self, now: Instant) -> Due {
        let mut noted = self.noted();
        let late = noted.since.is_some_and(|since| now >= since + self.options.flush_every);
        let all = late || noted.bytes >= self.options.flush_total_bytes;
        let Noted { shards, held, .. } = &*noted;
        let is_due = |(shard, behind): &(&ShardId, &Behind)| {
            (all || behind.bytes >= self.options.flush_bytes)
                && behind.upto > Position(0)
                && !held.contains_key(shard)
        };
        let due: Vec<(ShardId, Behind)> =
            shards.iter().filter(is_due).map(|(shard, behind)| (*shard, *behind)).collect();
        if late {
            noted.since = Some(now);
        }
        if due.is_empty() {
            let held = &noted.held;
            let garbage = noted.garbage.iter().filter(|copy| !held.contains_key(&copy.shard));
            let garbage: Vec<Copy> = garbage.copied().collect();
            return match garbage.is_empty() {
                true => Due::Nothing(noted.since.map(|since| since + self.options.flush_every)),
                false => Due::Delete(garbage),
            };
        }
        for (shard, behind) in &due {
            noted.shards.remove(shard);
            noted.flushing.insert(*shard);
            noted.bytes -= behind.bytes;
        }
        noted.replaced.clear();
        if noted.shards.is_empty() {
            noted.since = None;
        }
        Due::Flush(due.into_iter().map(|(shard, behind)| (shard, behind.upto)).collect())
    }

    /// The round is over.
    pub(crate) fn flushed(&self) {
        self.noted().flushing.clear();
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Completes when there may be something to do.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Holds off the flush of a shard, and the deletion of its rows, until the value is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing is held.
    pub(crate) async fn hold(self: &Arc<Self>, shard: ShardId) -> Hold {
        let mut rounds = self.rounds.subscribe();
        *self.noted().held.entry(shard).or_default() += 1;
        let hold = Hold { unflushed: self.clone(), shard };
        while self.noted().flushing.contains(&shard) {
            if rounds.changed().await.is_err() {
                break;
            }
        }
        hold
    }
}

impl Noted {
    fn begin(&mut self) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        first
    }
}

/// Holds off the flush of a shard.
#[derive(Debug)]
pub(crate) struct Hold {
    unflushed: Arc<Unflushed>,
    shard: ShardId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut noted = self.unflushed.noted();
        if let Some(count) = noted.held.get_mut(&self.shard) {
            *count -= 1;
            if *count == 0 {
                noted.held.remove(&self.shard);
            }
        }
        drop(noted);
        self.unflushed.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SHARD: ShardId = ShardId(1);

    #[test]
    fn a_shard_is_flushed_when_it_is_large_and_all_when_time_has_passed() {
        let unflushed = Unflushed::default();
        let start = Instant::now();
        assert_eq!(unflushed.due(start), Due::Nothing(None));
        unflushed.logged(SHARD, StateOptions::default().flush_bytes);
        assert!(matches!(unflushed.due(start), Due::Nothing(Some(_))), "nothing of it is committed");
        unflushed.applied(SHARD, Position(7));
        unflushed.logged(ShardId(2), 1);
        unflushed.applied(ShardId(2), Position(1));
        assert_eq!(unflushed.due(start), Due::Flush(vec![(SHARD, Position(7))]));
        assert!(matches!(unflushed.due(start), Due::Nothing(Some(_))));
        let later = start + StateOptions::default().flush_every + Duration::from_secs(1);
        assert_eq!(unflushed.due(later), Due::Flush(vec![(ShardId(2), Position(1))]));
        assert_eq!(unflushed.due(later), Due::Nothing(None));
    }

    #[tokio::test]
    async fn a_held_shard_is_neither_flushed_nor_deleted() {
        let unflushed = Arc::new(Unflushed::default());
        let copy = Copy { shard: SHARD, generation: 1 };
        unflushed.applied(SHARD, Position(7));
        unflushed.delete([copy]);
        let hold = unflushed.hold(SHARD).await;
        let later = Instant::now() + StateOptions::default().flush_every + Duration::from_secs(1);
        assert!(matches!(unflushed.due(later), Due::Nothing(Some(_))));
        drop(hold);
        let later = later + StateOptions::default().flush_every;
        assert_eq!(unflushed.due(later), Due::Flush(vec![(SHARD, Position(7))]));
        assert_eq!(unflushed.due(later), Due::Delete(vec![copy]));
        unflushed.deleted(copy);
        assert_eq!(unflushed.due(later), Due::Nothing(None));
        // A flush that is under way is waited for.
        let held = unflushed.hold(SHARD);
        tokio::pin!(held);
        assert!(futures::poll!(&mut held).is_pending());
        unflushed.flushed();
        held.await;
    }
}

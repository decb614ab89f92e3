//! Sees everything at once, and knows each promise: what was acknowledged stays, in its place, and is seen; one node at a time.

use std::collections::BTreeMap;

use shardloom_sharding::ids::{Epoch, NodeId, Position, ShardId};

use super::disk::Value;

/// A promise is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// What a client could know when it sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invoked {
    /// The newest epoch under which it had a reply from the shard.
    epoch: Epoch,
    /// How many required values there were.
    required: usize,
}

#[derive(Clone, Debug, Default)]
struct ShardFacts {
    /// Values that clients have seen acknowledged or read, with their positions and the first epoch of a reply that rests on
    /// them, in the order of the replies.
    required: Vec<(Position, u64, Epoch)>,
    at: BTreeMap<Position, u64>,
    /// Who has answered under each epoch.
    answered: BTreeMap<Epoch, NodeId>,
    /// What any node has applied at each position.
    applied: Vec<Value>,
}

/// The facts of a run.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    shards: Vec<ShardFacts>,
    /// How many replies there were: writes and reads.
    pub(super) replies: (u64, u64),
}

impl Oracle {
    /// Knows nothing yet.
    pub(super) fn new(shard_count: u32) -> Oracle {
        Oracle { shards: vec![ShardFacts::default(); shard_count as usize], replies: (0, 0) }
    }

    /// A client sends a request.
    pub(super) fn invoked(&self, shard: ShardId) -> Invoked {
        let facts = &self.shards[shard.index()];
        let epoch = facts.answered.last_key_value().map_or(Epoch(0), |(epoch, _)| *epoch);
        Invoked { epoch, required: facts.required.len() }
    }

    fn answers(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        node: NodeId,
        invoked: Invoked,
    ) -> Result<(), Violation> {
        let facts = &mut self.shards[shard.index()];
        if epoch < invoked.epoch {
            let newer = invoked.epoch;
            return Err(Violation(format!(
                "(b) shard {shard}: {node} answers under {epoch} what was sent after a reply under {newer}"
            )));
        }
        let first = *facts.answered.entry(epoch).or_insert(node);
        if first != node {
            return Err(Violation(format!("(b) shard {shard}: {first} and {node} answer under {epoch}")));
        }
        Ok(())
    }

    fn require(
        &mut self,
        shard: ShardId,
        position: Position,
        id: u64,
        epoch: Epoch,
    ) -> Result<(), Violation> {
        let facts = &mut self.shards[shard.index()];
        match facts.at.get(&position) {
            Some(other) if *other != id => {
                return Err(Violation(format!(
                    "(a) shard {shard}: {other} and {id} were both acknowledged at {position}"
                )));
            }
            Some(_) => {}
            None => {
                facts.at.insert(position, id);
                facts.required.push((position, id, epoch));
            }
        }
        Ok(())
    }

    /// A write is acknowledged.
    ///
    /// # Errors
    /// A [`Violation`], as all others here.
    pub(super) fn acknowledged(
        &mut self,
        (shard, epoch, node): (ShardId, Epoch, NodeId),
        position: Position,
        id: u64,
        invoked: Invoked,
    ) -> Result<(), Violation> {
        self.replies.0 += 1;
        self.answers(shard, epoch, node, invoked)?;
        self.require(shard, position, id, epoch)
    }

    /// A read is answered with everything that the guest saw.
    ///
    /// # Errors
    /// A value that a client knew of is missing.
    pub(super) fn read(
        &mut self,
        (shard, epoch, node): (ShardId, Epoch, NodeId),
        seen: &[Value],
        invoked: Invoked,
    ) -> Result<(), Violation> {
        self.replies.1 += 1;
        self.answers(shard, epoch, node, invoked)?;
        for (position, id, _) in &self.shards[shard.index()].required[..invoked.required] {
            let found = seen.get(position.0 as usize - 1).copied().flatten();
            if found != Some(*id) {
                return Err(Violation(format!(
                    "(c) shard {shard}: a read at {node} under {epoch} finds {found:?} at {position}, not {id}"
                )));
            }
        }
        for (i, id) in seen.iter().enumerate() {
            if let Some(id) = id {
                self.require(shard, Position(i as u64 + 1), *id, epoch)?;
            }
        }
        Ok(())
    }

    /// A node takes a shard into service with this log.
    ///
    /// # Errors
    /// An acknowledged write is missing.
    pub(super) fn serves(
        &self,
        (shard, epoch, node): (ShardId, Epoch, NodeId),
        seen: &[Value],
    ) -> Result<(), Violation> {
        let facts = &self.shards[shard.index()];
        for (position, id, since) in &facts.required {
            let found = seen.get(position.0 as usize - 1).copied().flatten();
            if *since <= epoch && found != Some(*id) {
                return Err(Violation(format!(
                    "(a) shard {shard}: {node} serves under {epoch} with {found:?} at {position}, not {id}"
                )));
            }
        }
        Ok(())
    }

    /// A node's state has taken the log from `from` on.
    ///
    /// # Errors
    /// Another node's state has something else in the same place.
    pub(super) fn applies(
        &mut self,
        shard: ShardId,
        node: NodeId,
        from: usize,
        values: &[Value],
    ) -> Result<(), Violation> {
        let facts = &mut self.shards[shard.index()];
        for (i, value) in values.iter().enumerate() {
            match facts.applied.get(from + i) {
                Some(known) if known != value => {
                    let at = from + i + 1;
                    return Err(Violation(format!(
                        "(a) shard {shard}: {node} applies {value:?} at {at} where another applied {known:?}"
                    )));
                }
                Some(_) => {}
                None => facts.applied.push(*value),
            }
        }
        Ok(())
    }
}

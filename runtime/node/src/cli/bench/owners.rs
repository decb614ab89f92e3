//! Which node owns the shard of a key, as far as the map or answers have told.
//!
//! A key's shard never changes while its workload's shard function does not; the shard's owner does. So a call that finds a new owner tells it for
//! all keys of the shard.

use std::collections::HashMap;

use shardloom_sharding::ids::ShardId;
use shardloom_sharding::key::shard_of_str;

/// What is known of the owners of keys.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By the key's number.
    shards: Vec<Option<ShardId>>,
    nodes: HashMap<ShardId, usize>,
}

impl Owners {
    /// Nothing is known of so many keys.
    pub(super) fn new(keys: u32) -> Owners {
        Owners { shards: vec![None; keys as usize], nodes: HashMap::new() }
    }

    /// Takes keys to be spread by the built-in function. Where a workload has another one, answers put it right.
    pub(super) fn assume(&mut self, shard_count: u32, name: impl Fn(u32) -> String) {
        for (key, shard) in (0..).zip(&mut self.shards) {
            *shard = Some(shard_of_str(&name(key), shard_count));
        }
    }

    /// Takes note of an owner.
    pub(super) fn note_owner(&mut self, shard: ShardId, node: usize) {
        self.nodes.insert(shard, node);
    }

    /// Takes note of where a call for a key ran.
    pub(super) fn note(&mut self, key: u32, shard: ShardId, node: usize) {
        if let Some(known) = self.shards.get_mut(key as usize) {
            *known = Some(shard);
            self.note_owner(shard, node);
        }
    }

    /// The owner of a key's shard.
    pub(super) fn of(&self, key: u32) -> Option<usize> {
        let shard = self.shards.get(key as usize).copied().flatten()?;
        self.nodes.get(&shard).copied()
    }

    /// The owner of a key's shard does not answer: the next call for it asks any node, and so learns of the next owner.
    pub(super) fn forget(&mut self, key: u32) {
        if let Some(shard) = self.shards.get(key as usize).copied().flatten() {
            self.nodes.remove(&shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_owner_for_all_keys_of_its_shard() {
        let mut owners = Owners::new(3);
        assert_eq!(owners.of(0), None);
        owners.note(0, ShardId(5), 1);
        owners.note(1, ShardId(5), 2);
        assert_eq!((owners.of(0), owners.of(1), owners.of(2)), (Some(2), Some(2), None));
        owners.forget(1);
        assert_eq!(owners.of(0), None);
        owners.note(9, ShardId(5), 1);
        assert_eq!((owners.of(0), owners.of(9)), (None, None));
    }

    #[test]
    fn a_wrong_guess_at_a_shard_is_put_right_by_an_answer() {
        let name = |key: u32| format!("key-{key}");
        let mut owners = Owners::new(2);
        owners.assume(4, name);
        let guessed = shard_of_str(&name(0), 4);
        owners.note_owner(guessed, 7);
        assert_eq!(owners.of(0), Some(7));
        owners.note(0, ShardId(100), 8);
        assert_eq!(owners.of(0), Some(8));
    }
}

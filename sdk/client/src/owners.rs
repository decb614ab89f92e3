//! What is known of the cluster: which node owns which shard, under which epoch, and where it answers.

use std::collections::{BTreeMap, BTreeSet};

use shardloom_sharding::ids::{Epoch, NodeId, ShardId};

use crate::address::Address;
use crate::placement::Placement;

/// Workloads whose keys are known to be spread in some way; when there are more, all are forgotten.
const WORKLOADS_MAX: usize = 1_000;

/// Who owned a shard, as of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The owner.
    pub(crate) node: NodeId,
    /// The epoch of its ownership.
    pub(crate) epoch: Epoch,
}

/// A part of the shard map, learned bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: BTreeMap<ShardId, Owner>,
    addresses: BTreeMap<NodeId, Address>,
    /// Addresses that whoever made the client has given: where a node is reached from here, whatever it says itself.
    named: BTreeMap<NodeId, Address>,
    placements: BTreeMap<String, Placement>,
    shard_count: Option<u32>,
}

impl Owners {
    /// Takes note of an owner, unless a newer one is known: epochs never go back.
    pub(crate) fn note_owner(&mut self, shard: ShardId, owner: Owner) {
        let known = self.owners.entry(shard).or_insert(owner);
        if owner.epoch > known.epoch {
            *known = owner;
        }
    }

    /// Takes note of where a node answers.
    pub(crate) fn note_address(&mut self, node: NodeId, address: Address) {
        self.addresses.insert(node, address);
    }

    /// Takes a node's address as given: no other one counts.
    pub(crate) fn name(&mut self, node: NodeId, address: Address) {
        self.named.insert(node, address);
    }

    /// Forgets where nodes answered that are not among these, which are all.
    pub(crate) fn keep_only(&mut self, members: &BTreeSet<NodeId>) {
        self.addresses.retain(|node, _| members.contains(node));
    }

    /// Takes note of how many shards there are: it is fixed when a cluster is created.
    pub(crate) fn note_shard_count(&mut self, shard_count: u32) {
        if self.shard_count != Some(shard_count) {
            self.shard_count = Some(shard_count);
            self.placements.clear();
        }
    }

    /// Takes note of the shard of a workload's key.
    pub(crate) fn note_shard(&mut self, workload: &str, key: &str, shard: ShardId) {
        if !self.placements.contains_key(workload) {
            if self.placements.len() >= WORKLOADS_MAX {
                self.placements.clear();
            }
            let placement = self.shard_count.map_or_else(Placement::unknown, Placement::of_count);
            self.placements.insert(workload.to_owned(), placement);
        }
        if let Some(placement) = self.placements.get_mut(workload) {
            placement.observe(key, shard);
        }
    }

    /// Where the owner of a workload's key answers, as far as that is known.
    pub(crate) fn owner_address(&self, workload: &str, key: &str) -> Option<&Address> {
        let shard = match (self.placements.get(workload), self.shard_count) {
            (Some(placement), _) => placement.shard(key),
            (None, Some(shard_count)) => Placement::of_count(shard_count).shard(key),
            (None, None) => None,
        }?;
        let node = self.owners.get(&shard)?.node;
        self.named.get(&node).or_else(|| self.addresses.get(&node))
    }

    /// Where nodes answer, those that have no given address.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        let learned = self.addresses.iter().filter(|(node, _)| !self.named.contains_key(node));
        learned.map(|(_, address)| address)
    }
}

#[cfg(test)]
mod tests {
    use shardloom_sharding::key::shard_of_str;

    use super::*;

    fn address(port: u16) -> Address {
        format!("127.0.0.1:{port}").parse().unwrap()
    }

    fn owners() -> Owners {
        let mut owners = Owners::default();
        owners.note_address(NodeId(1), address(1));
        owners.note_address(NodeId(2), address(2));
        owners
    }

    fn owned(node: u64, epoch: u64) -> Owner {
        Owner { node: NodeId(node), epoch: Epoch(epoch) }
    }

    #[test]
    fn an_owner_of_an_older_epoch_does_not_come_back() {
        let mut owners = owners();
        owners.note_shard_count(4);
        let shard = shard_of_str("k", 4);
        owners.note_owner(shard, owned(1, 5));
        assert_eq!(owners.owner_address("w", "k"), Some(&address(1)));
        owners.note_owner(shard, owned(2, 7));
        assert_eq!(owners.owner_address("w", "k"), Some(&address(2)));
        for epoch in [6, 7] {
            owners.note_owner(shard, owned(1, epoch));
            assert_eq!(owners.owner_address("w", "k"), Some(&address(2)), "epoch {epoch}");
        }
    }

    #[test]
    fn a_key_that_was_called_once_has_a_known_owner_even_where_the_number_of_shards_is_not_known() {
        let mut owners = owners();
        let shard = shard_of_str("k", 1024);
        owners.note_shard("w", "k", shard);
        owners.note_owner(shard, owned(2, 1));
        assert_eq!(owners.owner_address("w", "k"), Some(&address(2)));
        assert_eq!(owners.owner_address("other", "k"), None);
    }

    #[test]
    fn an_owner_whose_address_is_not_known_is_none() {
        let mut owners = owners();
        owners.note_shard_count(1);
        owners.note_owner(ShardId(0), owned(3, 1));
        assert_eq!(owners.owner_address("w", "k"), None);
    }

    #[test]
    fn a_given_address_counts_and_that_of_a_removed_node_is_forgotten() {
        let mut owners = owners();
        owners.note_shard_count(1);
        owners.note_owner(ShardId(0), owned(1, 1));
        owners.name(NodeId(1), address(9));
        assert_eq!(owners.owner_address("w", "k"), Some(&address(9)));
        assert_eq!(owners.addresses().collect::<Vec<_>>(), [&address(2)]);
        owners.keep_only(&BTreeSet::from([NodeId(1)]));
        assert_eq!(owners.addresses().count(), 0);
        assert_eq!(owners.owner_address("w", "k"), Some(&address(9)));
    }

    #[test]
    fn workloads_are_not_remembered_without_end() {
        let mut owners = owners();
        for number in 0..=WORKLOADS_MAX {
            owners.note_shard(&format!("w{number}"), "k", ShardId(0));
        }
        assert!(owners.placements.len() <= WORKLOADS_MAX);
    }
}

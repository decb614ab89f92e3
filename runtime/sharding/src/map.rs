//! From a shard to its owner and replicas, each under the epoch that set them.
//!
//! One dense row per shard, so that the lookup on every request's path is one row and one table entry. Nodes and disks have
//! long random names; a row holds 16-bit slots of a table instead (`table`).

mod table;

use std::fmt;

use crate::ids::{Epoch, NodeId, Replica, ShardId};
use table::ReplicaTable;
pub(crate) use table::{SLOTS_MAX, Slot, Uses};

/// The most shards that a cluster may be created with. A map entry of the control log stays in the hundreds of kilobytes.
pub const SHARD_COUNT_MAX: u32 = 65_536;

/// The most replicas of one shard: two of five may fail. A row keeps them inline.
pub const REPLICAS_MAX: usize = 5;

/// The caller's epoch of a shard is not the one of this map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard is at epoch {current}")]
pub struct Stale {
    /// The epoch of the map; 0 if the shard has never been set, or is none of the cluster's.
    pub current: Epoch,
}

/// What is asked for cannot stand in a map; the map is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// The shard is not below the shard count.
    #[error("shard {shard} of a cluster of {shard_count}")]
    UnknownShard {
        /// The shard asked for.
        shard: ShardId,
        /// The cluster's shard count.
        shard_count: u32,
    },
    /// More replicas than [`REPLICAS_MAX`].
    #[error("shard {shard} with {replicas} replicas, of at most {REPLICAS_MAX}")]
    TooManyReplicas {
        /// The shard.
        shard: ShardId,
        /// How many were given.
        replicas: usize,
    },
    /// Two replicas on one node fail together, so they are not two.
    #[error("shard {shard} with two replicas on node {node}")]
    TwoReplicasOnNode {
        /// The shard.
        shard: ShardId,
        /// The node that was named twice.
        node: NodeId,
    },
    /// The owner has none of the replicas.
    #[error("shard {shard} owned by {owner}, which has no replica of it")]
    OwnerWithoutReplica {
        /// The shard.
        shard: ShardId,
        /// The owner asked for.
        owner: NodeId,
    },
    /// One proposal sets a shard once.
    #[error("shard {shard} is set twice")]
    ShardTwice {
        /// The shard.
        shard: ShardId,
    },
    /// The map names as many different replicas as 16 bits can tell apart.
    #[error("the map is full: {SLOTS_MAX} nodes and disks")]
    TableFull,
}

/// One shard: `replicas[..replica_count]` are slots of the table, the owner's first, the others in ascending order of what
/// they name. One order only, so that equal maps have equal bytes.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) epoch: Epoch,
    pub(crate) replicas: [Slot; REPLICAS_MAX],
    pub(crate) owner: Slot,
    pub(crate) replica_count: u8,
}

impl Row {
    pub(crate) const UNSET: Row =
        Row { epoch: Epoch(0), replicas: [Slot::NONE; REPLICAS_MAX], owner: Slot::NONE, replica_count: 0 };

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.replicas[..usize::from(self.replica_count)]
    }
}

/// Who owns each shard, and who keeps its log.
#[derive(Clone)]
pub struct ShardMap {
    rows: Vec<Row>,
    table: ReplicaTable,
}

impl ShardMap {
    /// Makes the map of a new cluster: no shard has ever been set.
    ///
    /// # Panics
    /// If the count is above [`SHARD_COUNT_MAX`]; whoever creates a cluster checks it.
    pub fn new(shard_count: u32) -> ShardMap {
        assert!(shard_count <= SHARD_COUNT_MAX, "{shard_count} shards, of at most {SHARD_COUNT_MAX}");
        ShardMap { rows: vec![Row::UNSET; shard_count as usize], table: ReplicaTable::default() }
    }

    /// Returns how many shards the cluster has.
    pub fn shard_count(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Returns all shards in ascending order.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = ShardId> + use<> {
        (0..self.shard_count()).map(ShardId)
    }

    /// Returns the owner, if this epoch is the shard's: the check that every request passes.
    ///
    /// # Errors
    /// [`Stale`] with the shard's epoch, where it is another one or the shard has no owner.
    #[inline]
    pub fn lookup(&self, shard: ShardId, epoch: Epoch) -> Result<NodeId, Stale> {
        match self.rows.get(shard.index()) {
            Some(row) if row.epoch == epoch => match self.table.get(row.owner) {
                Some(owner) => Ok(owner.node),
                None => Err(Stale { current: epoch }),
            },
            Some(row) => Err(Stale { current: row.epoch }),
            None => Err(Stale { current: Epoch(0) }),
        }
    }

    /// Returns the shard's owner, if it has one.
    #[inline]
    pub fn owner(&self, shard: ShardId) -> Option<NodeId> {
        self.owner_replica(shard).map(|replica| replica.node)
    }

    /// Returns the owner's own replica of the shard, if the shard has an owner.
    #[inline]
    pub fn owner_replica(&self, shard: ShardId) -> Option<Replica> {
        self.rows.get(shard.index()).and_then(|row| self.table.get(row.owner))
    }

    /// Returns the epoch that set the shard; 0 if none has.
    #[inline]
    pub fn epoch(&self, shard: ShardId) -> Epoch {
        self.rows.get(shard.index()).map_or(Epoch(0), |row| row.epoch)
    }

    /// Returns the shard's replicas: the owner's first, the others in ascending order.
    pub fn replicas(&self, shard: ShardId) -> impl ExactSizeIterator<Item = Replica> + '_ {
        let slots = self.rows.get(shard.index()).map_or(&[][..], Row::slots);
        slots.iter().map(|slot| self.table.at(*slot))
    }

    /// Returns how many shards the node owns.
    pub fn owned(&self, node: NodeId) -> u32 {
        self.table.iter().filter(|row| row.replica.node == node).map(|row| row.uses.owned).sum()
    }

    /// How many shards a node has a replica of, on any disk.
    pub fn held(&self, node: NodeId) -> u32 {
        self.table.iter().filter(|row| row.replica.node == node).map(|row| row.uses.held).sum()
    }

    /// Returns every replica that the map names, with the shards it owns and the shards it holds, in ascending order.
    pub fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<Holder> = self
            .table
            .iter()
            .filter(|row| row.uses.held > 0)
            .map(|row| Holder { replica: row.replica, owned: row.uses.owned, held: row.uses.held })
            .collect();
        holders.sort_unstable_by_key(|holder| holder.replica);
        holders
    }

    /// Sets one shard. The replicas may come in any order.
    ///
    /// # Errors
    /// [`AssignError`], and nothing has changed, if no map may hold this.
    pub fn assign(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        owner: Option<NodeId>,
        replicas: &[Replica],
    ) -> Result<(), AssignError> {
        let shard_count = self.shard_count();
        let Some(row) = self.rows.get_mut(shard.index()) else {
            return Err(AssignError::UnknownShard { shard, shard_count });
        };
        let mut ordered = [Replica::default(); REPLICAS_MAX];
        let ordered = in_order(shard, owner, replicas, &mut ordered)?;

        let mut next = Row { epoch, replica_count: ordered.len() as u8, ..Row::UNSET };
        for (place, replica) in ordered.iter().enumerate() {
            let known = row.slots().get(place).copied().filter(|slot| self.table.at(*slot) == *replica);
            let slot = match known.or_else(|| self.table.hold(*replica)) {
                Some(slot) => slot,
                None => {
                    next.replicas[..place].iter().for_each(|taken| self.table.release(*taken));
                    return Err(AssignError::TableFull);
                }
            };
            if known.is_some() {
                self.table.hold_again(slot);
            }
            next.replicas[place] = slot;
        }
        if owner.is_some() {
            next.owner = next.replicas[0];
            self.table.own(next.owner);
        }
        if row.owner != Slot::NONE {
            self.table.disown(row.owner);
        }
        for slot in row.slots() {
            self.table.release(*slot);
        }
        *row = next;
        Ok(())
    }

    /// Builds a map from rows whose slots are places in `replicas`, with how many shards each of these owns and holds.
    pub(crate) fn from_parts(rows: Vec<Row>, replicas: &[Replica], uses: &[Uses]) -> ShardMap {
        ShardMap { rows, table: ReplicaTable::from_sorted(replicas, uses) }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn table(&self) -> &ReplicaTable {
        &self.table
    }
}

/// What one replica has to do with the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node and its disk.
    pub replica: Replica,
    /// How many shards the node owns with this disk.
    pub owned: u32,
    /// How many shards have a replica on it, those it owns included.
    pub held: u32,
}

/// Puts the owner's replica first and the others in ascending order, and checks that they can stand together.
pub(crate) fn in_order<'a>(
    shard: ShardId,
    owner: Option<NodeId>,
    replicas: &[Replica],
    ordered: &'a mut [Replica; REPLICAS_MAX],
) -> Result<&'a [Replica], AssignError> {
    let Some(ordered) = ordered.get_mut(..replicas.len()) else {
        return Err(AssignError::TooManyReplicas { shard, replicas: replicas.len() });
    };
    ordered.copy_from_slice(replicas);
    ordered.sort_unstable();
    if let Some(twice) = ordered.windows(2).find(|pair| pair[0].node == pair[1].node) {
        return Err(AssignError::TwoReplicasOnNode { shard, node: twice[0].node });
    }
    if let Some(owner) = owner {
        let place = ordered.iter().position(|replica| replica.node == owner);
        let place = place.ok_or(AssignError::OwnerWithoutReplica { shard, owner })?;
        ordered[..=place].rotate_right(1);
    }
    Ok(ordered)
}

/// Two maps are equal if they say the same of each shard, whatever they have gone through.
impl PartialEq for ShardMap {
    fn eq(&self, other: &ShardMap) -> bool {
        self.shard_count() == other.shard_count()
            && self.shards().all(|shard| {
                self.epoch(shard) == other.epoch(shard)
                    && self.owner(shard) == other.owner(shard)
                    && self.replicas(shard).eq(other.replicas(shard))
            })
    }
}

impl Eq for ShardMap {}

impl fmt::Debug for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shards().map(|shard| {
            (shard, (self.epoch(shard), self.owner(shard), self.replicas(shard).collect::<Vec<_>>()))
        });
        f.debug_map().entries(shown).finish()
    }
}

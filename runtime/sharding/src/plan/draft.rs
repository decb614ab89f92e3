//! The map as the plan would leave it: the committed one, under the edits made so far.

use std::collections::BTreeSet;

use super::level::Level;
use super::peers::{NOBODY, Peer, Peers};
use super::weights::Weights;
use crate::change::{Change, Replicas};
use crate::ids::ShardId;
use crate::map::{REPLICAS_MAX, ShardMap};

/// Where one shard stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placement {
    pub(super) owner: Peer,
    set: [Peer; REPLICAS_MAX],
    count: u8,
}

impl Placement {
    /// A shard without replicas so far.
    pub(super) fn of(owner: Peer) -> Placement {
        Placement { owner, set: [NOBODY; REPLICAS_MAX], count: 0 }
    }

    /// The peers with a replica, in no particular order.
    pub(super) fn set(&self) -> &[Peer] {
        &self.set[..usize::from(self.count)]
    }

    /// Adds a replica, unless the shard has as many as there may be.
    pub(super) fn add(&mut self, peer: Peer) {
        if let Some(place) = self.set.get_mut(usize::from(self.count)) {
            *place = peer;
            self.count += 1;
        }
    }

    pub(super) fn replace(&mut self, from: Peer, to: Peer) {
        if let Some(place) = self.set.iter_mut().find(|peer| **peer == from) {
            *place = to;
        }
    }

    pub(super) fn has(&self, peer: Peer) -> bool {
        self.set().contains(&peer)
    }
}

/// The steps of planning, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Repair,
    Spread,
    LevelReplicas,
    LevelOwners,
}

/// How a change came about.
#[derive(Clone, Copy)]
pub(super) struct Made {
    /// The step that first changed the shard.
    pub(super) step: Step,
    /// Where it is committed.
    pub(super) before: Placement,
    /// Where it is to be.
    pub(super) after: Placement,
}

#[derive(Clone, Copy)]
struct Edit {
    shard: u32,
    placement: Placement,
    /// The step that first changed it: without it, nothing would have.
    step: Step,
    /// The owner of before does not answer: whoever takes over has to have the log already.
    urgent: bool,
}

pub(super) struct Draft<'a> {
    map: &'a ShardMap,
    pub(super) peers: &'a Peers,
    pub(super) weights: &'a Weights<'a>,
    /// The weight of the replicas that each peer has.
    pub(super) held: Level,
    /// The weight of the shards that each peer owns.
    pub(super) owned: Level,
    /// One more than the place of each shard's edit, 0 for none.
    edit_of: Vec<u32>,
    edits: Vec<Edit>,
    moves_left: u32,
    step: Step,
    /// Shards that are not to change for the sake of balance.
    resting: Option<&'a BTreeSet<ShardId>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(map: &'a ShardMap, peers: &'a Peers, weights: &'a Weights<'a>) -> Draft<'a> {
        let mut held = vec![0; peers.len()];
        let mut owned = vec![0; peers.len()];
        if weights.is_uniform() {
            let weight = weights.of(0);
            for holder in map.table().iter().enumerate() {
                let (slot, row) = holder;
                let peer = usize::from(peers.of_slot(crate::map::Slot(slot as u16)));
                if row.uses.held > 0 && peer < peers.len() {
                    held[peer] = u64::from(row.uses.held) * weight;
                    owned[peer] = u64::from(row.uses.owned) * weight;
                }
            }
        } else {
            for (shard, row) in map.rows().iter().enumerate() {
                let weight = weights.of(shard as u32);
                for slot in row.slots() {
                    held[usize::from(peers.of_slot(*slot))] += weight;
                }
                if let Some(owner) = owned.get_mut(usize::from(peers.of_slot(row.owner))) {
                    *owner += weight;
                }
            }
        }
        let (mut held, mut owned) = (Level::new(held.into_iter()), Level::new(owned.into_iter()));
        for peer in peers.live() {
            held.set_capacity(*peer, peers.capacity(*peer));
            owned.set_capacity(*peer, peers.capacity(*peer));
        }
        let edit_of = vec![0; map.shard_count() as usize];
        Draft {
            map,
            peers,
            weights,
            held,
            owned,
            edit_of,
            edits: Vec::new(),
            moves_left: u32::MAX,
            step: Step::Repair,
            resting: None,
        }
    }

    /// Keeps these shards from changing for the sake of balance.
    pub(super) fn let_rest(&mut self, resting: &'a BTreeSet<ShardId>) {
        self.resting = Some(resting).filter(|resting| !resting.is_empty());
    }

    /// What is changed from here on, this step changes.
    pub(super) fn begin(&mut self, step: Step) {
        self.step = step;
    }

    /// Allows only so many shards to change from here on, besides those that have changed already.
    pub(super) fn limit_moves(&mut self, moves_max: Option<u32>) {
        self.moves_left = moves_max.unwrap_or(u32::MAX);
    }

    pub(super) fn shard_count(&self) -> u32 {
        self.map.shard_count()
    }

    /// Whether every replica of the shard is live, there are so many, and one of them owns it that may. The map's word: for shards
    /// without edits.
    #[inline]
    pub(super) fn is_whole(&self, shard: u32, replicas: usize) -> bool {
        let row = &self.map.rows()[shard as usize];
        usize::from(row.replica_count) == replicas
            && row.owner == row.replicas[0]
            && self.peers.may_own(self.peers.of_slot(row.owner))
            && row.slots().iter().all(|slot| self.peers.slot_is_live(*slot))
    }

    /// The shard as the map has it.
    #[inline]
    pub(super) fn committed(&self, shard: u32) -> Placement {
        let row = &self.map.rows()[shard as usize];
        let mut placement = Placement::of(self.peers.of_slot(row.owner));
        for slot in row.slots() {
            placement.add(self.peers.of_slot(*slot));
        }
        placement
    }

    /// The shard as it stands now.
    #[inline]
    pub(super) fn read(&self, shard: u32) -> Placement {
        match self.edit(shard) {
            Some(edit) => edit.placement,
            None => self.committed(shard),
        }
    }

    #[inline]
    fn edit(&self, shard: u32) -> Option<&Edit> {
        let place = self.edit_of[shard as usize].checked_sub(1)?;
        self.edits.get(place as usize)
    }

    pub(super) fn is_urgent(&self, shard: u32) -> bool {
        self.edit(shard).is_some_and(|edit| edit.urgent)
    }

    /// Whether all of these may change for the sake of balance.
    pub(super) fn may_move(&self, shards: &[u32]) -> bool {
        let new = || shards.iter().filter(|shard| self.edit_of[**shard as usize] == 0);
        let rests = |shard: &u32| self.resting.is_some_and(|resting| resting.contains(&ShardId(*shard)));
        new().count() <= self.moves_left as usize && !new().any(rests)
    }

    /// Whether enough replicas of the committed map answer to learn all that was ever acknowledged: any majority has one of them.
    /// Where they do not, the missing ones may hold the only copies: none is given up, and nobody can take over.
    pub(super) fn can_recover(&self, shard: u32) -> bool {
        let committed = self.committed(shard);
        let set = committed.set();
        set.iter().filter(|peer| self.peers.answers(**peer)).count() >= set.len() - set.len() / 2
    }

    /// The shards that have changed so far.
    pub(super) fn edited(&self) -> Vec<u32> {
        self.edits.iter().map(|edit| edit.shard).collect()
    }

    /// Records that the shard's owner does not answer.
    pub(super) fn set_urgent(&mut self, shard: u32) {
        let place = self.edit_of[shard as usize];
        if let Some(edit) = place.checked_sub(1).and_then(|place| self.edits.get_mut(place as usize)) {
            edit.urgent = true;
        }
    }

    /// Puts the shard there.
    pub(super) fn write(&mut self, shard: u32, before: Placement, placement: Placement) {
        let weight = self.weights.of(shard);
        for peer in before.set().iter().filter(|peer| !placement.has(**peer)) {
            self.held.remove(*peer, weight);
        }
        for peer in placement.set().iter().filter(|peer| !before.has(**peer)) {
            self.held.add(*peer, weight);
        }
        if before.owner != placement.owner {
            if before.owner != NOBODY {
                self.owned.remove(before.owner, weight);
            }
            if placement.owner != NOBODY {
                self.owned.add(placement.owner, weight);
            }
        }
        match self.edit_of[shard as usize].checked_sub(1) {
            Some(place) => self.edits[place as usize].placement = placement,
            None => {
                self.edits.push(Edit { shard, placement, step: self.step, urgent: false });
                self.edit_of[shard as usize] = self.edits.len() as u32;
                self.moves_left = self.moves_left.saturating_sub(1);
            }
        }
    }

    /// Moves a replica. If it is the owner's, ownership goes to the least loaded of the other replicas that may have it, or with it.
    pub(super) fn move_replica(&mut self, shard: u32, from: Peer, to: Peer) {
        let before = self.read(shard);
        let mut after = before;
        after.replace(from, to);
        if before.owner == from {
            let others = before.set().iter().copied().filter(|peer| *peer != from);
            after.owner = self.least_owning(others).unwrap_or(to);
        }
        self.write(shard, before, after);
    }

    /// The one that owns least for its capacity, of those that may own shards.
    pub(super) fn least_owning(&self, peers: impl Iterator<Item = Peer>) -> Option<Peer> {
        let able = peers.filter(|peer| self.peers.may_own(*peer));
        let mut least: Option<(f64, Peer)> = None;
        for peer in able {
            let entry = (self.owned.ratio_with(peer, 1), peer);
            if least.is_none_or(|least| entry < least) {
                least = Some(entry);
            }
        }
        least.map(|(_, peer)| peer)
    }

    /// How many replicas of the shard are not in the committed map.
    pub(super) fn fresh(&self, shard: u32) -> usize {
        match self.edit(shard) {
            Some(edit) => {
                let committed = self.committed(shard);
                edit.placement.set().iter().filter(|peer| !committed.has(**peer)).count()
            }
            None => 0,
        }
    }

    /// The edits that say something else than the map, as changes in ascending order of shards, and how they came about.
    pub(super) fn into_changes(mut self) -> Vec<(Change, Made)> {
        if !self.edits.is_sorted_by_key(|edit| edit.shard) {
            self.edits.sort_unstable_by_key(|edit| edit.shard);
        }
        let mut changes = Vec::with_capacity(self.edits.len());
        for edit in &self.edits {
            let committed = self.committed(edit.shard);
            let mut placement = edit.placement;
            if placement.owner == NOBODY || placement.count == 0 {
                continue;
            }
            let same_set =
                placement.count == committed.count && placement.set().iter().all(|peer| committed.has(*peer));
            if same_set && placement.owner == committed.owner {
                continue;
            }
            // Peers stand in the order of their names, so this is the order that a map keeps: the owner, then the others.
            let owner = placement.owner;
            let count = usize::from(placement.count);
            placement.set[..count].sort_unstable_by_key(|peer| (*peer != owner, *peer));
            let replicas: Replicas = placement.set().iter().map(|peer| self.peers.replica(*peer)).collect();
            let shard = ShardId(edit.shard);
            let base = self.map.epoch(shard);
            let change = Change { shard, base, owner: self.peers.replica(owner).node, replicas };
            changes.push((change, Made { step: edit.step, before: committed, after: placement }));
        }
        changes
    }
}

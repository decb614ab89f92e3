//! Everyone who has to do with a plan: the members, and the replicas of the map that no member has any more.

use super::{Member, Standing, Zone};
use crate::ids::Replica;
use crate::map::{ShardMap, Slot};

/// A peer, as a place in [`Peers`]. Peers stand in ascending order of their replicas' names.
pub(super) type Peer = u16;

/// Stands for "nobody".
pub(super) const NOBODY: Peer = Peer::MAX;

pub(super) struct Peers {
    all: Vec<Member>,
    /// The zone of each peer, numbered from 0 without gaps.
    zones: Vec<u16>,
    zone_count: usize,
    live: Vec<Peer>,
    owners: Vec<Peer>,
    /// The peer of each slot of the map's table, and whether it is live.
    of_slot: Vec<Peer>,
    live_slots: Vec<bool>,
}

impl Peers {
    pub(super) fn new(map: &ShardMap, members: &[Member]) -> Peers {
        let mut all = members.to_vec();
        all.sort_by_key(|member| member.replica);
        all.dedup_by_key(|member| member.replica);
        let known = all.len();
        for row in map.table().iter().filter(|row| row.uses.held > 0) {
            if all[..known].binary_search_by_key(&row.replica, |member| member.replica).is_err() {
                let (capacity, zone, standing) = (0, Zone::default(), Standing::Gone);
                all.push(Member { replica: row.replica, capacity, zone, standing });
            }
        }
        // A peer is 16 bits. Clusters are far smaller; beyond it, members without replicas are the ones to do without.
        all.truncate(usize::from(NOBODY));
        all.sort_by_key(|member| member.replica);
        for member in all.iter_mut().filter(|member| member.capacity == 0) {
            if matches!(member.standing, Standing::Live | Standing::Unfit) {
                member.standing = Standing::Draining;
            }
        }
        // Better an owner that is kept out than none.
        for kept_out in [Standing::Unfit, Standing::Quarantined] {
            if all.iter().all(|member| member.standing != Standing::Live) {
                let able = |member: &&mut Member| member.standing == kept_out && member.capacity > 0;
                all.iter_mut().filter(able).for_each(|member| member.standing = Standing::Live);
            }
        }

        let place = |replica: &Replica| all.binary_search_by_key(replica, |member| member.replica);
        let of_slot: Vec<Peer> =
            map.table().iter().map(|row| place(&row.replica).map_or(NOBODY, |at| at as Peer)).collect();
        let is_live = |peer: usize| all.get(peer).is_some_and(|member| is_live(member.standing));
        let live_slots = of_slot.iter().map(|peer| is_live(usize::from(*peer))).collect();
        let mut names: Vec<Zone> = all.iter().map(|member| member.zone).collect();
        names.sort_unstable();
        names.dedup();
        let zones =
            all.iter().map(|member| names.partition_point(|name| *name < member.zone) as u16).collect();
        let everybody = || 0..all.len() as Peer;
        let live = everybody().filter(|peer| is_live(usize::from(*peer))).collect();
        let may_own = |peer: &Peer| all[usize::from(*peer)].standing == Standing::Live;
        let owners = everybody().filter(may_own).collect();
        Peers { zones, zone_count: names.len(), live, owners, of_slot, live_slots, all }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn replica(&self, peer: Peer) -> Replica {
        self.all[usize::from(peer)].replica
    }

    pub(super) fn standing(&self, peer: Peer) -> Standing {
        self.all[usize::from(peer)].standing
    }

    /// Whether the peer may take new replicas.
    pub(super) fn is_live(&self, peer: Peer) -> bool {
        is_live(self.standing(peer))
    }

    /// Whether the peer may own shards; nobody may not.
    pub(super) fn may_own(&self, peer: Peer) -> bool {
        self.all.get(usize::from(peer)).is_some_and(|member| member.standing == Standing::Live)
    }

    /// Whether one of them would be left that may own the shard, were its replica moved so; if there is one now.
    pub(super) fn keeps_owner(&self, set: &[Peer], from: Peer, to: Peer) -> bool {
        self.may_own(to)
            || !self.may_own(from)
            || set.iter().any(|other| *other != from && self.may_own(*other))
    }

    /// Whether the peer answers, so that what it has can be copied.
    pub(super) fn answers(&self, peer: Peer) -> bool {
        !matches!(self.standing(peer), Standing::Silent | Standing::Gone)
    }

    pub(super) fn capacity(&self, peer: Peer) -> u64 {
        u64::from(self.all[usize::from(peer)].capacity)
    }

    pub(super) fn zone(&self, peer: Peer) -> usize {
        usize::from(self.zones[usize::from(peer)])
    }

    pub(super) fn zone_count(&self) -> usize {
        self.zone_count
    }

    /// All that may take new replicas, in ascending order.
    pub(super) fn live(&self) -> &[Peer] {
        &self.live
    }

    /// All that may own shards, in ascending order.
    pub(super) fn owners(&self) -> &[Peer] {
        &self.owners
    }

    /// How many nodes may take new replicas.
    pub(super) fn live_nodes(&self) -> usize {
        // Two disks of one node stand beside each other.
        self.live.chunk_by(|a, b| self.same_node(*a, *b)).count()
    }

    pub(super) fn same_node(&self, a: Peer, b: Peer) -> bool {
        self.replica(a).node == self.replica(b).node
    }

    /// Whether one of them is on the peer's node.
    pub(super) fn meets(&self, peer: Peer, set: &[Peer]) -> bool {
        set.iter().any(|other| self.same_node(*other, peer))
    }

    /// Whether a node without a replica among them is silent, so that it may come back and take one.
    pub(super) fn awaits_others(&self, set: &[Peer]) -> bool {
        let may_take = |member: &Member| member.standing == Standing::Silent && member.capacity > 0;
        let silent = self.all.iter().enumerate().filter(|(_, member)| may_take(member));
        silent.map(|(peer, _)| peer as Peer).any(|peer| !self.meets(peer, set))
    }

    /// How many of them are in the zone.
    pub(super) fn in_zone(&self, zone: usize, set: &[Peer]) -> usize {
        set.iter().filter(|peer| self.zone(**peer) == zone).count()
    }

    pub(super) fn of_slot(&self, slot: Slot) -> Peer {
        self.of_slot.get(slot.index()).copied().unwrap_or(NOBODY)
    }

    #[inline]
    pub(super) fn slot_is_live(&self, slot: Slot) -> bool {
        self.live_slots[slot.index()]
    }
}

fn is_live(standing: Standing) -> bool {
    matches!(standing, Standing::Live | Standing::Unfit)
}

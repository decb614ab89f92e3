//! Finds places for new replicas: in the zones that the shard is least in, the peer with the least load for its capacity.
//!
//! One tournament a zone: a tree whose inner nodes hold the lesser of the two below, so that the least is at the top and a
//! change of load costs one path.
//!
//! Filling empty nodes strictly by load would deal the shards round like cards, and each node would share its shards with
//! the same few neighbours; when it failed, they would get all of its load. So loads are blurred a little while a node is far
//! from its share, which mixes the sets, and are exact towards the end.

use super::peers::{Peer, Peers};

/// How many average shards a load is blurred by: a few times round the table for each shuffle.
const BLUR_SHARDS: f64 = 8.0;

/// How many average shards before its share a node's load is no longer blurred, so that shares are met exactly.
const SHARP_SHARDS: f64 = 2.0;

/// A key and the leaf that it belongs to, in one word that compares as the key does: the bits of a float above 0 ascend with
/// it, and the lowest sixteen of them matter to nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u64);

impl Entry {
    const OUT: Entry = Entry(u64::MAX);
    const LEAF: u64 = 0xffff;

    fn new(key: f64, leaf: u16) -> Entry {
        Entry(key.to_bits() & !Entry::LEAF | u64::from(leaf))
    }

    fn leaf(self) -> usize {
        (self.0 & Entry::LEAF) as usize
    }
}

struct Tournament {
    /// `tree[1]` is the least of all; the children of `n` are `2n` and `2n + 1`; the second half are the leaves.
    tree: Vec<Entry>,
    peers: Vec<Peer>,
}

impl Tournament {
    fn new(peers: Vec<Peer>) -> Tournament {
        let size = peers.len().next_power_of_two().max(2);
        Tournament { tree: vec![Entry::OUT; 2 * size], peers }
    }

    fn least(&self) -> Option<(Entry, Peer)> {
        let top = self.tree[1];
        (top != Entry::OUT).then(|| (top, self.peers[top.leaf()]))
    }

    #[inline]
    fn set(&mut self, leaf: u16, entry: Entry) {
        let mut at = self.tree.len() / 2 + usize::from(leaf);
        let mut least = entry;
        self.tree[at] = least;
        while at > 1 {
            least = least.min(self.tree[at ^ 1]);
            at /= 2;
            self.tree[at] = least;
        }
    }
}

/// What the picker knows of one peer.
#[derive(Clone, Copy, Default)]
struct Seat {
    zone: u16,
    leaf: u16,
    load: f64,
    share: f64,
    /// 1 / capacity; 0 for those that take nothing.
    inverse: f64,
}

pub(super) struct Picker<'a> {
    peers: &'a Peers,
    zones: Vec<Tournament>,
    seats: Vec<Seat>,
    blur: f64,
    sharp: f64,
    draws: u64,
}

impl<'a> Picker<'a> {
    /// `loads` and `shares` are those of the live peers; `mean` is an average shard's weight.
    pub(super) fn new(peers: &'a Peers, shares: &[f64], load: impl Fn(Peer) -> u64, mean: f64) -> Picker<'a> {
        let mut seats = vec![Seat::default(); peers.len()];
        let mut zones: Vec<Vec<Peer>> = vec![Vec::new(); peers.zone_count()];
        for (peer, share) in peers.live().iter().zip(shares) {
            let zone = peers.zone(*peer);
            seats[usize::from(*peer)] = Seat {
                zone: zone as u16,
                leaf: zones[zone].len() as u16,
                load: load(*peer) as f64,
                share: *share,
                inverse: 1.0 / peers.capacity(*peer) as f64,
            };
            zones[zone].push(*peer);
        }
        let zones = zones.into_iter().map(Tournament::new).collect();
        let mut picker =
            Picker { peers, zones, seats, blur: BLUR_SHARDS * mean, sharp: SHARP_SHARDS * mean, draws: 0 };
        peers.live().iter().for_each(|peer| picker.enter(*peer));
        picker
    }

    /// Takes the best place for one more replica of a shard that has these, and counts its weight there.
    pub(super) fn take(&mut self, set: &[Peer], weight: u64) -> Option<Peer> {
        let mut passed = [None; PASSED_MAX];
        let mut passed_count = 0;
        let found = loop {
            let best = self.best(set);
            match best {
                Some(peer) if self.peers.meets(peer, set) && passed_count < PASSED_MAX => {
                    let seat = self.seats[usize::from(peer)];
                    self.zones[usize::from(seat.zone)].set(seat.leaf, Entry::OUT);
                    passed[passed_count] = Some(peer);
                    passed_count += 1;
                }
                Some(peer) if self.peers.meets(peer, set) => break None,
                other => break other,
            }
        };
        passed.into_iter().flatten().for_each(|peer| self.enter(peer));
        if let Some(peer) = found {
            self.add(peer, weight as f64);
        }
        found
    }

    /// As [`Picker::take`], among those that may own the shard. Looks at each: it is rare that there is none among the best.
    pub(super) fn take_owner(&mut self, set: &[Peer], weight: u64) -> Option<Peer> {
        let free = self.peers.owners().iter().copied().filter(|peer| !self.peers.meets(*peer, set));
        let found = free.min_by(|a, b| {
            let there = |peer: Peer| self.peers.in_zone(self.peers.zone(peer), set);
            let load = |peer: Peer| {
                let seat = self.seats[usize::from(peer)];
                seat.load * seat.inverse
            };
            there(*a).cmp(&there(*b)).then(load(*a).total_cmp(&load(*b))).then(a.cmp(b))
        })?;
        self.add(found, weight as f64);
        Some(found)
    }

    /// Counts a replica that went away.
    pub(super) fn release(&mut self, peer: Peer, weight: u64) {
        if self.seats[usize::from(peer)].inverse > 0.0 {
            self.add(peer, -(weight as f64));
        }
    }

    fn add(&mut self, peer: Peer, weight: f64) {
        self.seats[usize::from(peer)].load += weight;
        self.enter(peer);
    }

    fn best(&self, set: &[Peer]) -> Option<Peer> {
        if let [zone] = &self.zones[..] {
            return zone.least().map(|(_, peer)| peer);
        }
        let mut best: Option<(usize, Entry, Peer)> = None;
        for (zone, tournament) in self.zones.iter().enumerate() {
            let Some((key, peer)) = tournament.least() else { continue };
            let there = self.peers.in_zone(zone, set);
            if best.is_none_or(|(fewest, least, _)| (there, key) < (fewest, least)) {
                best = Some((there, key, peer));
            }
        }
        best.map(|(_, _, peer)| peer)
    }

    #[inline]
    fn enter(&mut self, peer: Peer) {
        let seat = self.seats[usize::from(peer)];
        // Weyl's sequence: cheap, the same every time, and even over any stretch.
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let draw = (self.draws ^ (self.draws >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11;
        let blur = (seat.share - seat.load - self.sharp).clamp(0.0, self.blur)
            * draw as f64
            * (1.0 / (1u64 << 53) as f64);
        let entry = Entry::new((seat.load + blur).max(0.0) * seat.inverse, seat.leaf);
        self.zones[usize::from(seat.zone)].set(seat.leaf, entry);
    }
}

/// The most peers that one search passes by: those of the shard's own nodes, and a few with several disks.
const PASSED_MAX: usize = 8;

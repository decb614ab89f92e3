//! How much each peer carries, how much it may, and which moves make that better.
//!
//! Each peer has bounds around its share. The measure that every move lowers is, first, how far all peers together are out
//! of their bounds, and second the sum of load²/capacity, which is the lower the more even the loads are. Both are whole
//! numbers of weight or compared as such, so there is no rounding in which moves could go round in circles.

use super::peers::Peer;

/// Which moves a pass makes. In this order, moves that serve two peers at once come before those that serve one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    /// From a peer above its bounds to one below.
    Exchange,
    /// From a peer above its bounds to one that has room.
    Shed,
    /// From a peer that can spare it to one below its bounds.
    Fill,
    /// Whatever else lowers the measure, from a peer above its bounds or to one below.
    Improve,
}

impl Pass {
    pub(super) const ALL: [Pass; 4] = [Pass::Exchange, Pass::Shed, Pass::Fill, Pass::Improve];
}

#[derive(Clone, Copy, Default)]
struct Load {
    load: u64,
    least: u64,
    most: u64,
    capacity: u64,
    /// 1 / capacity.
    inverse: f64,
}

impl Load {
    /// How far out of its bounds the peer would be with this load.
    fn outside(&self, load: u64) -> u64 {
        load.saturating_sub(self.most) + self.least.saturating_sub(load)
    }
}

/// The loads of all peers. Only those with bounds, the live ones, take part in levelling.
pub(super) struct Level {
    loads: Vec<Load>,
    above: usize,
    below: usize,
}

impl Level {
    pub(super) fn new(loads: impl Iterator<Item = u64>) -> Level {
        let loads = loads.map(|load| Load { load, most: u64::MAX, ..Load::default() });
        Level { loads: loads.collect(), above: 0, below: 0 }
    }

    pub(super) fn load(&self, peer: Peer) -> u64 {
        self.loads[usize::from(peer)].load
    }

    /// The load in proportion to the capacity. For choosing between peers only.
    pub(super) fn ratio_with(&self, peer: Peer, weight: u64) -> f64 {
        let load = &self.loads[usize::from(peer)];
        (load.load + weight) as f64 * load.inverse
    }

    pub(super) fn set_capacity(&mut self, peer: Peer, capacity: u64) {
        let load = &mut self.loads[usize::from(peer)];
        load.capacity = capacity;
        load.inverse = 1.0 / capacity.max(1) as f64;
    }

    /// Bounds a live peer to its share, give or take the threshold, and at least to the whole numbers beside it.
    pub(super) fn bound(&mut self, peer: Peer, share: f64, threshold_percent: u32) {
        let slack = share * f64::from(threshold_percent) / 100.0;
        // Shares are quotients of whole numbers; one that is whole must not become its neighbour by a rounding error.
        let (floor, ceil) = ((share + ROUNDING).floor(), (share - ROUNDING).ceil());
        let load = &mut self.loads[usize::from(peer)];
        load.most = ceil.max((share + slack).floor()) as u64;
        load.least = floor.min((share - slack).ceil().max(0.0)) as u64;
        self.above += usize::from(load.load > load.most);
        self.below += usize::from(load.load < load.least);
    }

    pub(super) fn add(&mut self, peer: Peer, weight: u64) {
        self.change(peer, |load| load + weight);
    }

    pub(super) fn remove(&mut self, peer: Peer, weight: u64) {
        self.change(peer, |load| load.saturating_sub(weight));
    }

    fn change(&mut self, peer: Peer, to: impl FnOnce(u64) -> u64) {
        let load = &mut self.loads[usize::from(peer)];
        let after = to(load.load);
        self.above = self.above + usize::from(after > load.most) - usize::from(load.load > load.most);
        self.below = self.below + usize::from(after < load.least) - usize::from(load.load < load.least);
        load.load = after;
    }

    pub(super) fn is_above(&self, peer: Peer) -> bool {
        let load = &self.loads[usize::from(peer)];
        load.load > load.most
    }

    pub(super) fn is_below(&self, peer: Peer) -> bool {
        let load = &self.loads[usize::from(peer)];
        load.load < load.least
    }

    /// Whether the weight could go without the peer falling below its bounds.
    pub(super) fn can_spare(&self, peer: Peer, weight: u64) -> bool {
        let load = &self.loads[usize::from(peer)];
        load.load >= load.least.saturating_add(weight)
    }

    /// Whether the weight could come without the peer rising above its bounds.
    pub(super) fn has_room(&self, peer: Peer, weight: u64) -> bool {
        let load = &self.loads[usize::from(peer)];
        load.load.saturating_add(weight) <= load.most
    }

    /// Whether everybody is within bounds.
    pub(super) fn is_level(&self) -> bool {
        self.above == 0 && self.below == 0
    }

    /// Whether there is anybody for whom this pass is made.
    pub(super) fn needs(&self, pass: Pass) -> bool {
        match pass {
            Pass::Exchange => self.above > 0 && self.below > 0,
            Pass::Shed => self.above > 0,
            Pass::Fill => self.below > 0,
            Pass::Improve => !self.is_level(),
        }
    }

    /// Whether this pass may take such a weight from the peer at all.
    pub(super) fn may_give(&self, pass: Pass, from: Peer, weight: u64) -> bool {
        match pass {
            Pass::Exchange | Pass::Shed => self.is_above(from) && self.can_spare(from, weight),
            Pass::Fill => self.can_spare(from, weight),
            Pass::Improve => self.below > 0 || self.is_above(from),
        }
    }

    /// Whether this pass makes the move, given that it may take the weight from there.
    pub(super) fn may_move(&self, pass: Pass, from: Peer, to: Peer, weight: u64) -> bool {
        match pass {
            Pass::Exchange | Pass::Fill => self.is_below(to) && self.has_room(to, weight),
            Pass::Shed => self.has_room(to, weight),
            Pass::Improve => (self.is_above(from) || self.is_below(to)) && self.improves(from, to, weight),
        }
    }

    /// Whether the move lowers the measure.
    fn improves(&self, from: Peer, to: Peer, weight: u64) -> bool {
        let (giver, taker) = (&self.loads[usize::from(from)], &self.loads[usize::from(to)]);
        let before = giver.outside(giver.load) + taker.outside(taker.load);
        let after = giver.outside(giver.load.saturating_sub(weight)) + taker.outside(taker.load + weight);
        let falls = |load: &Load| u128::from((2 * load.load).saturating_sub(weight));
        let rises = |load: &Load| u128::from(2 * load.load + weight);
        let evens = || falls(giver) * u128::from(taker.capacity) > rises(taker) * u128::from(giver.capacity);
        after < before || (after == before && evens())
    }

    /// How far the peer would be out of its bounds if its load changed by what comes and what goes.
    pub(super) fn outside_after(&self, peer: Peer, comes: u64, goes: u64) -> u64 {
        let load = &self.loads[usize::from(peer)];
        load.outside((load.load + comes).saturating_sub(goes))
    }
}

/// Far below one weight in the largest total, far above the error of the few divisions behind a share.
const ROUNDING: f64 = 1e-6;

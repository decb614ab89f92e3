//! Moves replicas from nodes that hold more than their share to nodes that hold less.

use super::draft::Draft;
use super::level::Pass;
use super::peers::Peer;
use super::{shares, spread};

/// How many rounds of all passes a plan makes at most. Each lowers the measure, and few find anything after the second; the
/// bound is for the leader's time. What is left, the next plan does.
const ROUNDS_MAX: usize = 16;

/// Which replicas a pass may move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those that this plan has placed itself: nothing else moves if they go elsewhere.
    Placed,
    /// Those of other nodes than the owner, and never so many of a shard that no write quorum of it would have the log.
    Gentle,
    /// Any.
    Full,
}

pub(super) fn level_replicas(draft: &mut Draft<'_>, wanted: usize, threshold_percent: u32) {
    let total = draft.peers.live().iter().map(|peer| draft.held.load(*peer)).sum();
    let shares = shares::of_replicas(draft.peers, total, draft.weights.total(), wanted);
    for (peer, share) in draft.peers.live().iter().zip(shares) {
        draft.held.bound(*peer, share, threshold_percent);
    }
    if draft.held.is_level() {
        return;
    }
    for pass in Pass::ALL {
        run(draft, &draft.edited(), Reach::Placed, pass);
    }
    if draft.held.is_level() {
        return;
    }
    let shards = draft.weights.heaviest_first();
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for pass in Pass::ALL {
            for reach in [Reach::Gentle, Reach::Full] {
                moved |= run(draft, &shards, reach, pass);
            }
        }
        if !moved {
            return;
        }
    }
}

/// Returns whether anything has moved.
fn run(draft: &mut Draft<'_>, shards: &[u32], reach: Reach, pass: Pass) -> bool {
    let mut moved = false;
    for shard in shards.iter().copied() {
        if !draft.held.needs(pass) {
            return moved;
        }
        if (draft.is_urgent(shard) && reach != Reach::Placed) || !draft.may_move(&[shard]) {
            continue;
        }
        let best = best_move(draft, shard, reach, pass);
        if let Some((from, to)) = best.filter(|_| draft.can_recover(shard)) {
            draft.move_replica(shard, from, to);
            moved = true;
        }
    }
    moved
}

fn best_move(draft: &Draft<'_>, shard: u32, reach: Reach, pass: Pass) -> Option<(Peer, Peer)> {
    let (peers, held) = (draft.peers, &draft.held);
    let weight = draft.weights.of(shard);
    let placement = draft.read(shard);
    let set = placement.set();
    let committed = draft.committed(shard);
    if reach == Reach::Gentle && draft.fresh(shard) >= fresh_max(set.len()) {
        return None;
    }
    let mut best: Option<(f64, Peer, Peer)> = None;
    for from in set.iter().copied() {
        let reached = match reach {
            Reach::Placed => !committed.has(from),
            Reach::Gentle => from != placement.owner || set.len() == 1,
            Reach::Full => true,
        };
        if !reached || !peers.is_live(from) || !held.may_give(pass, from, weight) {
            continue;
        }
        for to in peers.live().iter().copied() {
            let ratio = held.ratio_with(to, weight);
            let better = best.is_none_or(|(least, _, _)| ratio < least);
            if better
                && held.may_move(pass, from, to, weight)
                && !peers.meets(to, set)
                && peers.keeps_owner(set, from, to)
                && spread::gain(peers, set, from, to) >= 0
            {
                best = Some((ratio, from, to));
            }
        }
    }
    best.map(|(_, from, to)| (from, to))
}

/// How many replicas of so many may be new at once while the others still are a write quorum; one in any case.
fn fresh_max(replicas: usize) -> usize {
    replicas.saturating_sub(replicas / 2 + 1).max(1)
}

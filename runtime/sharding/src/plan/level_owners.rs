//! Hands ownership from nodes that own more than their share to other replicas of the same shards.

use super::draft::Draft;
use super::level::Pass;
use super::peers::{NOBODY, Peer};
use super::shares;

/// As for replicas: a bound for the leader's time.
const ROUNDS_MAX: usize = 16;

/// Whom a pass may make the owner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Replicas of the committed map.
    WithLog,
    /// Any replica, where the owner of now answers.
    Any,
}

pub(super) fn level_owners(draft: &mut Draft<'_>, threshold_percent: u32) {
    let total = draft.peers.owners().iter().map(|peer| draft.owned.load(*peer)).sum();
    let shares = shares::of_owners(draft.peers, total);
    for (peer, share) in draft.peers.owners().iter().zip(shares) {
        draft.owned.bound(*peer, share, threshold_percent);
    }
    if draft.owned.is_level() {
        return;
    }
    // Shards that change anyway come first, so that as few others as possible pause.
    rounds(draft, &draft.edited());
    if draft.owned.is_level() {
        return;
    }
    let shards = draft.weights.heaviest_first();
    rounds(draft, &shards);
    while hand_round(draft, &shards) {
        rounds(draft, &shards);
    }
}

/// Makes all passes over these shards until none finds anything.
fn rounds(draft: &mut Draft<'_>, shards: &[u32]) {
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for reach in [Reach::WithLog, Reach::Any] {
            for pass in Pass::ALL {
                moved |= run(draft, shards, reach, pass);
            }
        }
        if !moved {
            return;
        }
    }
}

fn run(draft: &mut Draft<'_>, shards: &[u32], reach: Reach, pass: Pass) -> bool {
    let mut moved = false;
    for shard in shards.iter().copied() {
        if !draft.owned.needs(pass) {
            return moved;
        }
        let placement = draft.read(shard);
        let (from, weight) = (placement.owner, draft.weights.of(shard));
        if from == NOBODY || !draft.peers.may_own(from) || !draft.owned.may_give(pass, from, weight) {
            continue;
        }
        let wanted = |to: &Peer| *to != from && draft.owned.may_move(pass, from, *to, weight);
        let takers =
            placement.set().iter().copied().filter(wanted).filter(|to| may_own(draft, shard, *to, reach));
        if let Some(to) = draft.least_owning(takers).filter(|_| may_hand_over(draft, shard)) {
            hand_over(draft, shard, to);
            moved = true;
        }
    }
    moved
}

/// Whether the replica could own its shard.
fn may_own(draft: &Draft<'_>, shard: u32, peer: Peer, reach: Reach) -> bool {
    if !draft.peers.may_own(peer) {
        return false;
    }
    let committed = draft.committed(shard);
    let with_log = committed.has(peer) || committed.set().is_empty();
    with_log || (reach == Reach::Any && !draft.is_urgent(shard))
}

fn may_hand_over(draft: &Draft<'_>, shard: u32) -> bool {
    draft.may_move(&[shard]) && draft.can_recover(shard)
}

fn hand_over(draft: &mut Draft<'_>, shard: u32, to: Peer) {
    let before = draft.read(shard);
    let mut after = before;
    after.owner = to;
    draft.write(shard, before, after);
}

/// Where no replica of a full node's shards has room, one of them may hand over in its turn to one that has. Finds such chains,
/// shortest first, until there are none; returns whether there was one.
fn hand_round(draft: &mut Draft<'_>, shards: &[u32]) -> bool {
    let mut moved = false;
    while !draft.owned.is_level() {
        match chain(draft, shards) {
            Some(chain) => chain.into_iter().for_each(|(shard, to)| hand_over(draft, shard, to)),
            None => break,
        }
        moved = true;
    }
    moved
}

/// How a search came to a peer: by handing it this shard, from that one.
#[derive(Clone, Copy)]
struct Step {
    shard: u32,
    from: Peer,
}

/// Searches breadth first from all full nodes for one with room, or from all that can spare something for one below its bounds.
fn chain(draft: &Draft<'_>, shards: &[u32]) -> Option<Vec<(u32, Peer)>> {
    let owned_by = owned_by(draft, shards);
    let owners = draft.peers.owners();
    let full: Vec<Peer> = owners.iter().copied().filter(|peer| draft.owned.is_above(*peer)).collect();
    let found = search(draft, &owned_by, &full, |_| true);
    found.or_else(|| {
        let spare = owners.iter().copied().filter(|peer| draft.owned.can_spare(*peer, 1)).collect::<Vec<_>>();
        search(draft, &owned_by, &spare, |to| draft.owned.is_below(to))
    })
}

fn owned_by(draft: &Draft<'_>, shards: &[u32]) -> Vec<Vec<u32>> {
    let mut owned_by: Vec<Vec<u32>> = vec![Vec::new(); draft.peers.len()];
    for shard in shards.iter().copied() {
        if let Some(owned) = owned_by.get_mut(usize::from(draft.read(shard).owner)) {
            owned.push(shard);
        }
    }
    owned_by
}

fn search(
    draft: &Draft<'_>,
    owned_by: &[Vec<u32>],
    starts: &[Peer],
    ends: impl Fn(Peer) -> bool,
) -> Option<Vec<(u32, Peer)>> {
    let mut steps: Vec<Option<Step>> = vec![None; draft.peers.len()];
    let mut seen = vec![false; draft.peers.len()];
    starts.iter().for_each(|peer| seen[usize::from(*peer)] = true);
    let mut queue = starts.to_vec();
    let mut next = 0;
    while let Some(from) = queue.get(next).copied() {
        next += 1;
        for shard in owned_by[usize::from(from)].iter().copied() {
            let placement = draft.read(shard);
            if !may_hand_over(draft, shard) {
                continue;
            }
            for to in placement.set().iter().copied() {
                if seen[usize::from(to)] || !may_own(draft, shard, to, Reach::Any) {
                    continue;
                }
                seen[usize::from(to)] = true;
                steps[usize::from(to)] = Some(Step { shard, from });
                if ends(to) && draft.owned.has_room(to, draft.weights.of(shard)) {
                    let chain = walk_back(&steps, to);
                    if betters(draft, &chain) {
                        return Some(chain);
                    }
                }
                queue.push(to);
            }
        }
    }
    None
}

fn walk_back(steps: &[Option<Step>], end: Peer) -> Vec<(u32, Peer)> {
    let mut chain = Vec::new();
    let mut at = end;
    while let Some(step) = steps[usize::from(at)] {
        chain.push((step.shard, at));
        at = step.from;
    }
    chain.reverse();
    chain
}

/// Whether the peers of the chain are less out of their bounds after it than before.
fn betters(draft: &Draft<'_>, chain: &[(u32, Peer)]) -> bool {
    let weight = |place: usize| chain.get(place).map_or(0, |(shard, _)| draft.weights.of(*shard));
    let Some((first, _)) = chain.first() else { return false };
    let shards: Vec<u32> = chain.iter().map(|(shard, _)| *shard).collect();
    if !draft.may_move(&shards) {
        return false;
    }
    let giver = draft.read(*first).owner;
    let mut before = draft.owned.outside_after(giver, 0, 0);
    let mut after = draft.owned.outside_after(giver, 0, weight(0));
    for (place, (_, peer)) in chain.iter().enumerate() {
        before += draft.owned.outside_after(*peer, 0, 0);
        after += draft.owned.outside_after(*peer, weight(place), weight(place + 1));
    }
    after < before
}

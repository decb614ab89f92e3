//! Makes lost replicas anew, and replaces owners that do not answer.

use super::draft::{Draft, Placement};
use super::peers::{NOBODY, Peer};
use super::picker::Picker;
use super::{Standing, shares};

/// Gives every shard the wanted replicas and an owner, as far as the members allow.
pub(super) fn repair(draft: &mut Draft<'_>, wanted: usize) {
    let whole = wanted.min(draft.peers.live_nodes());
    let torn: Vec<u32> = (0..draft.shard_count()).filter(|shard| !draft.is_whole(*shard, whole)).collect();
    if torn.is_empty() {
        return;
    }
    let torn = match draft.weights.is_uniform() {
        true => torn,
        false => draft
            .weights
            .heaviest_first()
            .into_iter()
            .filter(|shard| !draft.is_whole(*shard, whole))
            .collect(),
    };
    let once = draft.weights.total();
    let shares = shares::of_replicas(draft.peers, once.saturating_mul(wanted as u64), once, wanted);
    let mean = once as f64 / f64::from(draft.shard_count().max(1));
    let mut picker = Picker::new(draft.peers, &shares, |peer| draft.held.load(peer), mean);
    for shard in torn {
        let before = draft.committed(shard);
        let after = repaired(draft, &mut picker, shard, before, wanted);
        if after != before {
            draft.write(shard, before, after);
            if before.owner != NOBODY && !draft.peers.answers(before.owner) {
                draft.set_urgent(shard);
            }
        }
    }
}

fn repaired(
    draft: &Draft<'_>,
    picker: &mut Picker<'_>,
    shard: u32,
    before: Placement,
    wanted: usize,
) -> Placement {
    if before.set().is_empty() {
        return placed(draft, picker, draft.weights.of(shard), wanted);
    }
    let mut after = before;
    if draft.can_recover(shard) {
        after = with_replicas(draft, picker, draft.weights.of(shard), before, wanted);
    }
    after.owner = owner(draft, before, after);
    after
}

/// A shard's first replicas and owner.
fn placed(draft: &Draft<'_>, picker: &mut Picker<'_>, weight: u64, wanted: usize) -> Placement {
    let mut after = Placement::of(NOBODY);
    for _ in 0..wanted {
        let Some(peer) = picker.take(after.set(), weight) else { break };
        after.add(peer);
    }
    let mut after = with_an_owner(draft, picker, weight, after);
    after.owner = draft.least_owning(after.set().iter().copied()).unwrap_or(NOBODY);
    after
}

fn with_replicas(
    draft: &Draft<'_>,
    picker: &mut Picker<'_>,
    weight: u64,
    before: Placement,
    wanted: usize,
) -> Placement {
    let peers = draft.peers;
    let mut after = Placement::of(before.owner);
    let stays = |peer: &&Peer| keeps(peers.standing(**peer));
    let mut kept = before.set().iter().filter(stays).count();
    let mut dropped = Vec::new();
    while kept > wanted {
        let Some(peer) = most_dispensable(draft, before, &dropped) else { break };
        picker.release(peer, weight);
        dropped.push(peer);
        kept -= 1;
    }
    for peer in before.set().iter().filter(stays).filter(|peer| !dropped.contains(peer)) {
        after.add(*peer);
    }
    while after.set().len() < wanted {
        match picker.take(after.set(), weight) {
            Some(peer) => after.add(peer),
            None => break,
        }
    }
    let mut after = with_an_owner(draft, picker, weight, after);
    // A shard has as many replicas as there are nodes left; but one that is silent is not gone: it cannot stand in for one that leaves, nor be done
    // without.
    let writes = |peer: &Peer| peers.answers(*peer) && peers.standing(*peer) != Standing::Full;
    let all_answer = after.set().iter().all(writes) && !peers.awaits_others(after.set());
    if !after.set().is_empty() && all_answer {
        return after;
    }
    let leaving = before.set().iter().filter(|peer| peers.standing(**peer) == Standing::Draining);
    for peer in leaving {
        if after.set().len() < wanted && !peers.meets(*peer, after.set()) {
            after.add(*peer);
        }
    }
    after
}

/// The same with a replica that may own the shard: where there is none, one that is kept out makes room for it; not the owner, if another can.
fn with_an_owner(draft: &Draft<'_>, picker: &mut Picker<'_>, weight: u64, placement: Placement) -> Placement {
    let peers = draft.peers;
    let set = placement.set();
    if set.iter().any(|peer| peers.may_own(*peer)) {
        return placement;
    }
    let kept_out = set.iter().copied().filter(|peer| {
        matches!(peers.standing(*peer), Standing::Unfit | Standing::Quarantined | Standing::Full)
    });
    let Some(from) = kept_out.max_by_key(|peer| (*peer != placement.owner, *peer)) else { return placement };
    let Some(to) = picker.take_owner(set, weight) else { return placement };
    picker.release(from, weight);
    let mut after = placement;
    after.replace(from, to);
    after
}

/// Whether a node keeps the replicas that it has.
fn keeps(standing: Standing) -> bool {
    !matches!(standing, Standing::Draining | Standing::Gone)
}

/// The replica to do without where there are too many: a silent, full or quarantined one, else one that shares its zone, else the fullest.
fn most_dispensable(draft: &Draft<'_>, placement: Placement, dropped: &[Peer]) -> Option<Peer> {
    let peers = draft.peers;
    let stays = |peer: &Peer| keeps(peers.standing(*peer));
    let set: Vec<Peer> =
        placement.set().iter().copied().filter(stays).filter(|peer| !dropped.contains(peer)).collect();
    let rank = |peer: &Peer| {
        let silent = !peers.is_live(*peer);
        (silent, peers.in_zone(peers.zone(*peer), &set), draft.held.ratio_with(*peer, 0), *peer)
    };
    let able = set.iter().filter(|peer| peers.may_own(**peer)).count();
    let candidates = set.iter().copied().filter(|peer| match peers.may_own(*peer) {
        true => *peer != placement.owner && able > 1,
        false => true,
    });
    candidates.max_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3))
    })
}

/// Who is to own the shard: who does, if it may; else one that has the log; else one that will. If none of them may, one that answers, or
/// else nothing changes.
fn owner(draft: &Draft<'_>, before: Placement, after: Placement) -> Peer {
    let peers = draft.peers;
    if before.owner != NOBODY && peers.may_own(before.owner) && after.has(before.owner) {
        return before.owner;
    }
    let with_log = after.set().iter().copied().filter(|peer| before.has(*peer));
    draft
        .least_owning(with_log)
        .or_else(|| draft.least_owning(after.set().iter().copied()))
        .or_else(|| {
            let leaving = after.set().iter().copied().filter(|peer| peers.answers(*peer));
            leaving.min_by_key(|peer| (*peer != before.owner, *peer))
        })
        .unwrap_or(before.owner)
}

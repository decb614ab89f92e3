//! Moves replicas of one shard apart that share a zone without need.

use super::draft::{Draft, Placement};
use super::peers::{Peer, Peers};

/// Moves replicas into emptier zones, one at a time, until every shard is spread as evenly as the zones allow.
pub(super) fn spread(draft: &mut Draft<'_>) {
    if draft.peers.zone_count() < 2 {
        return;
    }
    for shard in 0..draft.shard_count() {
        if draft.is_urgent(shard) {
            continue;
        }
        while let Some((from, to)) = apart(draft, draft.read(shard)) {
            if !draft.may_move(&[shard]) || !draft.can_recover(shard) {
                break;
            }
            draft.move_replica(shard, from, to);
        }
    }
}

/// Returns by how many more replicas `from`'s zone has than `to`'s would have, were the one moved to the other: above 0 the move
/// spreads the shard, at 0 it keeps it as spread as it is.
pub(super) fn gain(peers: &Peers, set: &[Peer], from: Peer, to: Peer) -> isize {
    if peers.zone_count() < 2 || peers.zone(from) == peers.zone(to) {
        return 0;
    }
    peers.in_zone(peers.zone(from), set) as isize - peers.in_zone(peers.zone(to), set) as isize - 1
}

/// The replica and the place for it that spread the shard most; not the owner's if another does as well.
fn apart(draft: &Draft<'_>, placement: Placement) -> Option<(Peer, Peer)> {
    let peers = draft.peers;
    let set = placement.set();
    let crowded = |peer: &&Peer| peers.is_live(**peer) && peers.in_zone(peers.zone(**peer), set) > 1;
    let moves = set.iter().filter(crowded).flat_map(|from| {
        let takers = peers.live().iter().filter(|to| !peers.meets(**to, set));
        let moves = takers.map(|to| (*from, *to)).filter(|(from, to)| gain(peers, set, *from, *to) > 0);
        moves.filter(|(from, to)| peers.keeps_owner(set, *from, *to))
    });
    moves.min_by(|a, b| {
        let gains = gain(peers, set, b.0, b.1).cmp(&gain(peers, set, a.0, a.1));
        let owners = (a.0 == placement.owner).cmp(&(b.0 == placement.owner));
        let loads = draft.held.ratio_with(a.1, 1).total_cmp(&draft.held.ratio_with(b.1, 1));
        gains.then(owners).then(loads).then(a.cmp(b))
    })
}

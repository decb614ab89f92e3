//! What each node ought to carry: shares of a total in proportion to capacity, as far as the rules of placement allow.

use super::peers::Peers;

/// One of those that share: how much it weighs in the division, and the most it can take.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) capacity: u64,
    pub(super) most: u64,
}

/// Divides the total in proportion to capacity; what somebody cannot take goes to the others in the same proportion.
/// What nobody can take is left over.
pub(super) fn divide(total: f64, claims: &[Claim]) -> Vec<f64> {
    let mut shares = vec![0.0; claims.len()];
    let mut open: Vec<usize> = (0..claims.len()).collect();
    let mut left = total;
    loop {
        let capacity: u64 = open.iter().map(|at| claims[*at].capacity).sum();
        if capacity == 0 {
            return shares;
        }
        let unit = left / capacity as f64;
        let before = open.len();
        open.retain(|at| {
            let claim = claims[*at];
            let full = claim.capacity as f64 * unit >= claim.most as f64;
            if full {
                shares[*at] = claim.most as f64;
                left -= claim.most as f64;
            }
            !full
        });
        if open.len() == before {
            open.iter().for_each(|at| shares[*at] = claims[*at].capacity as f64 * unit);
            return shares;
        }
    }
}

/// Returns the share of each peer that may own shards in the owners' weight.
pub(super) fn of_owners(peers: &Peers, total: u64) -> Vec<f64> {
    let claims: Vec<Claim> =
        peers.owners().iter().map(|peer| Claim { capacity: peers.capacity(*peer), most: u64::MAX }).collect();
    divide(total as f64, &claims)
}

/// Returns the share of each live peer in the replicas' weight, where the shards together weigh `once`: a node has each
/// shard at most once, and a zone as often as an even spread of `wanted` replicas over the zones puts there.
pub(super) fn of_replicas(peers: &Peers, total: u64, once: u64, wanted: usize) -> Vec<f64> {
    let mut zones: Vec<Vec<usize>> = vec![Vec::new(); peers.zone_count()];
    for (at, peer) in peers.live().iter().enumerate() {
        zones[peers.zone(*peer)].push(at);
    }
    let claim = |at: &usize| Claim { capacity: peers.capacity(peers.live()[*at]), most: once };
    let level = zone_level(zones.iter().map(Vec::len), wanted);
    let zone_claims: Vec<Claim> = zones
        .iter()
        .map(|nodes| Claim {
            capacity: nodes.iter().map(|at| claim(at).capacity).sum(),
            most: once.saturating_mul(nodes.len().min(level) as u64),
        })
        .collect();
    let mut shares = vec![0.0; peers.live().len()];
    for (zone_share, nodes) in divide(total as f64, &zone_claims).into_iter().zip(&zones) {
        let claims: Vec<Claim> = nodes.iter().map(claim).collect();
        for (share, at) in divide(zone_share, &claims).into_iter().zip(nodes) {
            shares[*at] = share;
        }
    }
    shares
}

/// How many replicas of one shard the fullest zone has, when they are spread as evenly as the zones' sizes allow.
fn zone_level(sizes: impl Iterator<Item = usize> + Clone, wanted: usize) -> usize {
    (1..=wanted)
        .find(|level| sizes.clone().map(|size| size.min(*level)).sum::<usize>() >= wanted)
        .unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_cannot_take_goes_to_the_others() {
        let claim = |capacity, most| Claim { capacity, most };
        let shares = divide(30.0, &[claim(1, 100), claim(1, 100), claim(8, 10)]);
        assert_eq!(shares, [10.0, 10.0, 10.0]);
        assert_eq!(divide(30.0, &[claim(1, 5), claim(1, 5)]), [5.0, 5.0]);
        assert_eq!(divide(30.0, &[]), [0.0; 0]);
    }

    #[test]
    fn three_replicas_stand_twice_in_the_fuller_of_two_zones() {
        assert_eq!(zone_level([5, 5].into_iter(), 3), 2);
        assert_eq!(zone_level([5, 5, 5].into_iter(), 3), 1);
        assert_eq!(zone_level([1, 5].into_iter(), 4), 3);
        assert_eq!(zone_level([1].into_iter(), 3), 3);
    }
}

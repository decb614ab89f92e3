//! Which shards try a new version of a workload first: a share of them, drawn by the workload and the version, and spread over the owners in
//! proportion to what they own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ShardId};
use crate::key::hash;
use crate::map::ShardMap;

/// Millionths in a percent.
const PER_PERCENT: f64 = 10_000.0;
const WHOLE: u32 = 1_000_000;

/// A part of all shards: more than nothing, less than all. Reads and writes as people do: `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    millionths: u32,
}

/// The text names no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no share of the shards: give a percentage above 0 and below 100, such as 5% or 0.5%")]
pub struct BadShare {
    text: String,
}

impl Share {
    /// How many shards that is, of so many: to the nearest, but one at least, and not all where there are two.
    pub fn of(self, shards: u32) -> u32 {
        let nearest =
            (u64::from(shards) * u64::from(self.millionths) + u64::from(WHOLE / 2)) / u64::from(WHOLE);
        let most = shards.saturating_sub(1).max(1);
        u32::try_from(nearest).unwrap_or(most).clamp(1, most)
    }
}

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Share, BadShare> {
        let bad = || BadShare { text: text.to_owned() };
        let number = text.strip_suffix('%').unwrap_or(text);
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent: f64 = number.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        let millionths = (percent * PER_PERCENT).round();
        if millionths < 1.0 || millionths >= f64::from(WHOLE) {
            return Err(bad());
        }
        Ok(Share { millionths: millionths as u32 })
    }
}

impl TryFrom<String> for Share {
    type Error = BadShare;

    fn try_from(text: String) -> Result<Share, BadShare> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> String {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.millionths) / PER_PERCENT)
    }
}

/// Chooses the shards, in ascending order: the same for the same map, share, workload and version.
pub fn choose(map: &ShardMap, share: Share, workload: &str, version: u64) -> Vec<ShardId> {
    let mut by_owner: BTreeMap<Option<NodeId>, Vec<(u64, ShardId)>> = BTreeMap::new();
    let mut drawn_by = [workload.as_bytes(), &version.to_le_bytes()].concat();
    let fixed = drawn_by.len();
    for shard in map.shards() {
        drawn_by.truncate(fixed);
        drawn_by.extend(shard.0.to_le_bytes());
        by_owner.entry(map.owner(shard)).or_default().push((hash(&drawn_by), shard));
    }
    let mut order: Vec<(u64, u64, ShardId)> = Vec::with_capacity(map.shards().len());
    for shards in by_owner.values_mut() {
        shards.sort_unstable();
        let count = shards.len() as u64;
        for (rank, (drawn, shard)) in (0_u64..).zip(shards.iter()) {
            // How far down the owner's own list it stands, in parts of 2^32: the first part of all lists together takes as much of each.
            order.push((((2 * rank + 1) << 31) / count, *drawn, *shard));
        }
    }
    order.sort_unstable();
    let wanted = share.of(map.shard_count()) as usize;
    let mut chosen: Vec<ShardId> = order.into_iter().take(wanted).map(|(_, _, shard)| shard).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DiskId, Epoch, Replica};

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    /// Shard s is owned by node 1, 2 or 3: half of them by the first.
    fn map(shards: u32) -> ShardMap {
        let mut map = ShardMap::new(shards);
        for shard in 0..shards {
            let owner = NodeId([1, 2, 1, 3][shard as usize % 4]);
            let replica = Replica { node: owner, disk: DiskId(1) };
            map.assign(ShardId(shard), Epoch(1), Some(owner), &[replica]).unwrap();
        }
        map
    }

    #[test]
    fn a_share_reads_as_a_percentage_and_back() {
        for (text, shown, of_1024) in
            [("5%", "5%", 51), ("5", "5%", 51), ("0.5%", "0.5%", 5), ("99.99%", "99.99%", 1023)]
        {
            assert_eq!((share(text).to_string().as_str(), share(text).of(1024)), (shown, of_1024));
        }
        for bad in ["", "%", "0%", "100%", "-5%", "5%%", "nan", "inf", "1e1", "0.00001%", "5 %"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_one_shard_at_least_and_leaves_one() {
        assert_eq!(share("0.01%").of(16), 1);
        assert_eq!(share("99%").of(16), 15);
        assert_eq!((share("99%").of(2), share("99%").of(1)), (1, 1));
    }

    #[test]
    fn each_owner_gives_in_proportion_to_what_it_owns() {
        let map = map(1024);
        let chosen = choose(&map, share("5%"), "w", 2);
        assert_eq!(chosen.len(), 51);
        assert!(chosen.is_sorted());
        let of = |node| chosen.iter().filter(|shard| map.owner(**shard) == Some(NodeId(node))).count();
        assert!((25..=26).contains(&of(1)) && (12..=13).contains(&of(2)) && (12..=13).contains(&of(3)));
    }

    #[test]
    fn another_version_tries_other_shards_and_the_same_one_the_same() {
        let map = map(1024);
        let chosen = |name, version| choose(&map, share("5%"), name, version);
        assert_eq!(chosen("w", 2), chosen("w", 2));
        assert_ne!(chosen("w", 2), chosen("w", 3));
        assert_ne!(chosen("w", 2), chosen("v", 2));
    }
}

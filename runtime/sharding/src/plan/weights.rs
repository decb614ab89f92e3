//! How heavy each shard is.

/// The largest weight that a shard may be given: sums over all shards of a cluster stay exact in the planner's arithmetic, 2^53.
pub const WEIGHT_MAX: u32 = 1_000_000_000;

/// The weights of all shards, none of them 0: a shard that does nothing is spread like any other, only last.
pub(super) struct Weights<'a> {
    given: &'a [u32],
    shard_count: u32,
    /// The weight of each shard, if it is the same for all.
    uniform: Option<u32>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(given: &'a [u32], shard_count: u32) -> Weights<'a> {
        let given = &given[..given.len().min(shard_count as usize)];
        let first = given.first().copied().unwrap_or(1).max(1);
        let all_given = given.len() == shard_count as usize;
        let same = given.iter().all(|weight| (*weight).max(1) == first) && (all_given || first == 1);
        Weights { given, shard_count, uniform: same.then_some(1) }
    }

    pub(super) fn of(&self, shard: u32) -> u64 {
        match self.uniform {
            Some(weight) => u64::from(weight),
            None => u64::from(self.given.get(shard as usize).copied().unwrap_or(1).max(1)),
        }
    }

    pub(super) fn is_uniform(&self) -> bool {
        self.uniform.is_some()
    }

    pub(super) fn total(&self) -> u64 {
        match self.uniform {
            Some(weight) => u64::from(weight) * u64::from(self.shard_count),
            None => (0..self.shard_count).map(|shard| self.of(shard)).sum(),
        }
    }

    /// All shards, the heaviest first: they are the hardest to place, and moving them takes the fewest moves.
    pub(super) fn heaviest_first(&self) -> Vec<u32> {
        let mut shards: Vec<u32> = (0..self.shard_count).collect();
        if !self.is_uniform() {
            shards.sort_by_key(|shard| std::cmp::Reverse(self.of(*shard)));
        }
        shards
    }
}

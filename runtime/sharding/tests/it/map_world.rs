//! A cluster as the planner sees it: members that come and go, and the map that its plans have made.

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone, plan};

pub(crate) struct World {
    pub(crate) map: ShardMap,
    pub(crate) members: Vec<Member>,
    pub(crate) weights: Vec<u32>,
    pub(crate) settings: PlanSettings,
    epoch: u64,
    named: u64,
}

impl World {
    pub(crate) fn new(shard_count: u32, replicas: u8) -> World {
        World {
            map: ShardMap::new(shard_count),
            members: Vec::new(),
            weights: Vec::new(),
            settings: PlanSettings { replicas, threshold_percent: 0, moves_max: None },
            epoch: 0,
            named: 0,
        }
    }

    /// A random-looking name that no other member has had.
    fn name(&mut self) -> u64 {
        self.named += 1;
        self.named.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
    }

    pub(crate) fn join(&mut self, capacity: u32, zone: u32) {
        let replica = Replica { node: NodeId(self.name()), disk: DiskId(self.name()) };
        self.members.push(Member { replica, capacity, zone: Zone(zone), standing: Standing::Live });
    }

    pub(crate) fn join_many(&mut self, count: usize) {
        (0..count).for_each(|_| self.join(1, 0));
    }

    pub(crate) fn set(&mut self, member: usize, standing: Standing) {
        self.members[member].standing = standing;
    }

    /// The node loses its disk and comes back with an empty one.
    pub(crate) fn wipe(&mut self, member: usize) {
        self.members[member].replica.disk = DiskId(self.name());
    }

    pub(crate) fn plan(&self) -> Vec<Change> {
        plan(&self.map, &self.members, &self.weights, &self.settings)
    }

    pub(crate) fn apply(&mut self, changes: &[Change]) {
        self.epoch += 1;
        for change in changes {
            assert_eq!(change.base, self.map.epoch(change.shard), "a change builds on what is committed");
            let epoch = Epoch(self.epoch);
            self.map.assign(change.shard, epoch, Some(change.owner), &change.replicas).unwrap();
        }
    }

    /// Plans and applies until there is nothing to do; returns all changes. Fails if that takes more rounds.
    pub(crate) fn settle(&mut self, rounds_max: usize) -> Vec<Change> {
        let mut all = Vec::new();
        for _ in 0..rounds_max {
            let changes = self.plan();
            self.apply(&changes);
            all.extend(changes);
        }
        let left = self.plan();
        assert!(left.is_empty(), "{} changes after {rounds_max} rounds: {:?}", left.len(), left.first());
        all
    }

    /// How a replica's holder stands for the planner: given up if no member has it.
    pub(crate) fn standing(&self, replica: Replica) -> Standing {
        let member = self.members.iter().find(|member| member.replica == replica);
        member.map_or(Standing::Gone, |member| self.standing_of(member))
    }

    fn standing_of(&self, member: &Member) -> Standing {
        let is = |standing: Standing| {
            self.members.iter().any(|member| member.standing == standing && member.capacity > 0)
        };
        match member.standing {
            Standing::Live | Standing::Unfit if member.capacity == 0 => Standing::Draining,
            Standing::Unfit if !is(Standing::Live) => Standing::Live,
            Standing::Quarantined if member.capacity > 0 && !is(Standing::Live) && !is(Standing::Unfit) => {
                Standing::Live
            }
            standing => standing,
        }
    }

    /// How many members take new replicas.
    pub(crate) fn takers(&self) -> usize {
        let takes = |standing| matches!(standing, Standing::Live | Standing::Unfit);
        self.members.iter().filter(|member| takes(self.standing(member.replica))).count()
    }

    pub(crate) fn live(&self) -> usize {
        self.members.iter().filter(|member| self.standing(member.replica) == Standing::Live).count()
    }

    /// Whether enough of a shard's replicas answer to learn all that was acknowledged.
    pub(crate) fn can_recover(&self, map: &ShardMap, shard: ShardId) -> bool {
        let answers = |replica| !matches!(self.standing(replica), Standing::Silent | Standing::Gone);
        let replicas = map.replicas(shard).len();
        map.replicas(shard).filter(|replica| answers(*replica)).count() >= replicas - replicas / 2
    }

    pub(crate) fn weight(&self, shard: ShardId) -> u64 {
        u64::from(self.weights.get(shard.index()).copied().unwrap_or(1).max(1))
    }

    /// The weight that each live member owns, and the weight of its replicas.
    pub(crate) fn loads(&self) -> Vec<(u64, u64)> {
        let live = self.members.iter().filter(|member| self.standing(member.replica) == Standing::Live);
        let load = |member: &Member| {
            let mut load = (0, 0);
            for shard in self.map.shards() {
                let weight = self.weight(shard);
                load.0 += if self.map.owner_replica(shard) == Some(member.replica) { weight } else { 0 };
                load.1 +=
                    if self.map.replicas(shard).any(|held| held == member.replica) { weight } else { 0 };
            }
            load
        };
        live.map(load).collect()
    }
}

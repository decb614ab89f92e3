//! What a leader does about nodes whose disks are full.

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Replica, ShardId, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone};
use shardloom_sharding::protocol::control::ShardControl;
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderCore, LeaderEvent, LeaderSettings};
use shardloom_sharding::protocol::messages::{FromLeader, Space, ToLeader};
use shardloom_sharding::protocol::timing::{Time, Timing};

const SHARDS: u32 = 6;
const NODES: [u64; 3] = [1, 2, 3];
const TERM: Term = Term(1);

fn replica(node: u64) -> Replica {
    Replica { node: NodeId(node), disk: DiskId(node) }
}

/// The members, of which these are in quarantine.
pub(crate) fn members(quarantined: &[u64]) -> Vec<Member> {
    let standing = |node| match quarantined.contains(&node) {
        true => Standing::Quarantined,
        false => Standing::Live,
    };
    let member =
        |node| Member { replica: replica(node), capacity: 1, zone: Zone(0), standing: standing(node) };
    NODES.map(member).to_vec()
}

/// A leader over shards that three nodes hold and share evenly, and its time.
pub(crate) struct World {
    pub(crate) core: LeaderCore,
    control: ShardControl,
    now: Time,
    renewals: u64,
}

impl World {
    pub(crate) fn new() -> World {
        let mut control = ShardControl::new(SHARDS);
        let owner = |shard: u32| NODES[shard as usize % NODES.len()];
        let changes: Vec<Change> = (0..SHARDS)
            .map(|shard| Change {
                shard: ShardId(shard),
                base: Epoch(0),
                owner: NodeId(owner(shard)),
                replicas: NODES.map(replica).into_iter().collect(),
            })
            .collect();
        control.apply_propose(5, &changes);
        let shards: Vec<ShardId> = (0..SHARDS).map(ShardId).collect();
        control.apply_commit(TERM, TERM, Epoch(5), &shards);
        let plan = PlanSettings { replicas: 3, threshold_percent: 10, moves_max: None };
        let settings = LeaderSettings { timing: Timing::DEFAULT, plan, moves_in_flight: 64 };
        let mut world =
            World { core: LeaderCore::new(settings), control, now: Time(1_000_000_000), renewals: 0 };
        let members = members(&[]);
        let elected = LeaderEvent::Elected { term: TERM, at: world.now };
        assert_eq!(asked_to_learn(&world.step(LeaderEvent::Members(members))), []);
        assert_eq!(asked_to_learn(&world.step(elected)), []);
        assert_eq!(asked_to_learn(&world.renew(&NODES)), [], "all is level");
        world
    }

    pub(crate) fn step(&mut self, event: LeaderEvent) -> Vec<LeaderCommand> {
        let mut commands = Vec::new();
        self.core.step(self.now, &self.control, event, &mut commands);
        commands
    }

    pub(crate) fn hear(&mut self, node: u64, message: ToLeader) -> Vec<LeaderCommand> {
        self.step(LeaderEvent::Message { from: NodeId(node), message })
    }

    pub(crate) fn renew(&mut self, nodes: &[u64]) -> Vec<LeaderCommand> {
        self.now = self.now + Timing::DEFAULT.renew_every;
        self.renewals += 1;
        let mut commands = Vec::new();
        for node in nodes {
            commands.extend(self.renew_in(*node, Boot(1)));
        }
        commands.extend(self.step(LeaderEvent::Tick));
        commands
    }

    /// One node renews in this boot.
    pub(crate) fn renew_in(&mut self, node: u64, boot: Boot) -> Vec<LeaderCommand> {
        self.hear(node, ToLeader::Renew { boot, disk: DiskId(node), number: self.renewals })
    }

    fn say(&mut self, node: u64, number: u64, space: Space) -> Vec<LeaderCommand> {
        let mut commands = self.hear(node, ToLeader::Space { boot: Boot(1), number, space });
        commands.extend(self.step(LeaderEvent::Tick));
        commands
    }
}

/// The shards that owners are asked to hand over, with those who are to have them.
pub(crate) fn asked_to_learn(commands: &[LeaderCommand]) -> Vec<(NodeId, ShardId, NodeId)> {
    let mut asked = Vec::new();
    for command in commands {
        if let LeaderCommand::Send { to, message: FromLeader::Learn { shards } } = command {
            asked.extend(shards.iter().map(|(at, learners)| (*to, at.shard, learners.owner)));
        }
    }
    asked
}

/// The owners that are proposed at once.
pub(crate) fn proposed(commands: &[LeaderCommand]) -> Vec<(ShardId, NodeId)> {
    let changes = commands.iter().filter_map(|command| match command {
        LeaderCommand::Propose { changes, .. } => Some(changes),
        _ => None,
    });
    changes.flatten().map(|change| (change.shard, change.owner)).collect()
}

#[test]
fn full_node_is_asked_to_hand_over_all_that_it_owns() {
    let mut world = World::new();
    let asked = asked_to_learn(&world.say(1, 1, Space::Full));
    assert_eq!(asked.iter().map(|(_, shard, _)| shard.0).collect::<Vec<_>>(), [0, 3], "{asked:?}");
    assert!(asked.iter().all(|(from, _, to)| *from == NodeId(1) && *to != NodeId(1)), "{asked:?}");
    assert!(world.core.is_full(NodeId(1)) && !world.core.is_full(NodeId(2)));
}

#[test]
fn word_that_comes_late_does_not_count() {
    let mut world = World::new();
    world.say(1, 9, Space::Ample);
    assert_eq!(asked_to_learn(&world.say(1, 8, Space::Full)), []);
    assert!(!world.core.is_full(NodeId(1)));
    // A new boot has said nothing yet.
    world.say(1, 10, Space::Full);
    world.hear(1, ToLeader::Renew { boot: Boot(2), disk: DiskId(1), number: 1 });
    assert!(!world.core.is_full(NodeId(1)));
}

#[test]
fn shards_of_a_dead_owner_go_to_a_full_node_only_if_no_other_has_them() {
    for (full, heirs) in [(&[2][..], &[3][..]), (&[2, 3], &[2, 3])] {
        let mut world = World::new();
        for node in full {
            world.say(*node, 1, Space::Full);
        }
        let mut changes = Vec::new();
        for _ in 0..8 {
            changes.extend(proposed(&world.renew(&[2, 3])));
        }
        let of_the_dead: Vec<NodeId> =
            changes.iter().filter(|(shard, _)| shard.0 % 3 == 0).map(|(_, owner)| *owner).collect();
        assert_eq!(of_the_dead.len(), 2, "{full:?} {changes:?}");
        assert!(of_the_dead.iter().all(|owner| heirs.contains(&owner.0)), "{full:?} {changes:?}");
    }
}

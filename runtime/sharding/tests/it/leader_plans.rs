//! What a leader plans when it is asked, what it carries out, and what it leaves alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Replica, ShardId, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Reason, Standing, Zone};
use shardloom_sharding::protocol::control::ShardControl;
use shardloom_sharding::protocol::leader::{
    ClusterSettings, End, FlapRule, LeaderCommand, LeaderCore, LeaderEvent, LeaderSettings, Levelling, Order,
    PlanAsk, PlanRefusal, Preview, Supposed,
};
use shardloom_sharding::protocol::messages::{FromLeader, ToLeader};
use shardloom_sharding::protocol::node::Changed;
use shardloom_sharding::protocol::timing::{Time, Timing};

const SHARDS: u32 = 24;
const TERM: Term = Term(1);
/// The settings that nobody has changed.
const USUAL: ClusterSettings = ClusterSettings {
    replicas: 3,
    moves_in_flight: 2,
    replica_grace: None,
    threshold_percent: 10,
    cool_down: Duration::from_secs(300),
    levelling: Levelling::On,
    flaps: FlapRule::DEFAULT,
};
const PAUSED: ClusterSettings = ClusterSettings { levelling: Levelling::Paused, ..USUAL };

fn replica(node: u64) -> Replica {
    Replica { node: NodeId(node), disk: DiskId(node) }
}

fn leader_core() -> LeaderCore {
    let plan = PlanSettings { replicas: 3, threshold_percent: 10, moves_max: None };
    LeaderCore::new(LeaderSettings { timing: Timing::DEFAULT, plan, moves_in_flight: 2 })
}

/// A leader, and a cluster in which all that it asks for happens at once.
struct World {
    core: LeaderCore,
    control: ShardControl,
    nodes: Vec<u64>,
    now: Time,
    epoch: u64,
    /// How often each shard has been committed anew.
    moved: BTreeMap<ShardId, u32>,
}

impl World {
    /// Nodes 1 to 4 hold and own everything evenly.
    fn new(settings: ClusterSettings) -> World {
        let mut world = World {
            core: leader_core(),
            control: ShardControl::new(SHARDS),
            nodes: Vec::new(),
            now: Time(1_000_000_000),
            epoch: 1,
            moved: BTreeMap::new(),
        };
        world.members(&[1, 2, 3, 4]);
        let elected = LeaderEvent::Elected { term: TERM, at: world.now };
        world.step(elected);
        world.step(LeaderEvent::Settings(settings));
        world.settle();
        assert!(
            world.control.committed().shards().all(|shard| world.control.committed().owner(shard).is_some())
        );
        world.moved.clear();
        world
    }

    fn members(&mut self, nodes: &[u64]) {
        self.nodes = nodes.to_vec();
        let member = |node: &u64| Member {
            replica: replica(*node),
            capacity: 100,
            zone: Zone(0),
            standing: Standing::Live,
        };
        let members = nodes.iter().map(member).collect();
        self.step(LeaderEvent::Members(members));
    }

    fn weigh(&mut self, weight: impl Fn(u32) -> u32) {
        self.step(LeaderEvent::Weights((0..SHARDS).map(weight).collect()));
    }

    fn step(&mut self, event: LeaderEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut commands = Vec::new();
            self.core.step(self.now, &self.control, event, &mut commands);
            for command in commands {
                self.obey(command, &mut events);
            }
        }
    }

    fn obey(&mut self, command: LeaderCommand, events: &mut Vec<LeaderEvent>) {
        match command {
            LeaderCommand::Send { to, message: FromLeader::Learn { shards } } => {
                let shards = shards.into_iter().map(|(at, _)| at).collect();
                events.push(LeaderEvent::Message { from: to, message: ToLeader::Learnt { shards } });
            }
            LeaderCommand::Send { to, message: FromLeader::Hold { shards } } => {
                events.push(LeaderEvent::Message { from: to, message: ToLeader::Held { shards } });
            }
            LeaderCommand::Propose { ticket, changes } => {
                self.commit(&changes);
                events.push(LeaderEvent::Written { ticket });
                events.push(LeaderEvent::Applied { changed: Changed::All });
            }
            _ => {}
        }
    }

    fn commit(&mut self, changes: &[Change]) {
        self.epoch += 1;
        self.control.apply_propose(self.epoch, changes);
        let shards: Vec<ShardId> = changes.iter().map(|change| change.shard).collect();
        self.control.apply_commit(TERM, TERM, Epoch(self.epoch), &shards);
        shards.iter().for_each(|shard| *self.moved.entry(*shard).or_default() += 1);
    }

    /// A quarter of a second in which all but these renew their leases.
    fn turn(&mut self, dead: &[u64]) {
        self.now = self.now + Timing::DEFAULT.renew_every;
        for node in self.nodes.clone().into_iter().filter(|node| !dead.contains(node)) {
            let message = ToLeader::Renew { boot: Boot(1), disk: DiskId(node), number: self.now.0 };
            self.step(LeaderEvent::Message { from: NodeId(node), message });
        }
        self.step(LeaderEvent::Tick);
    }

    /// So many turns that whatever is to move has moved.
    fn settle(&mut self) {
        (0..SHARDS * 4).for_each(|_| self.turn(&[]));
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.turn(&[]);
        }
    }

    fn preview(&mut self, ask: &PlanAsk) -> Preview {
        self.core.preview(self.now, &self.control, ask).unwrap()
    }

    fn order(&mut self, order: Order) -> Result<u32, PlanRefusal> {
        let ordered = self.core.order(self.now, &self.control, order)?;
        self.step(LeaderEvent::Tick);
        Ok(ordered.moves)
    }

    /// The owner and the replicas of each shard.
    fn map(&self) -> Vec<(NodeId, BTreeSet<NodeId>)> {
        let map = self.control.committed();
        let held = |shard| map.replicas(shard).map(|replica| replica.node).collect();
        map.shards().map(|shard| (map.owner(shard).unwrap(), held(shard))).collect()
    }
}

/// The map that a plan leads to.
fn after(mut map: Vec<(NodeId, BTreeSet<NodeId>)>, plan: &Preview) -> Vec<(NodeId, BTreeSet<NodeId>)> {
    for one in &plan.moves {
        let (owner, held) = &mut map[one.shard.index()];
        assert_eq!(one.from, Some(*owner));
        *owner = one.to;
        held.retain(|node| !one.loses.contains(node));
        held.extend(one.gains.iter().copied());
    }
    map
}

#[test]
fn what_is_ordered_is_just_what_was_told_and_asking_changes_nothing() {
    let mut world = World::new(PAUSED);
    world.members(&[1, 2, 3, 4, 5]);
    world.settle();
    assert_eq!(world.moved.len(), 0, "levelling is paused");
    let before = world.map();
    let plan = world.preview(&PlanAsk::default());
    assert!(plan.moves.iter().any(|one| one.reason == Reason::Newcomer(NodeId(5))), "{:?}", plan.moves);
    assert_eq!((plan.levelling, plan.supposes, plan.under_way), (Levelling::Paused, None, 0));
    world.settle();
    assert_eq!(world.preview(&PlanAsk::default()).id, plan.id, "the same map has the same plan");
    assert_eq!(world.map(), before);

    assert_eq!(world.order(Order::Plan(plan.id)), Ok(plan.moves.len() as u32));
    world.settle();
    assert_eq!(world.map(), after(before, &plan));
    assert!(world.moved.values().all(|moves| *moves == 1), "{:?}", world.moved);
    let five = plan.nodes.iter().find(|outlook| outlook.node == NodeId(5)).unwrap();
    assert!(five.before.held == 0 && (13..=15).contains(&five.after.held), "{five:?}");
    assert!(world.preview(&PlanAsk::default()).moves.is_empty(), "the plan after a plan is empty");
}

#[test]
fn a_plan_for_another_map_or_of_another_leader_is_refused() {
    let mut world = World::new(PAUSED);
    world.members(&[1, 2, 3, 4, 5]);
    let plan = world.preview(&PlanAsk::default());
    // Somebody else moves a shard that the plan does not name, or does: the map is another.
    let change = Change {
        shard: ShardId(3),
        base: world.control.committed().epoch(ShardId(3)),
        owner: world.control.committed().owner(ShardId(3)).unwrap(),
        replicas: world.control.committed().replicas(ShardId(3)).collect(),
    };
    world.commit(&[change]);
    let before = world.map();
    assert_eq!(world.order(Order::Plan(plan.id)), Err(PlanRefusal::MapChanged(plan.id)));
    world.settle();
    assert_eq!(world.map(), before);

    let mut other = World::new(PAUSED);
    assert_eq!(other.order(Order::Plan(plan.id)), Err(PlanRefusal::UnknownPlan(plan.id)));
    let refused = leader_core().order(Time(1), &world.control, Order::Now);
    assert_eq!(refused, Err(PlanRefusal::NotLeader));
}

#[test]
fn what_is_supposed_is_planned_for_and_cannot_be_ordered() {
    let mut world = World::new(USUAL);
    let more = world.preview(&PlanAsk { with_nodes: 2, ..PlanAsk::default() });
    let new: Vec<_> = more.nodes.iter().filter(|outlook| outlook.supposed.is_some()).collect();
    assert_eq!(new.iter().map(|outlook| outlook.supposed).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert!(
        new.iter().all(|outlook| outlook.before.held == 0 && outlook.after.held >= SHARDS / 3),
        "{new:?}"
    );
    let fewer = world.preview(&PlanAsk { without: vec![NodeId(2)], ..PlanAsk::default() });
    let mut of_two = fewer.moves.iter().filter(|one| one.loses.contains(&NodeId(2)));
    assert!(of_two.all(|one| one.reason == Reason::NodeDrains(NodeId(2))), "{:?}", fewer.moves);
    let two = fewer.nodes.iter().find(|outlook| outlook.node == NodeId(2)).unwrap();
    assert!(two.before.owned > 0 && two.after.held == 0, "{two:?}");
    let weights = (0..SHARDS).map(|shard| 1 + 50 * u32::from(shard < 4)).collect();
    let weighed = world.preview(&PlanAsk { weights: Some(weights), ..PlanAsk::default() });
    for (plan, supposed) in
        [(more, Supposed::MoreNodes), (fewer, Supposed::FewerNodes), (weighed, Supposed::OtherWeights)]
    {
        let refused = Err(PlanRefusal::Supposes(plan.id, supposed));
        assert_eq!(world.order(Order::Plan(plan.id)), refused);
    }
    world.settle();
    assert_eq!(world.moved.len(), 0);
    let mut refused = |ask: PlanAsk| world.core.preview(world.now, &world.control, &ask).unwrap_err();
    let without = vec![NodeId(9)];
    assert_eq!(refused(PlanAsk { without, ..PlanAsk::default() }), PlanRefusal::UnknownNode(NodeId(9)));
    assert_eq!(refused(PlanAsk { with_nodes: 65, ..PlanAsk::default() }), PlanRefusal::TooManyNodes);
    assert_eq!(refused(PlanAsk { weights: Some(vec![1]), ..PlanAsk::default() }), PlanRefusal::WrongWeights);
}

#[test]
fn while_levelling_is_paused_lost_owners_are_replaced_and_nothing_else_moves() {
    let mut world = World::new(PAUSED);
    world.members(&[1, 2, 3, 4, 5]);
    let owned_by_3 = world.map().iter().filter(|(owner, _)| *owner == NodeId(3)).count();
    (0..40).for_each(|_| world.turn(&[3]));
    let map = world.map();
    assert!(map.iter().all(|(owner, _)| *owner != NodeId(3)), "{map:?}");
    assert_eq!(world.moved.len(), owned_by_3);
    // It comes back, and owns nothing until levelling goes on.
    world.settle();
    assert_eq!(world.moved.len(), owned_by_3);
    world.step(LeaderEvent::Settings(USUAL));
    world.settle();
    let map = world.map();
    for node in [3, 5] {
        assert!(map.iter().any(|(owner, _)| *owner == NodeId(node)), "node {node} owns nothing: {map:?}");
    }
}

#[test]
fn a_shard_that_was_moved_to_level_the_load_rests_and_what_is_ordered_now_moves_all_the_same() {
    let mut world = World::new(USUAL);
    let owner = |world: &World, shard: u32| world.control.committed().owner(ShardId(shard)).unwrap();
    let first = owner(&world, 0);
    let mates: Vec<u32> = (0..SHARDS).filter(|shard| owner(&world, *shard) == first).collect();
    world.weigh(|shard| 1 + 100 * u32::from(mates.contains(&shard)));
    world.settle();
    let once: BTreeSet<ShardId> = world.moved.keys().copied().collect();
    assert!(once.len() > 2 && world.moved.values().all(|moves| *moves == 1), "{:?}", world.moved);

    // Other shards are heavy now: only those move that have not just moved.
    world.weigh(|shard| 1 + 100 * u32::from(once.contains(&ShardId(shard))));
    let resting = world.preview(&PlanAsk::default());
    assert!(resting.resting > 0 && resting.moves.iter().all(|one| !once.contains(&one.shard)), "{resting:?}");
    world.settle();
    assert!(once.iter().all(|shard| world.moved[shard] == 1), "{:?}", world.moved);
    let mut hurried = World {
        moved: BTreeMap::new(),
        core: world.core.clone(),
        control: world.control.clone(),
        nodes: world.nodes.clone(),
        ..world
    };
    assert!(hurried.order(Order::Now).unwrap() > 0);
    hurried.settle();
    assert!(hurried.moved.keys().any(|shard| once.contains(shard)), "{:?}", hurried.moved);

    world.moved.clear();
    world.wait(Duration::from_secs(300));
    assert!(world.moved.keys().any(|shard| once.contains(shard)), "{:?}", world.moved);
}

#[test]
fn a_node_that_comes_gets_its_share_at_once_whatever_rests() {
    let mut world = World::new(USUAL);
    world.members(&[1, 2, 3, 4, 5]);
    world.settle();
    world.members(&[1, 2, 3, 4, 5, 6]);
    world.settle();
    let held = world.map().iter().filter(|(_, held)| held.contains(&NodeId(6))).count();
    assert!(held >= SHARDS as usize * 3 / 6 - 1, "node 6 holds {held} replicas");
}

#[test]
fn shards_of_a_dead_owner_are_counted_as_moved_for_that_reason() {
    let mut world = World::new(USUAL);
    let owned = |world: &World| {
        let map = world.control.committed();
        map.shards().filter(|shard| map.owner(*shard) == Some(NodeId(1))).count() as u64
    };
    let before = owned(&world);
    assert!(before > 0);
    (0..16).for_each(|_| world.turn(&[1]));
    assert_eq!(owned(&world), 0);
    let (term, tally) = world.core.tally().unwrap();
    assert_eq!((term, tally.of(End::Done, "node-lost")), (TERM, before));
}

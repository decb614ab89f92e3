//! What a leader does where an operator has accepted that replicas are lost: it recovers from who is left, and waits for leases all the same.

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Position, Replica, ShardId, Tail, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone};
use shardloom_sharding::protocol::control::{NothingLeft, ShardControl};
use shardloom_sharding::protocol::effect::{Context, ShardEffect};
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderCore, LeaderEvent, LeaderSettings};
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::{FromLeader, ShardEpoch, ToLeader};
use shardloom_sharding::protocol::node::Changed;
use shardloom_sharding::protocol::record::{Record, StoredShard, WriteSeq};
use shardloom_sharding::protocol::rules::AllRules;
use shardloom_sharding::protocol::shard::ShardCore;
use shardloom_sharding::protocol::timing::{Time, Timing};

const SHARD: ShardId = ShardId(0);
const REPAIR: ShardEpoch = ShardEpoch { shard: SHARD, epoch: Epoch(3) };
/// When the repair is applied: long after the election, so that only leases that this leader grants count.
const APPLIED: u64 = 60_000;

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

fn replica(id: u64) -> Replica {
    Replica { node: NodeId(id), disk: DiskId(id) }
}

fn change(base: u64, owner: u64, replicas: &[u64]) -> Change {
    let replicas = replicas.iter().copied().map(replica).collect();
    Change { shard: SHARD, base: Epoch(base), owner: NodeId(owner), replicas }
}

/// A leader and what is committed: node 1 owns the shard, 2 and 3 have a replica each; 4 has nothing of it.
struct World {
    control: ShardControl,
    leader: LeaderCore,
}

impl World {
    fn new() -> World {
        let mut control = ShardControl::new(1);
        control.apply_propose(1, &[change(0, 1, &[1, 2, 3])]);
        control.apply_commit(Term(1), Term(1), Epoch(1), &[SHARD]);
        let plan = PlanSettings { replicas: 3, threshold_percent: 10, moves_max: None };
        let settings = LeaderSettings { timing: Timing::DEFAULT, plan, moves_in_flight: 8 };
        let mut leader = LeaderCore::new(settings);
        let standing = Standing::Live;
        let member = |id| Member { replica: replica(id), capacity: 1, zone: Zone(0), standing };
        leader.step(at(0), &control, LeaderEvent::Members((1..=4).map(member).collect()), &mut Vec::new());
        let elected = LeaderEvent::Elected { term: Term(1), at: at(0) };
        leader.step(at(0), &control, elected, &mut Vec::new());
        World { control, leader }
    }

    fn step(&mut self, ms: u64, event: LeaderEvent) -> Vec<LeaderCommand> {
        let mut commands = Vec::new();
        self.leader.step(at(ms), &self.control, event, &mut commands);
        commands
    }

    fn applied(&mut self) -> Vec<LeaderCommand> {
        self.step(APPLIED, LeaderEvent::Applied { changed: Changed::Shards(vec![SHARD]) })
    }

    fn hear(&mut self, ms: u64, from: u64, message: ToLeader) -> Vec<LeaderCommand> {
        self.step(ms, LeaderEvent::Message { from: NodeId(from), message })
    }

    /// A node says that it has sealed, with this tail; then enough time passes for the leader to wait for no other.
    fn sealed(&mut self, from: u64, position: u64) -> Vec<LeaderCommand> {
        let tails = vec![(REPAIR, Tail { stamp: Epoch(1), position: Position(position) })];
        let (boot, disk) = (Boot(1), DiskId(from));
        let seal = ToLeader::SealAck { boot, disk, number: 1, through: REPAIR.epoch, tails };
        let mut commands = self.hear(APPLIED + 10, from, seal);
        commands.extend(self.step(APPLIED + 600, LeaderEvent::Tick));
        commands
    }
}

/// The log that some node is told to recover from.
fn source(commands: &[LeaderCommand]) -> Option<Option<Replica>> {
    commands.iter().find_map(|command| match command {
        LeaderCommand::Send { message: FromLeader::Recover { shards }, .. } => Some(shards[0].1),
        _ => None,
    })
}

fn commits(commands: &[LeaderCommand]) -> bool {
    commands
        .iter()
        .any(|command| matches!(command, LeaderCommand::Commit { epoch, .. } if *epoch == REPAIR.epoch))
}

#[test]
fn an_ordinary_proposal_is_not_recovered_from_one_of_three() {
    let mut world = World::new();
    world.control.apply_propose(3, &[change(1, 3, &[3])]);
    world.applied();
    assert_eq!(source(&world.sealed(3, 7)), None);
}

#[test]
fn a_repair_is_recovered_from_the_one_that_is_left() {
    let mut world = World::new();
    world.control.apply_repair(3, &[change(1, 3, &[3])], NothingLeft::Refuse);
    world.applied();
    assert_eq!(source(&world.sealed(4, 99)), None, "it is no replica");
    assert_eq!(source(&world.sealed(3, 7)), Some(Some(replica(3))));
}

#[test]
fn a_lost_replica_that_comes_back_in_time_counts_after_all() {
    let mut world = World::new();
    world.control.apply_repair(3, &[change(1, 3, &[3])], NothingLeft::Refuse);
    world.applied();
    assert_eq!(source(&world.sealed(2, 9)), None, "it is not who was named");
    assert_eq!(source(&world.sealed(3, 7)), Some(Some(replica(2))), "two of three are a quorum");
}

#[test]
fn a_repair_is_committed_only_when_the_old_owner_has_no_lease_any_more() {
    let mut world = World::new();
    // The owner is heard by this leader, and cut off right after that.
    world.step(APPLIED - 20, LeaderEvent::QuorumHeard { sent: at(APPLIED - 30) });
    let renew = ToLeader::Renew { boot: Boot(1), disk: DiskId(1), number: 1 };
    world.hear(APPLIED - 10, 1, renew);
    world.control.apply_repair(3, &[change(1, 3, &[3])], NothingLeft::Refuse);
    world.applied();
    assert_eq!(source(&world.sealed(3, 7)), Some(Some(replica(3))));
    let confirm = ToLeader::Confirm { boot: Boot(1), shards: vec![REPAIR] };
    assert!(!commits(&world.hear(APPLIED + 700, 3, confirm)), "its lease may run still");
    assert!(commits(&world.step(APPLIED + 5_000, LeaderEvent::Tick)));
}

#[test]
fn a_shard_of_which_nothing_is_left_begins_with_an_empty_log() {
    let mut world = World::new();
    world.control.apply_repair(3, &[change(1, 4, &[4])], NothingLeft::BeginEmpty);
    let mut commands = world.applied();
    commands.extend(world.step(APPLIED + 600, LeaderEvent::Tick));
    assert_eq!(source(&commands), Some(None));
}

/// Whether a disk gives its log up, which ends so, when it hears at once of a repair and of what came after it.
fn gives_up(node: u64, tail: Tail) -> bool {
    let mut control = World::new().control;
    control.apply_repair(3, &[change(1, 3, &[3])], NothingLeft::Refuse);
    control.apply_commit(Term(1), Term(1), Epoch(3), &[SHARD]);
    control.apply_propose(5, &[change(3, 3, &[2, 3])]);
    control.apply_commit(Term(1), Term(1), Epoch(5), &[SHARD]);
    let log = LogIndex::starting_after(tail);
    let stored = StoredShard { shard: SHARD, seal: Epoch(1), log, applied: tail.position };
    let mut shard = ShardCore::restore(stored);
    let (me, timing) = (replica(node), Timing::DEFAULT);
    let cx = Context { me, rules: AllRules, now: at(0), seq: WriteSeq(1), timing };
    let mut effects = Vec::new();
    shard.follow(&cx, &control.row(SHARD), &mut effects);
    assert_eq!(shard.replica().seal(), Epoch(5));
    let gone = shard.replica().log().tail() == Tail::default();
    assert_eq!(gone, effects.contains(&ShardEffect::Write(Record::Drop { shard: SHARD })));
    gone
}

#[test]
fn a_log_of_before_a_repair_is_given_up_though_its_disk_has_become_a_replica_again() {
    // It holds, and has applied, entries that the survivor never had.
    assert!(gives_up(2, Tail { stamp: Epoch(1), position: Position(13) }));
    assert!(!gives_up(3, Tail { stamp: Epoch(3), position: Position(8) }), "the survivor holds the barrier");
}

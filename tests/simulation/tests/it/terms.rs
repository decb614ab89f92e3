//! A leader that was replaced, and does not know it, commits nothing by its own count of leases.

use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Position, Replica, ShardId, Tail, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone};
use shardloom_sharding::protocol::control::ShardControl;
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderCore, LeaderEvent, LeaderSettings};
use shardloom_sharding::protocol::lease::NodeLease;
use shardloom_sharding::protocol::messages::{FromLeader, ShardEpoch, ToLeader};
use shardloom_sharding::protocol::node::Changed;
use shardloom_sharding::protocol::rules::{AllRules, Rule};
use shardloom_sharding::protocol::timing::{Time, Timing};
use shardloom_simulation::rules::Without;

const SHARD: ShardId = ShardId(0);

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

fn replica(id: u64) -> Replica {
    Replica { node: NodeId(id), disk: DiskId(id) }
}

fn leader(control: &ShardControl, term: u64, elected: Time) -> LeaderCore {
    let plan = PlanSettings { replicas: 3, threshold_percent: 10, moves_max: None };
    let mut core = LeaderCore::new(LeaderSettings { timing: Timing::DEFAULT, plan, moves_in_flight: 8 });
    let standing = Standing::Live;
    let member = |id| Member { replica: replica(id), capacity: 1, zone: Zone(0), standing };
    core.step(elected, control, LeaderEvent::Members((1..=3).map(member).collect()), &mut Vec::new());
    core.step(elected, control, LeaderEvent::Elected { term: Term(term), at: elected }, &mut Vec::new());
    core
}

/// Says whether the takeover is committed while the old owner, which has not sealed, still has a lease.
fn is_taken_over_under_a_lease(rules: Without) -> bool {
    let change = |base, owner| Change {
        shard: SHARD,
        base: Epoch(base),
        owner: NodeId(owner),
        replicas: (1..=3).map(replica).collect(),
    };
    let mut control = ShardControl::new(1);
    control.apply_propose(1, &[change(0, 1)]);
    control.apply_commit(Term(1), Term(1), Epoch(1), &[SHARD]);

    // The first leader hears nothing from node 1; the second grants it a lease before the takeover is proposed.
    let mut first = leader(&control, 1, at(0));
    let mut second = leader(&control, 2, at(500));
    let mut lease = NodeLease::new(Boot(1), &Timing::DEFAULT);
    let number = lease.renew(at(1350));
    let mut commands = Vec::new();
    second.step(at(1350), &control, LeaderEvent::QuorumHeard { sent: at(1340) }, &mut commands);
    let renew = ToLeader::Renew { boot: Boot(1), disk: DiskId(1), number };
    second.step(at(1351), &control, LeaderEvent::Message { from: NodeId(1), message: renew }, &mut commands);
    for command in commands {
        if let LeaderCommand::Send { message: FromLeader::Grant { boot, number, proposal }, .. } = command {
            lease.granted(AllRules, boot, number, proposal, Epoch(1));
        }
    }

    // What the first leader proposes reaches the second, whose term it is by now. Nodes 2 and 3 seal; node 1 applies late.
    control.apply_propose(3, &[change(1, 2)]);
    let mut commands = Vec::new();
    let changed = Changed::Shards(vec![SHARD]);
    first.step(at(1400), &control, LeaderEvent::Applied { changed }, &mut commands);
    let shard = ShardEpoch { shard: SHARD, epoch: Epoch(3) };
    for id in [2, 3] {
        let tails = vec![(shard, Tail { stamp: Epoch(1), position: Position(1) })];
        let message =
            ToLeader::SealAck { boot: Boot(1), disk: DiskId(id), number: 1, through: Epoch(3), tails };
        first.step(at(1410), &control, LeaderEvent::Message { from: NodeId(id), message }, &mut commands);
    }
    let message = ToLeader::Confirm { boot: Boot(1), shards: vec![shard] };
    first.step(at(1420), &control, LeaderEvent::Message { from: NodeId(2), message }, &mut commands);

    // Its commit is forwarded, too, and written in the second term.
    for command in commands {
        if let LeaderCommand::Commit { epoch, term, shards, .. } = command {
            control.apply_commit_under(rules, (Term(2), term), epoch, &shards);
        }
    }
    control.committed().epoch(SHARD) == Epoch(3) && lease.is_live(at(1430))
}

#[test]
fn a_commit_that_another_term_decided_is_void() {
    assert!(!is_taken_over_under_a_lease(Without(None)));
}

#[test]
fn without_its_term_a_commit_takes_a_shard_from_an_owner_with_a_lease() {
    assert!(is_taken_over_under_a_lease(Without(Some(Rule::CommitInItsTerm))));
}

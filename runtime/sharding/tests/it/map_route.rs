//! What a node does with a request.

use shardloom_sharding::ids::{Epoch, NodeId};
use shardloom_sharding::route::{
    HOPS_MAX, Leader, Lease, Progress, Refusal, Route, ShardView, Travel, route,
};

const HERE: NodeId = NodeId(1);
const THERE: NodeId = NodeId(2);
const FROM_CLIENT: Travel = Travel { epoch: Epoch(0), hops: 0 };

/// This node owns the shard and serves it.
fn serving() -> ShardView {
    ShardView {
        this: HERE,
        owner: Some(HERE),
        epoch: Epoch(5),
        progress: Progress::Settled,
        serving: Some(Epoch(5)),
        lease: Lease::Live,
        leader: Leader::Known,
    }
}

fn elsewhere() -> ShardView {
    ShardView { owner: Some(THERE), serving: None, ..serving() }
}

#[test]
fn the_owner_runs_the_request() {
    assert_eq!(route(&serving(), FROM_CLIENT), Route::Dispatch { epoch: Epoch(5) });
}

#[test]
fn everybody_else_forwards_it() {
    assert_eq!(route(&elsewhere(), FROM_CLIENT), Route::Forward { node: THERE, epoch: Epoch(5) });
}

#[test]
fn it_waits_wherever_the_owner_may_not_serve() {
    for view in [
        ShardView { lease: Lease::Out, ..serving() },
        ShardView { serving: None, ..serving() },
        ShardView { serving: Some(Epoch(4)), ..serving() },
        ShardView { progress: Progress::Resharding, ..serving() },
        ShardView { progress: Progress::Unavailable, ..serving() },
        ShardView { owner: None, epoch: Epoch(0), ..serving() },
        ShardView { progress: Progress::Resharding, ..elsewhere() },
    ] {
        assert_eq!(route(&view, FROM_CLIENT), Route::Wait, "{view:?}");
    }
}

#[test]
fn a_node_with_an_older_view_waits_for_the_epoch() {
    let newer = Travel { epoch: Epoch(6), hops: 1 };
    assert_eq!(route(&serving(), newer), Route::Wait);
    assert_eq!(route(&elsewhere(), newer), Route::Wait);
    let older = Travel { epoch: Epoch(4), hops: 1 };
    assert_eq!(route(&serving(), older), Route::Dispatch { epoch: Epoch(5) });
}

#[test]
fn a_request_is_not_passed_round() {
    let last = Travel { epoch: Epoch(5), hops: HOPS_MAX - 1 };
    assert!(matches!(route(&elsewhere(), last), Route::Forward { .. }));
    let tired = Travel { epoch: Epoch(5), hops: HOPS_MAX };
    assert_eq!(route(&elsewhere(), tired), Route::Refuse(Refusal::TooManyHops));
    assert!(matches!(route(&serving(), tired), Route::Dispatch { .. }), "the owner runs it all the same");
}

#[test]
fn who_has_waited_in_vain_is_told_why() {
    assert_eq!(ShardView { leader: Leader::Unknown, ..serving() }.refusal().code(), "no-leader");
    assert_eq!(ShardView { progress: Progress::Resharding, ..serving() }.refusal().code(), "resharding");
    assert_eq!(
        ShardView { progress: Progress::Unavailable, ..serving() }.refusal().code(),
        "shard-unavailable"
    );
}

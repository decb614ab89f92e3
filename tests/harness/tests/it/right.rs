//! Histories of correct objects: an order is found, and soon.

use shardloom_harness::history::{AppendList, Counter, Model, Operation, Register, linearize};
use shardloom_harness::history::{append_list, counter, register};

use crate::made::{counter_call, history, list_call, op, pending, register_call};

/// Seeds that are tried for each kind.
const SEEDS: u64 = 200;

#[track_caller]
fn right<M: Model>(operations: &[Operation<M>]) {
    if let Err(refuted) = linearize(operations) {
        panic!("{refuted}");
    }
}

#[test]
fn an_empty_history_has_an_order() {
    right::<Register>(&[]);
}

#[test]
fn what_overlaps_may_have_happened_in_either_order() {
    use register::{Answer, Call};
    for seen in [1, 2] {
        right::<Register>(&[
            op(1, (0, 10), Call::Put(1), Answer::Done),
            op(2, (5, 15), Call::Put(2), Answer::Done),
            op(3, (20, 30), Call::Get, Answer::Value(Some(seen))),
        ]);
    }
}

#[test]
fn a_pending_write_may_have_happened_long_after_its_call() {
    use register::{Answer, Call};
    right::<Register>(&[
        pending(1, 0, Call::Put(1)),
        op(2, (10, 20), Call::Get, Answer::Value(None)),
        op(2, (30, 40), Call::Put(2), Answer::Done),
        op(2, (50, 60), Call::Get, Answer::Value(Some(1))),
    ]);
}

#[test]
fn a_pending_write_may_never_have_happened() {
    use append_list::{Answer, Call};
    right::<AppendList>(&[
        pending(1, 0, Call::Append(1)),
        op(2, (10, 20), Call::Append(2), Answer::Length(1)),
        op(2, (30, 40), Call::Get, Answer::Lines(vec![2])),
    ]);
}

#[test]
fn a_pending_compare_and_set_may_have_happened_once_it_fits() {
    use register::{Answer, Call};
    right::<Register>(&[
        pending(1, 0, Call::Cas(Some(7), 8)),
        op(2, (10, 20), Call::Put(7), Answer::Done),
        op(2, (30, 40), Call::Get, Answer::Value(Some(8))),
    ]);
}

#[test]
fn an_addition_that_was_made_again_until_it_was_answered_counts_once() {
    use counter::{Call, Total};
    right::<Counter>(&[
        op(1, (0, 100), Call::Add(5), Total(5)),
        op(2, (10, 20), Call::Get, Total(5)),
        op(2, (30, 40), Call::Add(2), Total(7)),
        op(1, (110, 120), Call::Get, Total(7)),
    ]);
}

#[test]
fn every_history_of_a_correct_object_has_an_order() {
    for seed in 0..SEEDS {
        let lost = [0, 1, 4][seed as usize % 3];
        right::<Register>(&history(seed, (8, 150, lost), register_call));
        right::<AppendList>(&history(seed, (8, 150, lost), list_call));
        right::<Counter>(&history(seed, (8, 150, lost), counter_call));
    }
}

#[test]
fn ten_thousand_operations_of_eight_clients_on_one_key_are_decided() {
    right::<Register>(&history(1, (8, 10_000, 0), register_call));
    right::<Counter>(&history(2, (8, 10_000, 0), counter_call));
    right::<AppendList>(&history(3, (8, 2_000, 0), list_call));
}

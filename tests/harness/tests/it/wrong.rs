//! Histories that no correct object gives: each is refuted. The random ones are right until one operation is changed.

use shardloom_harness::history::{AppendList, Counter, Model, Operation, Refuted, Register, linearize};
use shardloom_harness::history::{append_list, counter, register};

use crate::made::{counter_call, history, list_call, op, pending, register_call};

/// Seeds that are tried for each kind.
const SEEDS: u64 = 100;

#[track_caller]
fn wrong<M: Model>(operations: &[Operation<M>]) {
    match linearize(operations) {
        Err(Refuted::Impossible(_)) => {}
        other => panic!("{other:?} for {operations:#?}"),
    }
}

#[test]
fn a_register_that_loses_a_write_is_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        op(1, (0, 10), Call::Put(1), Answer::Done),
        op(2, (20, 30), Call::Get, Answer::Value(None)),
    ]);
}

#[test]
fn a_register_that_is_read_stale_is_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        op(1, (0, 10), Call::Put(1), Answer::Done),
        op(1, (20, 30), Call::Put(2), Answer::Done),
        op(2, (40, 50), Call::Get, Answer::Value(Some(1))),
    ]);
}

#[test]
fn two_reads_that_see_a_write_come_and_go_are_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        op(1, (0, 100), Call::Put(1), Answer::Done),
        op(2, (10, 20), Call::Get, Answer::Value(Some(1))),
        op(3, (30, 40), Call::Get, Answer::Value(None)),
    ]);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        op(1, (0, 10), Call::Put(1), Answer::Done),
        op(2, (0, 30), Call::Get, Answer::Value(Some(9))),
    ]);
}

#[test]
fn two_swaps_of_one_value_are_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        op(1, (0, 10), Call::Cas(None, 1), Answer::Done),
        op(2, (0, 10), Call::Cas(None, 2), Answer::Done),
    ]);
}

#[test]
fn a_pending_write_that_is_seen_before_its_call_is_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[op(1, (0, 10), Call::Get, Answer::Value(Some(1))), pending(2, 20, Call::Put(1))]);
}

#[test]
fn a_pending_write_that_happens_twice_is_found() {
    use register::{Answer, Call};
    wrong::<Register>(&[
        pending(1, 0, Call::Put(1)),
        op(2, (10, 20), Call::Get, Answer::Value(Some(1))),
        op(2, (30, 40), Call::Put(2), Answer::Done),
        op(2, (50, 60), Call::Get, Answer::Value(Some(1))),
    ]);
}

#[test]
fn a_list_that_loses_doubles_invents_or_reorders_a_line_is_found() {
    use append_list::{Answer, Call};
    let after = |lines: Vec<u64>| {
        [
            op(1, (0, 10), Call::Append(1), Answer::Length(1)),
            op(1, (20, 30), Call::Append(2), Answer::Length(2)),
            op(2, (40, 50), Call::Get, Answer::Lines(lines)),
        ]
    };
    assert_eq!(linearize::<AppendList>(&after(vec![1, 2])), Ok(()));
    for lines in [vec![1], vec![2], vec![1, 2, 2], vec![1, 2, 3], vec![2, 1]] {
        wrong::<AppendList>(&after(lines));
    }
}

#[test]
fn two_lines_in_one_place_are_found() {
    use append_list::{Answer, Call};
    wrong::<AppendList>(&[
        op(1, (0, 10), Call::Append(1), Answer::Length(1)),
        op(2, (0, 10), Call::Append(2), Answer::Length(1)),
    ]);
}

#[test]
fn a_counter_that_loses_or_doubles_an_addition_or_goes_back_is_found() {
    use counter::{Call, Total};
    for total in [0, 7, 13, 20] {
        wrong::<Counter>(&[
            op(1, (0, 10), Call::Add(3), Total(3)),
            op(2, (20, 30), Call::Add(7), Total(10)),
            op(3, (40, 50), Call::Get, Total(total)),
        ]);
    }
    wrong::<Counter>(&[
        op(1, (0, 100), Call::Add(3), Total(3)),
        op(2, (10, 20), Call::Get, Total(3)),
        op(2, (30, 40), Call::Get, Total(0)),
    ]);
}

/// Takes away one answered write that some later read shows.
fn without<M: Model>(seed: u64, mut operations: Vec<Operation<M>>, writes: fn(&M::Call) -> bool) {
    // One that others rest on: not among the last.
    let candidates: Vec<usize> =
        (0..operations.len() / 2).filter(|at| writes(&operations[*at].call)).collect();
    let at = candidates[seed as usize % candidates.len()];
    operations.remove(at);
    wrong(&operations);
}

/// Gives one answered read the answer that an earlier one had, so that what was written in between is not seen.
fn stale<M: Model>(mut operations: Vec<Operation<M>>, reads: fn(&M::Call, &M::Answer) -> bool) {
    let is_read =
        |one: &&mut Operation<M>| one.end.as_ref().is_some_and(|(_, answer)| reads(&one.call, answer));
    let (_, old) = operations.iter_mut().find(is_read).and_then(|one| one.end.clone()).expect("a read");
    let (_, answer) = operations.iter_mut().rfind(is_read).and_then(|one| one.end.as_mut()).expect("a read");
    if *answer != old {
        *answer = old;
        wrong(&operations);
    }
}

#[test]
fn a_line_or_an_addition_that_nobody_asked_for_is_found_in_any_history() {
    for seed in 0..SEEDS {
        let list = history::<AppendList>(seed, (8, 150, 0), list_call);
        without(seed, list, |call| *call != append_list::Call::Get);
        let counter = history::<Counter>(seed, (8, 150, 0), counter_call);
        without(seed, counter, |call| *call != counter::Call::Get);
    }
}

#[test]
fn a_stale_read_is_found_in_any_history() {
    for seed in 0..SEEDS {
        // That there is no value can be true again.
        let reads = |_: &register::Call, answer: &register::Answer| {
            matches!(answer, register::Answer::Value(Some(_)))
        };
        stale(history::<Register>(seed, (8, 150, 0), register_call), reads);
        stale(history::<AppendList>(seed, (8, 150, 2), list_call), |call, _| *call == append_list::Call::Get);
        stale(history::<Counter>(seed, (8, 150, 0), counter_call), |call, _| *call == counter::Call::Get);
    }
}

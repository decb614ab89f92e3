//! The search agrees with a plain one that tries every order, on short histories of random answers: it neither refutes too much nor too little.

use shardloom_harness::history::{AppendList, Model, Operation, Register, linearize};
use shardloom_harness::history::{append_list, register};
use shardloom_harness::random::Random;

/// Seeds that are tried for each kind.
const SEEDS: u64 = 3_000;
/// Operations of a history: a plain search tries up to some thousand orders of so many.
const OPERATIONS: usize = 6;

/// Tries every order of what has an answer, with or without each of the others.
fn plain<M: Model>(state: &M::State, left: &[Operation<M>]) -> bool {
    if left.iter().all(|one| one.end.is_none()) {
        return true;
    }
    let horizon =
        left.iter().filter_map(|one| one.end.as_ref()).map(|(at, _)| *at).min().expect("one has an end");
    (0..left.len()).filter(|at| left[*at].invoked <= horizon).any(|at| {
        let (after, said) = M::apply(state, &left[at].call);
        let fits = left[at].end.as_ref().is_none_or(|(_, answer)| *answer == said);
        let rest: Vec<_> =
            left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, one)| one.clone()).collect();
        fits && plain(&after, &rest)
    })
}

fn agree<M: Model>(mut draw: impl FnMut(&mut Random) -> (M::Call, M::Answer)) {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = Random::new(seed, 0);
        let operations: Vec<Operation<M>> = (0..OPERATIONS)
            .map(|client| {
                let (call, answer) = draw(&mut random);
                let invoked = random.below(30) as u64;
                let end = (!random.percent(20)).then(|| (invoked + 1 + random.below(15) as u64, answer));
                Operation { client, invoked, call, end }
            })
            .collect();
        let expected = plain(&M::State::default(), &operations);
        assert_eq!(linearize(&operations).is_ok(), expected, "seed {seed}: {operations:#?}");
        if expected { right += 1 } else { wrong += 1 }
    }
    assert!(
        right > SEEDS / 50 && wrong > SEEDS / 50,
        "{right} right, {wrong} wrong: one of them is not tried"
    );
}

#[test]
fn on_registers() {
    use register::{Answer, Call};
    agree::<Register>(|random| {
        let value = |random: &mut Random| random.below(3) as u64;
        let old = |random: &mut Random| random.percent(70).then_some(value(random));
        match random.below(5) {
            0 | 1 => (Call::Get, Answer::Value(old(random))),
            2 => (Call::Put(value(random)), Answer::Done),
            3 => (Call::Delete, Answer::Done),
            _ => (
                Call::Cas(old(random), value(random)),
                if random.percent(60) { Answer::Done } else { Answer::Conflict },
            ),
        }
    });
}

#[test]
fn on_lists() {
    use append_list::{Answer, Call};
    agree::<AppendList>(|random| match random.below(5) {
        0 | 1 => (Call::Get, Answer::Lines((0..random.below(3)).map(|_| random.below(2) as u64).collect())),
        _ => (Call::Append(random.below(2) as u64), Answer::Length(1 + random.below(3))),
    });
}

//! Histories: by hand, and of a correct object that clients call at random.

use shardloom_harness::history::{Model, Operation};
use shardloom_harness::random::Random;

/// An operation of one client from one time to another.
pub(crate) fn op<M: Model>(
    client: usize,
    (from, to): (u64, u64),
    call: M::Call,
    answer: M::Answer,
) -> Operation<M> {
    Operation { client, invoked: from, call, end: Some((to, answer)) }
}

/// An operation without an answer.
pub(crate) fn pending<M: Model>(client: usize, from: u64, call: M::Call) -> Operation<M> {
    Operation { client, invoked: from, call, end: None }
}

/// What some clients see of a correct object: each operation takes effect at some time between call and answer. In so many cases of a hundred
/// there is no answer, and half of these take no effect.
pub(crate) fn history<M: Model>(
    seed: u64,
    (clients, count, lost): (usize, usize, usize),
    mut draw: impl FnMut(&mut Random, &M::State) -> M::Call,
) -> Vec<Operation<M>> {
    let mut random = Random::new(seed, 0);
    let mut state = M::State::default();
    let mut done = Vec::new();
    // What each client has under way: when it began, and the answer once it has taken effect.
    let mut under_way: Vec<Option<(u64, M::Call, Option<M::Answer>)>> = (0..clients).map(|_| None).collect();
    let mut now = 0;
    while done.len() < count {
        now += 1;
        let client = random.below(clients);
        under_way[client] = match under_way[client].take() {
            None => Some((now, draw(&mut random, &state), None)),
            Some((invoked, call, taken)) if random.percent(lost) => {
                if taken.is_none() && random.percent(50) {
                    state = M::apply(&state, &call).0;
                }
                done.push(Operation { client, invoked, call, end: None });
                None
            }
            Some((invoked, call, None)) => {
                let (after, answer) = M::apply(&state, &call);
                state = after;
                Some((invoked, call, Some(answer)))
            }
            Some((invoked, call, Some(answer))) => {
                done.push(Operation { client, invoked, call, end: Some((now, answer)) });
                None
            }
        };
    }
    // Those that have taken effect without an answer yet.
    let open = under_way.into_iter().enumerate();
    done.extend(open.filter_map(|(client, one)| one.map(|(from, call, _)| pending(client, from, call))));
    done
}

/// Any call of a register; compare-and-set expects what is there in half of the cases.
pub(crate) fn register_call(
    random: &mut Random,
    state: &Option<u64>,
) -> shardloom_harness::history::register::Call {
    use shardloom_harness::history::register::Call;
    let value = random.bits();
    match random.below(10) {
        0..5 => Call::Get,
        5..7 => Call::Put(value),
        7 => Call::Delete,
        8 => Call::Cas(*state, value),
        _ => Call::Cas(None, value),
    }
}

/// Any call of a list.
pub(crate) fn list_call(random: &mut Random, _: &Vec<u64>) -> shardloom_harness::history::append_list::Call {
    use shardloom_harness::history::append_list::Call;
    if random.percent(50) { Call::Get } else { Call::Append(random.bits()) }
}

/// Any call of a counter.
pub(crate) fn counter_call(random: &mut Random, _: &u64) -> shardloom_harness::history::counter::Call {
    use shardloom_harness::history::counter::Call;
    if random.percent(50) { Call::Get } else { Call::Add(1 + random.below(1000) as u64) }
}

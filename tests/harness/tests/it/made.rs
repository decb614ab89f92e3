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

/// What a client has asked and is not told yet; the answer, once it has taken effect.
struct UnderWay<M: Model> {
    invoked: u64,
    call: M::Call,
    answer: Option<M::Answer>,
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
    let mut under_way: Vec<Option<UnderWay<M>>> = (0..clients).map(|_| None).collect();
    let mut now = 0;
    while done.len() < count {
        now += 1;
        let client = random.below(clients);
        let Some(UnderWay { invoked, call, answer }) = under_way[client].take() else {
            let call = draw(&mut random, &state);
            under_way[client] = Some(UnderWay { invoked: now, call, answer: None });
            continue;
        };
        if random.percent(lost) {
            if answer.is_none() && random.percent(50) {
                state = M::apply(&state, &call).0;
            }
            done.push(Operation { client, invoked, call, end: None });
        } else if let Some(answer) = answer {
            done.push(Operation { client, invoked, call, end: Some((now, answer)) });
        } else {
            let (after, answer) = M::apply(&state, &call);
            state = after;
            under_way[client] = Some(UnderWay { invoked, call, answer: Some(answer) });
        }
    }
    // Some of these have taken effect.
    let open = under_way.into_iter().enumerate();
    done.extend(open.filter_map(|(client, one)| one.map(|one| pending(client, one.invoked, one.call))));
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

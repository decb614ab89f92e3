//! Whether the operations on one key can be put into an order that an object would have given, each between its call and its answer.
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory of Lowe ("Testing for
//! linearizability", 2017): take an operation that nothing must precede, carry it out, go on; if no next one fits, take back the last. A set of
//! operations with a state that was there before is not tried again. A pending operation may be taken at any time after its call, or be left out.

use std::collections::HashSet;
use std::fmt;

use super::model::{Model, Operation};

/// The most sets of operations with their states that are remembered: some hundred megabytes. A history that needs more is undecided.
const REMEMBERED_MAX: usize = 2_000_000;
/// How many answers ahead are looked at before a pending operation is taken: enough to meet a read.
const AHEAD_MAX: usize = 16;
/// How many operations of a history are shown where no order goes on.
const SHOWN_MAX: usize = 24;
/// How many characters of a state or an answer are shown: the end says most.
const SHOWN_CHARACTERS_MAX: usize = 160;
const WORD: usize = u64::BITS as usize;

/// Why no order was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refuted {
    /// There is none; where the longest try ended, in words.
    Impossible(String),
    /// The search was given up.
    Undecided,
}

impl fmt::Display for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refuted::Impossible(words) => f.write_str(words),
            Refuted::Undecided => write!(f, "undecided after {REMEMBERED_MAX} tries: use more keys"),
        }
    }
}

/// What tells two points of the search apart: operations that were carried out, and the state by them.
type Point<S> = (usize, Box<[u64]>, Box<[u64]>, S);

struct Search<'a, M: Model> {
    /// Those with an answer, by their calls; `taken` says which are carried out, `first` is the first that is not.
    ended: Vec<(&'a Operation<M>, u64, &'a M::Answer)>,
    taken: Vec<u64>,
    first: usize,
    count: usize,
    /// Those without one.
    pending: Vec<&'a Operation<M>>,
    used: Vec<u64>,
}

/// One step of the try at hand: the state there, what could be next, and what led there.
struct Step<S> {
    state: S,
    next: std::vec::IntoIter<usize>,
    by: Option<usize>,
}

/// Looks for an order.
///
/// # Errors
/// There is none, or the search was given up.
pub fn linearize<M: Model>(operations: &[Operation<M>]) -> Result<(), Refuted> {
    let mut search = Search::of(operations);
    let mut seen: HashSet<Point<M::State>> = HashSet::new();
    let state = M::State::default();
    let mut deepest = (0, state.clone(), search.first);
    let mut steps = vec![Step { state, next: search.candidates().into_iter(), by: None }];
    while search.count < search.ended.len() {
        let Some(step) = steps.last_mut() else {
            return Err(Refuted::Impossible(search.explain(&deepest)));
        };
        let Some(chosen) = step.next.next() else {
            let by = step.by;
            steps.pop();
            by.into_iter().for_each(|by| search.set(by, false));
            continue;
        };
        let state = search.carry_out(&step.state, chosen).filter(|state| search.leads_on(state, chosen));
        let Some(state) = state else { continue };
        if search.is_read(chosen) {
            // Whatever order there is, there is one with this operation here: it never changes anything, and nothing must precede it.
            step.next = Vec::new().into_iter();
        }
        search.set(chosen, true);
        if !seen.insert(search.point(&state)) {
            search.set(chosen, false);
            continue;
        }
        if seen.len() >= REMEMBERED_MAX {
            return Err(Refuted::Undecided);
        }
        if search.count > deepest.0 {
            deepest = (search.count, state.clone(), search.first);
        }
        steps.push(Step { state, next: search.candidates().into_iter(), by: Some(chosen) });
    }
    Ok(())
}

impl<'a, M: Model> Search<'a, M> {
    fn of(operations: &'a [Operation<M>]) -> Self {
        let answered = |one: &'a Operation<M>| one.end.as_ref().map(|(at, answer)| (one, *at, answer));
        let mut ended: Vec<_> = operations.iter().filter_map(answered).collect();
        ended.sort_by_key(|(one, at, _)| (one.invoked, *at));
        let pending: Vec<_> = operations.iter().filter(|one| one.end.is_none()).collect();
        let (taken, used) = (vec![0; ended.len().div_ceil(WORD)], vec![0; pending.len().div_ceil(WORD)]);
        Self { ended, taken, first: 0, count: 0, pending, used }
    }

    /// What may be next: whatever was asked before any answer that is still to come. The first to be answered is tried first, a pending one last.
    fn candidates(&self) -> Vec<usize> {
        let (mut found, mut horizon) = (Vec::new(), u64::MAX);
        for (index, (one, end, _)) in self.ended.iter().enumerate().skip(self.first) {
            if one.invoked > horizon {
                break;
            }
            if !bit(&self.taken, index) {
                horizon = horizon.min(*end);
                found.push(index);
            }
        }
        found.sort_by_key(|index| self.ended[*index].1);
        let pending = self.pending.iter().enumerate();
        let open = pending.filter(|(index, one)| one.invoked <= horizon && !bit(&self.used, *index));
        found.extend(open.map(|(index, _)| self.ended.len() + index));
        found
    }

    /// The state after an operation; none if it was answered otherwise, or is pending and would change nothing.
    fn carry_out(&self, state: &M::State, chosen: usize) -> Option<M::State> {
        let Some((one, _, answer)) = self.ended.get(chosen) else {
            let (after, _) = M::apply(state, &self.pending[chosen - self.ended.len()].call);
            return Some(after).filter(|after| after != state);
        };
        let (after, said) = M::apply(state, &one.call);
        (said == **answer).then_some(after)
    }

    /// Whether the answers that come next can still be given. Only a pending operation is one of many guesses.
    fn leads_on(&self, state: &M::State, chosen: usize) -> bool {
        let ahead =
            self.ended.iter().enumerate().skip(self.first).filter(|(index, _)| !bit(&self.taken, *index));
        chosen < self.ended.len()
            || ahead.take(AHEAD_MAX).all(|(_, (.., answer))| M::may_reach(state, answer))
    }

    fn is_read(&self, chosen: usize) -> bool {
        self.ended.get(chosen).is_some_and(|(one, ..)| M::is_read(&one.call))
    }

    fn set(&mut self, chosen: usize, to: bool) {
        let Some(pending) = chosen.checked_sub(self.ended.len()) else {
            self.taken[chosen / WORD] ^= 1 << (chosen % WORD);
            if to {
                self.count += 1;
                while self.first < self.ended.len() && bit(&self.taken, self.first) {
                    self.first += 1;
                }
            } else {
                self.count -= 1;
                self.first = self.first.min(chosen);
            }
            return;
        };
        self.used[pending / WORD] ^= 1 << (pending % WORD);
    }

    /// All before `first` are taken, and what is taken after it is near: so a point stays small in a long history.
    fn point(&self, state: &M::State) -> Point<M::State> {
        let beyond = &self.taken[(self.first / WORD).min(self.taken.len())..];
        let end = beyond.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        (self.first, beyond[..end].into(), self.used.as_slice().into(), state.clone())
    }

    fn explain(&self, (count, state, first): &(usize, M::State, usize)) -> String {
        let total = self.ended.len();
        let state = shown(state);
        let mut words =
            format!("no order explains more than {count} of {total} answers; at {state} it ends, near:");
        let from = self.ended.get(*first).map_or(0, |(one, ..)| one.invoked);
        let near = self.ended.iter().skip(first.saturating_sub(SHOWN_MAX / 3)).take(SHOWN_MAX);
        for (one, end, answer) in near {
            let (client, call, answer) = (one.client, &one.call, shown(answer));
            words +=
                &format!("\n  {:>14} to {end:>14} ns, client {client}: {call:?} -> {answer}", one.invoked);
        }
        for one in self.pending.iter().filter(|one| one.invoked <= from).take(SHOWN_MAX) {
            let (client, call) = (one.client, &one.call);
            words += &format!("\n  {:>14} on, client {client}: {call:?}, no answer", one.invoked);
        }
        words
    }
}

fn shown(what: &impl fmt::Debug) -> String {
    let text = format!("{what:?}");
    let skipped = text.chars().count().saturating_sub(SHOWN_CHARACTERS_MAX);
    if skipped == 0 { text } else { format!("...{}", text.chars().skip(skipped).collect::<String>()) }
}

fn bit(words: &[u64], index: usize) -> bool {
    words[index / WORD] >> (index % WORD) & 1 == 1
}

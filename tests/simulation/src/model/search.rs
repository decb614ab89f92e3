//! Breadth-first search through a world, and random walks in it.

use super::seen::Seen;
use super::state::{State, Step};
use super::world::World;
use super::worlds::Shape;
use crate::random::Random;
use crate::rules::Without;

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How many states were seen.
    pub states: usize,
    /// How many steps lead to the furthest.
    pub depth: usize,
    /// Whether all states were seen.
    pub whole: bool,
    /// What is wrong with one of them, and the steps that lead there.
    pub violation: Option<(String, Vec<String>)>,
}

/// Searches a world until a violation, its end, or so many states.
pub fn search(shape: &Shape, rules: Without, states_max: usize) -> Finding {
    search_after(shape, rules, &[], states_max)
}

/// As [`search`], from where these steps lead: each is the beginning of what a step shows itself as.
///
/// # Panics
/// If no such step is possible.
pub fn search_after(shape: &Shape, rules: Without, script: &[&str], states_max: usize) -> Finding {
    let world = World::new(shape.clone(), rules);
    let mut first = world.first();
    world.canon(&mut first);
    for wanted in script {
        let mut steps = Vec::new();
        world.next(&first, &mut steps);
        let key = first.fingerprint();
        let taken = steps.into_iter().find_map(|(step, mut next)| {
            world.canon(&mut next);
            (format!("{step:?}").starts_with(wanted) && next.fingerprint() != key).then_some(next)
        });
        let possible = || {
            let mut steps = Vec::new();
            world.next(&first, &mut steps);
            steps.iter().map(|(step, _)| format!("\n{step:?}")).collect::<String>()
        };
        first = taken.unwrap_or_else(|| panic!("no step {wanted}, of these: {}", possible()));
        if let Some(wrong) = world.wrong(&first) {
            return Finding { states: 1, depth: 0, whole: false, violation: Some((wrong, Vec::new())) };
        }
    }
    let mut seen = Seen::new();
    seen.add(first.fingerprint(), 0);
    let mut level = vec![first.clone()];
    let mut depth = 0;
    let mut steps: Vec<(Step, State)> = Vec::new();
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for state in level {
            let key = state.fingerprint();
            world.next(&state, &mut steps);
            for (_, mut next) in steps.drain(..) {
                world.canon(&mut next);
                let next_key = next.fingerprint();
                if !seen.add(next_key, key) {
                    continue;
                }
                if let Some(wrong) = world.wrong(&next) {
                    let way = retrace(&world, first, &seen.way_to(next_key));
                    return Finding {
                        states: seen.len(),
                        depth: depth + 1,
                        whole: false,
                        violation: Some((wrong, way)),
                    };
                }
                next_level.push(next);
            }
            if seen.len() > states_max {
                return Finding { states: seen.len(), depth, whole: false, violation: None };
            }
        }
        level = next_level;
        depth += 1;
    }
    Finding { states: seen.len(), depth, whole: true, violation: None }
}

/// Walks at random, so many times and so many steps: deeper than a search comes, and not everywhere.
pub fn walk(shape: &Shape, rules: Without, seed: u64, walks: usize, steps_max: usize) -> Finding {
    let world = World::new(shape.clone(), rules);
    let mut first = world.first();
    world.canon(&mut first);
    let mut random = Random::new(seed);
    let mut states = 0;
    let mut steps: Vec<(Step, State)> = Vec::new();
    for _ in 0..walks {
        let mut state = first.clone();
        let mut way = Vec::new();
        let partial = random.permille(500);
        for depth in 1..=steps_max {
            let key = state.fingerprint();
            world.next(&state, &mut steps);
            let mut next = None;
            while next.is_none() && !steps.is_empty() {
                let place = choose(&mut random, &steps, partial);
                let (step, mut candidate) = steps.swap_remove(place);
                world.canon(&mut candidate);
                next = (candidate.fingerprint() != key).then_some((step, candidate));
            }
            steps.clear();
            let Some((step, candidate)) = next else { break };
            states += 1;
            way.push(format!("{step:?}"));
            if let Some(wrong) = world.wrong(&candidate) {
                return Finding { states, depth, whole: false, violation: Some((wrong, way)) };
            }
            state = candidate;
        }
    }
    Finding { states, depth: steps_max, whole: false, violation: None }
}

/// Chooses a step: any, or, on a partial walk, any of a kind, so that the many messages do not drown the few decisions.
fn choose(random: &mut Random, steps: &[(Step, State)], partial: bool) -> usize {
    let place = random.range(0, steps.len() as u64 - 1) as usize;
    if !partial {
        return place;
    }
    let kind = |(step, _): &(Step, State)| std::mem::discriminant(step);
    let mut kinds: Vec<_> = steps.iter().map(kind).collect();
    kinds.dedup();
    let wanted = *random.pick(&kinds);
    let places: Vec<usize> = (0..steps.len()).filter(|place| kind(&steps[*place]) == wanted).collect();
    *random.pick(&places)
}

/// Walks again the way that leads to a state, and notes the steps.
fn retrace(world: &World, first: State, way: &[u64]) -> Vec<String> {
    let mut state = first;
    let mut notes = Vec::new();
    for key in way.iter().skip(1) {
        let mut steps = Vec::new();
        world.next(&state, &mut steps);
        for (step, mut next) in steps {
            world.canon(&mut next);
            if next.fingerprint() == *key {
                notes.push(format!("{step:?}"));
                state = next;
                break;
            }
        }
    }
    notes
}

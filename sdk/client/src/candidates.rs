//! Whom to ask, in which order: the owner, then any other node; last those that could not be reached a short while ago.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Address;

/// How long a node is passed over after it could not be reached once.
const REST_MIN: Duration = Duration::from_millis(500);
/// How long at most.
const REST_MAX: Duration = Duration::from_secs(10);
/// Nodes of one call's round at most: one after the other costs a time-out each.
const ASKED_MAX: usize = 16;

/// Nodes that could not be reached.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    resting: HashMap<Address, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    time: Duration,
}

impl Rests {
    /// A node cannot be reached: it rests, twice as long as the last time.
    pub(crate) fn unreachable(&mut self, address: &Address, now: Instant) {
        let time = self.resting.get(address).map_or(REST_MIN, |rest| (rest.time * 2).min(REST_MAX));
        self.resting.insert(address.clone(), Rest { until: now + time, time });
    }

    /// A node has answered.
    pub(crate) fn reached(&mut self, address: &Address) {
        // Nearly always there is none, and the look-up is not needed.
        if !self.resting.is_empty() {
            self.resting.remove(address);
        }
    }

    fn rests(&self, address: &Address, now: Instant) -> bool {
        self.resting.get(address).is_some_and(|rest| rest.until > now)
    }

    /// The nodes to ask, each once: the owner first, the others from the `turn`-th on, so that calls are spread over them.
    pub(crate) fn order<'a>(
        &self,
        owner: Option<&'a Address>,
        others: &[&'a Address],
        turn: usize,
        now: Instant,
    ) -> Vec<Address> {
        let start = turn.checked_rem(others.len()).unwrap_or(0);
        let (before, after) = others.split_at(start);
        let all = owner.into_iter().chain(after.iter().copied()).chain(before.iter().copied());
        let (mut order, mut last): (Vec<Address>, Vec<Address>) = (Vec::new(), Vec::new());
        for address in all {
            let list = if self.rests(address, now) { &mut last } else { &mut order };
            if !list.contains(address) {
                list.push(address.clone());
            }
        }
        order.append(&mut last);
        order.truncate(ASKED_MAX);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        format!("127.0.0.1:{port}").parse().unwrap()
    }

    #[test]
    fn the_owner_is_asked_first_and_the_others_in_turn() {
        let (rests, now) = (Rests::default(), Instant::now());
        let [a, b, c] = [1, 2, 3].map(address);
        let others = [&a, &b, &c];
        assert_eq!(rests.order(Some(&b), &others, 0, now), [b.clone(), a.clone(), c.clone()]);
        assert_eq!(rests.order(None, &others, 4, now), [b.clone(), c.clone(), a.clone()]);
        assert_eq!(rests.order(None, &[], 4, now), []);
    }

    #[test]
    fn a_node_that_cannot_be_reached_is_asked_last_for_a_while_that_grows() {
        let (mut rests, now) = (Rests::default(), Instant::now());
        let [a, b] = [1, 2].map(address);
        let first = |rests: &Rests, now| rests.order(Some(&a), &[&a, &b], 0, now)[0].clone();
        rests.unreachable(&a, now);
        assert_eq!(first(&rests, now), b);
        assert_eq!(first(&rests, now + REST_MIN), a);
        rests.unreachable(&a, now);
        assert_eq!(first(&rests, now + REST_MIN), b);
        assert_eq!(first(&rests, now + REST_MIN * 2), a);
        rests.reached(&a);
        assert_eq!(first(&rests, now), a);
    }
}

//! Which rules of the protocol are in force.

use shardloom_sharding::protocol::rules::{Rule, Rules};

/// All rules but one, to see that it is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(pub Option<Rule>);

impl Rules for Without {
    fn holds(self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}

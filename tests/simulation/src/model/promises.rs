//! What clients come to know, and what must hold in each state.

use shardloom_sharding::ids::{Epoch, Position};
use shardloom_sharding::protocol::rules::{Rule, Rules};

use super::disk::Cell;
use super::message::Id;
use super::state::State;
use super::world::World;

/// Everything that is committed by the owner's own count is acknowledged, or read.
pub(super) fn acknowledge(state: &mut State, id: Id, epoch: Epoch) {
    let epoch = epoch.0 as u8;
    let node = state.node(id);
    let commit = node.core.owner().map_or(Position(0), |owner| owner.commit());
    let cells = &node.disk.newest.cells;
    let seen: Vec<Cell> = cells.iter().take(commit.0 as usize).copied().collect();
    let facts = &mut state.facts;
    let mut news = false;
    for (place, cell) in seen.iter().enumerate().filter(|(_, cell)| cell.value > 0) {
        let fact = &mut facts.at[usize::from(cell.value) - 1];
        if fact.0 == 0 {
            *fact = (place as u8 + 1, epoch);
            news = true;
        }
    }
    if news {
        let by = facts.by.iter().find(|(of, _)| *of == epoch).map(|(_, by)| *by);
        facts.out_of_order |= epoch < facts.newest || by.is_some_and(|by| by != id);
        facts.newest = facts.newest.max(epoch);
        if by.is_none() {
            facts.by.push((epoch, id));
        }
    }
}

impl World {
    /// What is wrong with a state.
    pub(super) fn wrong(&self, state: &State) -> Option<String> {
        let facts = &state.facts;
        if facts.out_of_order {
            return Some(
                "(b) an acknowledgement under an older epoch after one under a newer, or by two nodes".into(),
            );
        }
        for (a, (at, _)) in facts.at.iter().enumerate().filter(|(_, (at, _))| *at > 0) {
            if facts.at[a + 1..].iter().any(|(other, _)| other == at) {
                return Some(format!("(a) two writes acknowledged at {at}"));
            }
        }
        for id in self.active.iter().copied() {
            let node = state.node(id);
            for other in self.active.iter().map(|id| state.node(*id)) {
                if node.state.iter().zip(&other.state).any(|(a, b)| a != b) {
                    return Some(format!("(a) node {id} has applied what another has not"));
                }
            }
            if !node.disk.newest.cells.starts_with(&node.state) {
                return Some(format!("(a) the log of node {id} lacks what it has applied"));
            }
            let Some(epoch) = node.core.serving(self.rules) else { continue };
            let may_read = !node.out || !self.rules.holds(Rule::ReplyWithLease);
            for (write, (at, since)) in facts.at.iter().enumerate().filter(|(_, (at, _))| *at > 0) {
                let cell = node.disk.newest.cells.get(usize::from(*at) - 1);
                let has = cell.is_some_and(|cell| usize::from(cell.value) == write + 1);
                if !has && u64::from(*since) <= epoch.0 {
                    return Some(format!("(a) node {id} serves under {epoch} without write {}", write + 1));
                }
                if !has && may_read {
                    return Some(format!(
                        "(c) node {id} may answer a read under {epoch} without write {}",
                        write + 1
                    ));
                }
            }
        }
        None
    }
}

//! Plans that people ask for, and those that they have carried out.
//!
//! A plan is made by the planner that the leader itself goes by, from the same map, members, weights and settings. What was told is kept for a
//! while, so that just that can be ordered. Ordered moves wait, learn and are proposed like any other; until the last of them has begun, the
//! leader moves nothing else for the sake of balance.

use std::collections::{BTreeSet, VecDeque};

use crate::change::Change;
use crate::ids::{DiskId, NodeId, Replica, ShardId};
use crate::map::ShardMap;
use crate::plan::{Member, NodeBalance, PlanSettings, Planned, Standing, Zone, balance, plan_beside};

use super::super::super::control::ShardControl;
use super::super::super::rules::Rules;
use super::super::super::timing::Time;
use super::super::preview::{
    NodeOutlook, Order, Ordered, PlanAsk, PlanId, PlanRefusal, PlannedMove, Preview, SUPPOSED_NODES_MAX,
    Supposed, map_digest,
};
use super::{Court, Reign};

/// Plans that a leader keeps: people look at one or two; each may name every shard.
const PLANS_KEPT_MAX: usize = 8;

/// A plan that somebody was told.
#[derive(Clone, Debug)]
struct Told {
    id: PlanId,
    map: u64,
    planned: Vec<Planned>,
    supposes: Option<Supposed>,
}

/// The plans that were told, and what was ordered and has not begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    told: VecDeque<Told>,
    waiting: Vec<Planned>,
}

impl Orders {
    /// What was ordered and has not begun.
    pub(super) fn waiting(&self) -> &[Planned] {
        &self.waiting
    }

    /// Drops what no longer builds on the map, has begun, or would give a shard to somebody who is not there.
    pub(super) fn prune(&mut self, fits: impl Fn(&Change) -> bool) {
        self.waiting.retain(|planned| fits(&planned.change));
    }

    fn keep(&mut self, told: Told) {
        self.told.retain(|old| old.id != told.id);
        self.told.push_back(told);
        if self.told.len() > PLANS_KEPT_MAX {
            self.told.pop_front();
        }
    }

    /// Takes on what is not waiting already.
    fn take_on(&mut self, planned: Vec<Planned>) {
        let waiting: BTreeSet<ShardId> = self.waiting.iter().map(|planned| planned.change.shard).collect();
        self.waiting.extend(planned.into_iter().filter(|one| !waiting.contains(&one.change.shard)));
        self.waiting.sort_unstable_by_key(|planned| planned.change.shard);
    }
}

impl Reign {
    /// What would be planned.
    pub(in super::super) fn preview<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        ask: &PlanAsk,
    ) -> Result<Preview, PlanRefusal> {
        let settings = court.settings.plan;
        let resting = self.rests.resting(now, court.settings.timing.cool_down);
        let (preview, told) = self.draw(court, now, control, ask, (&settings, &resting))?;
        self.orders.keep(told);
        Ok(preview)
    }

    /// Takes on what was told before, or what levels everything now.
    pub(in super::super) fn order<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        order: Order,
    ) -> Result<Ordered, PlanRefusal> {
        let told = match order {
            Order::Plan(id) => {
                let told = self.orders.told.iter().find(|told| told.id == id);
                let told = told.ok_or(PlanRefusal::UnknownPlan(id))?;
                if let Some(supposed) = told.supposes {
                    return Err(PlanRefusal::Supposes(id, supposed));
                }
                if told.map != map_digest(control) {
                    return Err(PlanRefusal::MapChanged(id));
                }
                told.clone()
            }
            Order::Now => {
                let settings = PlanSettings { threshold_percent: 0, moves_max: None, ..court.settings.plan };
                self.draw(court, now, control, &PlanAsk::default(), (&settings, &BTreeSet::new()))?.1
            }
        };
        let ordered = Ordered { id: told.id, moves: told.planned.len() as u32 };
        // Who orders it may know that what held it up is over.
        told.planned.iter().for_each(|planned| self.moves.try_again(planned.change.shard));
        self.orders.take_on(told.planned);
        self.outlook.stale = true;
        self.outlook.surveyed = None;
        Ok(ordered)
    }

    fn draw<R: Rules>(
        &self,
        court: &Court<R>,
        now: Time,
        control: &ShardControl,
        ask: &PlanAsk,
        (settings, resting): (&PlanSettings, &BTreeSet<ShardId>),
    ) -> Result<(Preview, Told), PlanRefusal> {
        let mut members = self.standings(court, now);
        for node in &ask.without {
            let member = members.iter_mut().find(|member| member.replica.node == *node);
            member.ok_or(PlanRefusal::UnknownNode(*node))?.standing = Standing::Draining;
        }
        let supposed = suppose(&mut members, ask.with_nodes)?;
        let weights = ask.weights.as_ref().unwrap_or(&court.weights);
        if ask.weights.is_some() && weights.len() != control.committed().shard_count() as usize {
            return Err(PlanRefusal::WrongWeights);
        }
        let before = self.prospect(control).unwrap_or_else(|| control.committed().clone());
        let mut planned = plan_beside(&before, &members, weights, settings, resting);
        planned.retain(|planned| {
            let shard = planned.change.shard;
            control.pending(shard).is_none() && !self.is_planned(shard)
        });
        let after = after(&before, &planned);
        let (old, new) = (balance(&before, &members, weights), balance(&after, &members, weights));
        let none = NodeBalance::default();
        let outlook = |(node, after): (&NodeId, &NodeBalance)| NodeOutlook {
            node: *node,
            supposed: supposed.iter().position(|one| one == node).map(|place| place as u32 + 1),
            before: old.get(node).copied().unwrap_or(none),
            after: *after,
        };
        let everybody = old.keys().filter(|node| !new.contains_key(node)).map(|node| (node, &none));
        let mut nodes: Vec<NodeOutlook> = new.iter().chain(everybody).map(outlook).collect();
        nodes.sort_unstable_by_key(|outlook| (outlook.supposed, outlook.node));
        let id = PlanId::of(control, &planned);
        let preview = Preview {
            id,
            supposes: ask.supposes(),
            moves: planned.iter().map(|planned| shown(control.committed(), planned)).collect(),
            nodes,
            under_way: (self.moves.changes().count() + self.orders.waiting.len()) as u32,
            resting: resting.len() as u32,
            levelling: court.levelling,
        };
        Ok((preview, Told { id, map: map_digest(control), planned, supposes: ask.supposes() }))
    }

    /// Whether the shard is moved already, or is to be.
    fn is_planned(&self, shard: ShardId) -> bool {
        let ordered = self.orders.waiting.iter().map(|planned| planned.change.shard);
        self.moves.changes().map(|change| change.shard).chain(ordered).any(|planned| planned == shard)
    }
}

/// Adds empty nodes of the mean capacity of those that live, each to the zone that has the fewest; returns their invented names.
fn suppose(members: &mut Vec<Member>, count: u32) -> Result<Vec<NodeId>, PlanRefusal> {
    if count > SUPPOSED_NODES_MAX {
        return Err(PlanRefusal::TooManyNodes);
    }
    let live: Vec<u32> = members
        .iter()
        .filter(|member| member.standing == Standing::Live && member.capacity > 0)
        .map(|member| member.capacity)
        .collect();
    let sum: u64 = live.iter().map(|capacity| u64::from(*capacity)).sum();
    let capacity = sum.checked_div(live.len() as u64).unwrap_or(1).max(1) as u32;
    let mut supposed = Vec::new();
    let mut name = u64::MAX;
    while supposed.len() < count as usize {
        let node = NodeId(name);
        name -= 1;
        if members.iter().any(|member| member.replica.node == node) {
            continue;
        }
        let in_zone = |zone: Zone| members.iter().filter(|member| member.zone == zone).count();
        let zones: BTreeSet<Zone> = members.iter().map(|member| member.zone).collect();
        let zone = zones.into_iter().min_by_key(|zone| (in_zone(*zone), *zone)).unwrap_or_default();
        let replica = Replica { node, disk: DiskId(node.0) };
        members.push(Member { replica, capacity, zone, standing: Standing::Live });
        supposed.push(node);
    }
    Ok(supposed)
}

/// The map after the plan.
fn after(before: &ShardMap, planned: &[Planned]) -> ShardMap {
    let mut map = before.clone();
    for Planned { change, .. } in planned {
        // Refused is only what no control log takes, either.
        let _ = map.assign(change.shard, change.base, Some(change.owner), &change.replicas);
    }
    map
}

fn shown(committed: &ShardMap, Planned { change, reason }: &Planned) -> PlannedMove {
    let old: Vec<Replica> = committed.replicas(change.shard).collect();
    PlannedMove {
        shard: change.shard,
        from: committed.owner(change.shard),
        to: change.owner,
        gains: change.replicas.iter().filter(|new| !old.contains(new)).map(|new| new.node).collect(),
        loses: old.iter().filter(|old| !change.replicas.contains(old)).map(|old| old.node).collect(),
        reason: *reason,
    }
}

//! The leader core: what it knows without leading, and its reign while it leads.

use crate::ids::{NodeId, Term};
use crate::plan::Member;

use super::super::control::ShardControl;
use super::super::rules::{AllRules, Rules};
use super::super::timing::Time;
use super::reign::{Court, Reign};
use super::{
    FlapRule, LeaderCommand, LeaderEvent, LeaderSettings, Levelling, MoveSetback, MoveStatus, MovesEnded,
    Order, Ordered, PlanAsk, PlanRefusal, Preview, Tally,
};

/// The leader's side of the protocol.
#[derive(Clone, Debug)]
pub struct LeaderCore<R: Rules = AllRules> {
    court: Court<R>,
    reign: Option<Reign>,
}

impl LeaderCore {
    /// A core that does not lead yet.
    pub fn new(settings: LeaderSettings) -> LeaderCore {
        LeaderCore::with_rules(AllRules, settings)
    }
}

impl<R: Rules> LeaderCore<R> {
    /// A core that keeps to these rules only.
    pub fn with_rules(rules: R, settings: LeaderSettings) -> LeaderCore<R> {
        let (members, weights, levelling) = (Vec::new(), Vec::new(), Levelling::default());
        let flaps = FlapRule::default();
        LeaderCore { court: Court { rules, settings, members, weights, levelling, flaps }, reign: None }
    }

    /// Takes one event and says what is to be done. `control` is the applied control state, at the event or later.
    pub fn step(
        &mut self,
        now: Time,
        control: &ShardControl,
        event: LeaderEvent,
        commands: &mut Vec<LeaderCommand>,
    ) {
        let event = match event {
            LeaderEvent::Elected { term, at } => {
                self.reign = Some(Reign::begin(now, term, at, control));
                LeaderEvent::Tick
            }
            LeaderEvent::Deposed => {
                self.reign = None;
                return;
            }
            LeaderEvent::Members(members) => {
                self.court.members = members;
                if let Some(reign) = &mut self.reign {
                    reign.see_quarantines(&self.court);
                }
                LeaderEvent::Tick
            }
            LeaderEvent::Weights(weights) => {
                self.court.weights = weights;
                if let Some(reign) = &mut self.reign {
                    reign.weigh_anew();
                }
                LeaderEvent::Tick
            }
            LeaderEvent::Settings(set) => {
                self.court.settings.plan.replicas = set.replicas;
                self.court.settings.moves_in_flight = set.moves_in_flight;
                self.court.settings.plan.threshold_percent = set.threshold_percent;
                self.court.settings.timing.cool_down = set.cool_down;
                self.court.levelling = set.levelling;
                self.court.flaps = set.flaps;
                if let Some(grace) = set.replica_grace {
                    self.court.settings.timing.replica_grace = grace;
                }
                LeaderEvent::Tick
            }
            event => event,
        };
        if let Some(reign) = &mut self.reign {
            reign.step(&self.court, now, control, event, commands);
        }
    }

    /// Whether this node leads and has heard a renewal of the node within the length of a lease.
    pub fn is_live(&self, now: Time, node: NodeId) -> bool {
        self.reign.as_ref().is_some_and(|reign| reign.is_live(&self.court, now, node))
    }

    /// Whether this node leads and the node has said that its disk is full.
    pub fn is_full(&self, node: NodeId) -> bool {
        self.reign.as_ref().is_some_and(|reign| reign.is_full(node))
    }

    /// Whether this node leads and the node has said that its process is about to end.
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.reign.as_ref().is_some_and(|reign| reign.is_leaving(node))
    }

    /// How the planned moves fare, how many wait for room, and what became of the others; nothing while this node does not lead.
    pub fn moves(&self, now: Time) -> (Vec<MoveStatus>, usize, MovesEnded) {
        self.reign.as_ref().map_or_else(Default::default, |reign| reign.moves(now))
    }

    /// What became of the changes that this node has made while it leads, and the term.
    pub fn tally(&self) -> Option<(Term, &Tally)> {
        self.reign.as_ref().map(Reign::tally)
    }

    /// The moves that were given up again and again and are wanted still; none while this node does not lead.
    pub fn setbacks(&self, now: Time) -> Vec<MoveSetback> {
        self.reign.as_ref().map_or_else(Vec::new, |reign| reign.setbacks(now))
    }

    /// What would be planned now, or if something were so that is not. It is remembered, so that it can be ordered.
    ///
    /// # Errors
    ///
    /// This node does not lead, or what is to be supposed cannot be.
    pub fn preview(
        &mut self,
        now: Time,
        control: &ShardControl,
        ask: &PlanAsk,
    ) -> Result<Preview, PlanRefusal> {
        let reign = self.reign.as_mut().ok_or(PlanRefusal::NotLeader)?;
        reign.preview(&self.court, now, control, ask)
    }

    /// Takes on a plan that was told before, or what levels everything now; the next step begins with it.
    ///
    /// # Errors
    ///
    /// This node does not lead, does not know the plan, or the plan does not fit.
    pub fn order(&mut self, now: Time, control: &ShardControl, order: Order) -> Result<Ordered, PlanRefusal> {
        let reign = self.reign.as_mut().ok_or(PlanRefusal::NotLeader)?;
        reign.order(&self.court, now, control, order)
    }

    /// The members as they were last given.
    pub fn members(&self) -> &[Member] {
        &self.court.members
    }
}

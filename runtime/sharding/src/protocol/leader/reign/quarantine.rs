//! Members that fall silent again and again: brought into quarantine, as far as most of the others stay out of it.

use crate::ids::NodeId;
use crate::plan::{Member, Standing};

use super::super::super::rules::Rules;
use super::super::super::timing::Time;
use super::super::LeaderCommand;
use super::super::flaps::may_be_quarantined;
use super::{Court, Reign};

impl<R: Rules> Court<R> {
    /// The members in quarantine.
    fn quarantined(&self) -> impl Iterator<Item = NodeId> {
        let members = self.members.iter();
        let members = members.filter(|member| member.standing == Standing::Quarantined);
        members.map(|member| member.replica.node)
    }

    /// Whether the member is to own nothing while another can.
    pub(super) fn is_kept_out(&self, node: NodeId) -> bool {
        let mut members = self.members.iter().filter(|member| member.replica.node == node);
        members.any(|member| matches!(member.standing, Standing::Quarantined | Standing::Unfit))
    }
}

impl Reign {
    /// Sees who is in quarantine: what it was to take on, it does not.
    pub(in super::super) fn see_quarantines<R: Rules>(&mut self, court: &Court<R>) {
        self.flaps.retain(|node| court.is_member(node));
        for node in court.quarantined() {
            self.moves.drop_towards(node);
            self.orders.prune(|change| change.owner != node);
        }
        self.outlook.stale = true;
    }

    /// Counts who has fallen silent, and has those quarantined who have done so too often.
    pub(super) fn watch_flaps<R: Rules>(
        &mut self,
        court: &Court<R>,
        now: Time,
        commands: &mut Vec<LeaderCommand>,
    ) {
        let timing = &court.settings.timing;
        let heard = self.quorum_heard.is_some_and(|sent| now.since(sent) <= timing.quorum_window);
        let nodes = &self.nodes;
        let is_silent = |node: NodeId| !nodes.is_live(node, now, timing);
        self.flaps.tick(now, timing, heard, is_silent, |node| nodes.is_leaving(node));
        court.quarantined().for_each(|node| self.flaps.forget(node));
        for (node, outages) in self.flaps.too_many(now, court.flaps, timing) {
            if !may_join_them(court, node) {
                continue;
            }
            self.flaps.asked(now, node);
            let (ticket, window) = (self.writing.ticket(), court.flaps.window);
            commands.push(LeaderCommand::Quarantine { ticket, node, outages, window });
        }
    }
}

/// Whether the node may be in quarantine beside those that are.
fn may_join_them<R: Rules>(court: &Court<R>, node: NodeId) -> bool {
    let active = court.members.iter();
    let active = active.filter(|member| !matches!(member.standing, Standing::Draining | Standing::Gone));
    let quarantined = court.quarantined().count();
    let may_be_it = |member: &Member| member.replica.node == node && member.standing != Standing::Quarantined;
    active.clone().any(may_be_it) && may_be_quarantined(quarantined + 1, active.count())
}

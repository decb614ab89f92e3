//! Which members are to own no shards, and why: those in quarantine, and those without the labels that workloads ask for.
//!
//! There is one shard map for all workloads, so what one of them asks for holds for all shards. What it asks for is its name's, not a version's: the last
//! deploy says it.
//!
//! A node in quarantine keeps its replicas and its vote, and confirms as before. An operator alone releases it: whatever made it end again and again is
//! still there until somebody has looked, and a node that is quiet since it has nothing to do proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::NodeId;
use shardloom_sharding::protocol::leader::may_be_quarantined;

use super::member::{Member, MemberStanding};

/// Bytes of the reason that is kept: a sentence or two.
pub const QUARANTINE_REASON_BYTES_MAX: usize = 512;

/// Why a node is in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The index of the entry that brought it there.
    pub since: u64,
    /// Why, for people.
    pub reason: String,
}

/// Why a node is not brought into quarantine, or out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum QuarantineRefused {
    /// It is there.
    #[error("node {0} is in quarantine already")]
    Already(NodeId),
    /// It is not there.
    #[error("node {0} is not in quarantine: `shardloom nodes` shows which are")]
    NotThere(NodeId),
    /// Too few others would be left.
    #[error(
        "with node {node}, {quarantined} of {active} active nodes would be in quarantine, and it must stay fewer than half: release another first \
         (`shardloom node release`), or add nodes"
    )]
    TooMany {
        /// The node.
        node: NodeId,
        /// How many there would be.
        quarantined: usize,
        /// Of how many.
        active: usize,
    },
    /// The reason is too long.
    #[error("a reason has at most {QUARANTINE_REASON_BYTES_MAX} bytes")]
    LongReason,
}

/// Why a workload may not ask for some labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LabelsRefused {
    /// Nobody could own shards.
    #[error(
        "no active node has all labels that would be asked for, {labels}: there is one shard map for all workloads, so its owners need all of them. \
         Start nodes with `--label KEY=VALUE` first"
    )]
    Nobody {
        /// All that would be asked for.
        labels: String,
    },
    /// Too many, or too long.
    #[error(
        "a workload asks for at most {REQUIRED_LABELS_MAX} labels of {REQUIRED_LABEL_BYTES_MAX} bytes each"
    )]
    TooMuch,
}

/// Labels, by their keys.
pub type Labels = BTreeMap<String, String>;

/// Labels that one workload may ask for.
pub const REQUIRED_LABELS_MAX: usize = 16;
/// Bytes of the key and of the value of a label that is asked for.
pub const REQUIRED_LABEL_BYTES_MAX: usize = 256;

/// The members that are to own no shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusions {
    quarantined: BTreeMap<NodeId, Quarantine>,
    /// What workloads ask of the owners of shards, by their names.
    required: BTreeMap<String, Labels>,
}

/// A label that a workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredLabel<'a> {
    /// The workload.
    pub workload: &'a str,
    /// The label's key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

impl fmt::Display for RequiredLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({} asks for it)", self.key, self.value, self.workload)
    }
}

impl Exclusions {
    /// Why the node is in quarantine, if it is.
    pub fn quarantine(&self, node: NodeId) -> Option<&Quarantine> {
        self.quarantined.get(&node)
    }

    /// Brings a member into quarantine.
    pub(super) fn begin(
        &mut self,
        index: u64,
        node: NodeId,
        reason: String,
        members: &BTreeMap<NodeId, Member>,
    ) -> Result<(), QuarantineRefused> {
        if self.quarantined.contains_key(&node) {
            return Err(QuarantineRefused::Already(node));
        }
        if reason.len() > QUARANTINE_REASON_BYTES_MAX {
            return Err(QuarantineRefused::LongReason);
        }
        let active = members.values().filter(|member| member.standing == MemberStanding::Active);
        let others = active.clone().filter(|member| self.quarantined.contains_key(&member.node));
        let (quarantined, active) = (others.count() + 1, active.count());
        if !may_be_quarantined(quarantined, active) {
            return Err(QuarantineRefused::TooMany { node, quarantined, active });
        }
        self.quarantined.insert(node, Quarantine { since: index, reason });
        Ok(())
    }

    /// Takes a member out of quarantine.
    pub(super) fn end(&mut self, node: NodeId) -> Result<(), QuarantineRefused> {
        self.quarantined.remove(&node).map(drop).ok_or(QuarantineRefused::NotThere(node))
    }

    /// What a workload asks of the owners of shards.
    pub fn required_by(&self, workload: &str) -> Option<&Labels> {
        self.required.get(workload)
    }

    /// All labels that workloads ask for.
    pub fn required(&self) -> impl Iterator<Item = RequiredLabel<'_>> {
        self.required.iter().flat_map(|(workload, labels)| {
            labels.iter().map(move |(key, value)| RequiredLabel { workload, key, value })
        })
    }

    /// What is asked for that a node with these labels does not have.
    pub fn lacking<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = RequiredLabel<'a>> {
        self.required().filter(move |label| labels.get(label.key).map(String::as_str) != Some(label.value))
    }

    /// Notes what a workload asks for from now on; nothing, where it is gone.
    pub(super) fn require(&mut self, workload: &str, labels: Labels) {
        match labels.is_empty() {
            true => drop(self.required.remove(workload)),
            false => drop(self.required.insert(workload.to_owned(), labels)),
        }
    }

    /// Whether some active member has all that would be asked for, if a workload asked for these.
    pub(super) fn check(
        &self,
        workload: &str,
        labels: &Labels,
        members: &BTreeMap<NodeId, Member>,
    ) -> Result<(), LabelsRefused> {
        let fits = |(key, value): (&String, &String)| key.len() + value.len() <= REQUIRED_LABEL_BYTES_MAX;
        if labels.len() > REQUIRED_LABELS_MAX || !labels.iter().all(fits) {
            return Err(LabelsRefused::TooMuch);
        }
        let mut then = self.clone();
        then.require(workload, labels.clone());
        let active = members.values().filter(|member| member.standing == MemberStanding::Active);
        match active.into_iter().any(|member| then.lacking(&member.labels).next().is_none()) {
            true => Ok(()),
            false => Err(LabelsRefused::Nobody {
                labels: then.required().map(|label| label.to_string()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Forgets a node that is no member any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.quarantined.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;
    use shardloom_protocol::workload::{WorkloadLimits, WorkloadSpec};
    use shardloom_sharding::ids::Term;

    use super::*;
    use crate::control::{Author, ControlCommand, ControlState, Event, Founding, Outcome, Refused};

    /// A cluster of so many nodes, numbered from 1.
    fn cluster(nodes: u64) -> Option<ControlState> {
        let mut state = None;
        let found = ControlCommand::Found(Box::new(Founding::example()));
        ControlState::apply(&mut state, 1, Term(1), found).0.unwrap();
        let cluster = state.as_mut().unwrap();
        for node in 2..=nodes {
            let member = Member { node: NodeId(node), ..cluster.founding.founder.clone() };
            cluster.members.insert(member.node, member);
        }
        if let Some(state) = &mut state {
            state.later.level = crate::formats::LEVEL;
        }
        state
    }

    fn apply(
        state: &mut Option<ControlState>,
        index: u64,
        command: ControlCommand,
    ) -> Result<Outcome, Refused> {
        ControlState::apply(state, index, Term(1), command.by(Author::Token("ci".into()))).0
    }

    fn quarantine(node: u64) -> ControlCommand {
        ControlCommand::Quarantine { node: NodeId(node), reason: "it ends again and again".into() }
    }

    #[test]
    fn a_quarantine_is_kept_with_its_reason_until_it_is_released_or_the_node_is_removed() {
        let mut state = cluster(5);
        apply(&mut state, 2, quarantine(3)).unwrap();
        apply(&mut state, 3, quarantine(4)).unwrap();
        let told = |state: &Option<ControlState>, node| {
            let quarantine = state.as_ref().unwrap().later.exclusions.quarantine(NodeId(node)).cloned();
            quarantine.map(|quarantine| (quarantine.since, quarantine.reason))
        };
        assert_eq!(told(&state, 3), Some((2, "it ends again and again".into())));
        apply(&mut state, 4, ControlCommand::Release { node: NodeId(3) }).unwrap();
        apply(&mut state, 5, ControlCommand::RemoveMember { node: NodeId(4), force: false }).unwrap();
        assert_eq!((told(&state, 3), told(&state, 4)), (None, None));
        let state = state.unwrap();
        let events = state.events.after(1, usize::MAX).events;
        let reason = "it ends again and again".to_owned();
        assert_eq!(events[0], (2, Event::NodeQuarantined { node: NodeId(3), reason }));
        assert_eq!(events[2], (4, Event::NodeReleased { node: NodeId(3) }));
        let audit: Vec<_> = state.audit.after(1).map(|entry| entry.what.clone()).collect();
        assert_eq!(audit[0], "quarantine node 0000000000000003: it ends again and again");
        assert_eq!(audit[2], "release node 0000000000000003 from quarantine");
    }

    #[test]
    fn fewer_than_half_of_the_active_nodes_are_in_quarantine() {
        let refused = |outcome: Result<Outcome, Refused>| outcome.unwrap_err().to_string();
        let mut state = cluster(2);
        assert!(refused(apply(&mut state, 2, quarantine(1))).contains("1 of 2 active nodes"));
        let mut state = cluster(3);
        apply(&mut state, 2, quarantine(1)).unwrap();
        assert!(refused(apply(&mut state, 3, quarantine(2))).contains("2 of 3 active nodes"));
        assert!(refused(apply(&mut state, 4, quarantine(1))).contains("already"));
        assert!(refused(apply(&mut state, 5, quarantine(9))).contains("no node"));
        let release = |node| ControlCommand::Release { node: NodeId(node) };
        assert!(refused(apply(&mut state, 6, release(2))).contains("not in quarantine"));
        let long = ControlCommand::Quarantine { node: NodeId(2), reason: "x".repeat(513) };
        apply(&mut state, 7, release(1)).unwrap();
        assert!(refused(apply(&mut state, 8, long)).contains("512 bytes"));
    }

    #[test]
    fn what_a_workload_asks_for_is_what_its_last_deploy_says() {
        let mut state = cluster(3);
        let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        state.as_mut().unwrap().members.get_mut(&NodeId(2)).unwrap().labels = label("disk", "nvme");
        let spec = WorkloadSpec {
            component: Digest([1; 32]),
            shard_function: None,
            config: BTreeMap::new(),
            limits: WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        };
        let deploy = |name: &str, replaces, labels| ControlCommand::DeployOnLabels {
            name: name.into(),
            spec: Box::new(spec.clone()),
            replaces,
            labels,
        };
        let lack = |state: &Option<ControlState>| {
            let state = state.as_ref().unwrap();
            let lacks = |member: &&Member| state.later.exclusions.lacking(&member.labels).next().is_some();
            state.members.values().filter(lacks).map(|member| member.node.0).collect::<Vec<_>>()
        };
        let refused = apply(&mut state, 2, deploy("w", 0, label("disk", "tape"))).unwrap_err().to_string();
        assert!(refused.contains("disk=tape (w asks for it)") && lack(&state).is_empty(), "{refused}");
        assert!(!state.as_ref().unwrap().workloads.contains_key("w"), "it is not deployed either");
        apply(&mut state, 3, deploy("w", 0, label("disk", "nvme"))).unwrap();
        assert_eq!(lack(&state), [1, 3]);
        // What two ask for together nobody has.
        apply(&mut state, 4, deploy("x", 0, label("disk", "ssd"))).unwrap_err();
        let plain =
            |replaces| ControlCommand::DeployWorkload { name: "w".into(), spec: spec.clone(), replaces };
        apply(&mut state, 5, plain(9)).unwrap_err();
        assert_eq!(lack(&state), [1, 3], "that deploy was refused");
        apply(&mut state, 6, plain(3)).unwrap();
        assert!(lack(&state).is_empty(), "it asks for nothing any more");
        apply(&mut state, 7, deploy("w", 6, label("disk", "nvme"))).unwrap();
        apply(&mut state, 8, ControlCommand::RemoveWorkload { name: "w".into() }).unwrap();
        assert!(lack(&state).is_empty(), "it is gone");
    }
}

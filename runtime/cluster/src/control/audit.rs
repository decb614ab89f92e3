//! The audit: who changed what through the control log, when, and what came of it. A ring, the same on every node.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::map_codec::decode_changes;
use shardloom_sharding::protocol::control::NothingLeft;

use super::author::Author;
use super::certificates::CertificateChange;
use super::command::{ControlCommand, Outcome, Refused};
use super::member::MemberStanding;
use super::versions::VersionChange;

/// Entries that are kept: months of what operators do, and 3 MB at most in every snapshot of the control state.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;
/// Bytes of each text of an entry; more is cut off.
pub(super) const AUDIT_TEXT_BYTES_MAX: usize = 300;

/// What somebody did, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the control log.
    pub index: u64,
    /// What the leader's wall clock showed when it was written, in milliseconds since 1970. Shown, and nothing else.
    pub at_unix_ms: u64,
    /// Who.
    pub by: Author,
    /// What, for people.
    pub what: String,
    /// The component that it is about, or the backup.
    pub digest: Option<Digest>,
    /// What came of it; for people, if it was refused.
    pub outcome: Result<Outcome, String>,
    /// How often in a row: the index and the time are those of the last.
    pub times: u32,
}

/// The newest entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    entries: VecDeque<AuditEntry>,
    /// How many entries were dropped for newer ones.
    dropped: u64,
}

impl AuditLog {
    /// Adds an entry. One that says the same as the last is counted there: who tries again and again drives nothing out.
    pub fn add(&mut self, entry: AuditEntry) {
        if let Some(last) = self.entries.back_mut().filter(|last| last.says_the_same(&entry)) {
            let times = last.times.saturating_add(entry.times);
            *last = AuditEntry { times, ..entry };
            return;
        }
        if self.entries.len() == AUDIT_ENTRIES_MAX {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
    }

    /// The entries after an index, the oldest first.
    pub fn after(&self, index: u64) -> impl ExactSizeIterator<Item = &AuditEntry> {
        let first = self.entries.partition_point(|entry| entry.index <= index);
        self.entries.range(first..)
    }

    /// How many entries were dropped for newer ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl AuditEntry {
    /// What became of a command. `about` says what it was for people, and which component it is about.
    pub fn new(
        index: u64,
        (by, at_unix_ms): (Author, u64),
        (what, digest): (String, Option<Digest>),
        outcome: &Result<Outcome, Refused>,
    ) -> AuditEntry {
        let outcome = outcome.as_ref().copied().map_err(|refused| cut(refused.to_string()));
        AuditEntry { index, at_unix_ms, by, what: cut(what), digest, outcome, times: 1 }
    }

    fn says_the_same(&self, other: &AuditEntry) -> bool {
        self.by == other.by
            && self.what == other.what
            && self.digest == other.digest
            && self.outcome == other.outcome
    }
}

/// What a command does, for people, and the component that it is about. None for what the leader does unasked as part of its trade.
pub(super) fn about(command: &ControlCommand) -> Option<(String, Option<Digest>)> {
    let said = |what: String| Some((what, None));
    match command {
        ControlCommand::Propose { .. }
        | ControlCommand::Commit { .. }
        | ControlCommand::SetWeights { .. }
        | ControlCommand::Audited(_) => None,
        ControlCommand::Found(founding) => {
            said(format!("make the cluster, with {} shards", founding.shard_count))
        }
        ControlCommand::AddMember { member, .. } => {
            said(format!("join as node {} at {}{}", member.node, member.addresses.http, zone(&member.zone)))
        }
        ControlCommand::UpdateMember { member } => said(format!(
            "start node {} with disk {} at {}{}, capacity {}",
            member.node,
            member.disk,
            member.addresses.http,
            zone(&member.zone),
            member.capacity
        )),
        ControlCommand::SetStanding { node, standing } => said(match standing {
            MemberStanding::Active => format!("add node {node}"),
            MemberStanding::Draining => format!("drain node {node}"),
            MemberStanding::Pending => format!("have node {node} wait"),
        }),
        ControlCommand::RemoveMember { node, force: false } => said(format!("remove node {node}")),
        ControlCommand::RemoveMember { node, force: true } => {
            said(format!("remove node {node} by force, even where that orphans data"))
        }
        ControlCommand::CreateToken { life_s, .. } => {
            said(format!("create a join token, good for {life_s} s"))
        }
        ControlCommand::DropToken { .. } => said("drop a join token that has expired".into()),
        ControlCommand::DeployWorkload { name, spec, replaces } => {
            let over = if *replaces == 0 { "" } else { " over the version before" };
            Some((format!("deploy {name}{over}"), Some(spec.component)))
        }
        ControlCommand::ChangeVersion { name, change, .. } => match change {
            VersionChange::Canary { spec, share } => {
                Some((format!("deploy a canary of {name} on {share} of the shards"), Some(spec.component)))
            }
            VersionChange::Promote => said(format!("promote the canary of {name}")),
            VersionChange::RollBack { to: None } => said(format!("roll {name} back")),
            VersionChange::RollBack { to: Some(version) } => {
                said(format!("roll {name} back to version {version}"))
            }
        },
        ControlCommand::RemoveWorkload { name } => said(format!("undeploy {name}")),
        ControlCommand::SetWeigher { component } => Some(("set the weigher".into(), Some(*component))),
        ControlCommand::UnsetWeigher => said("unset the weigher".into()),
        ControlCommand::WeigherFailed { component, reason } => {
            Some((format!("raise an alarm: the weigher gave no weights: {reason}"), Some(*component)))
        }
        ControlCommand::SetSettings { values } => {
            let values: Vec<String> = values
                .iter()
                .map(|(setting, value)| format!("{}={}", setting.name(), setting.show(*value)))
                .collect();
            said(format!("set {}", values.join(", ")))
        }
        ControlCommand::RepairShards { changes, nothing_left } => {
            let shards = decode_changes(changes).map_or(0, |changes| changes.len());
            let begin = match nothing_left {
                NothingLeft::Refuse => "",
                NothingLeft::BeginEmpty => ", and beginning those anew of which nothing is left",
            };
            said(format!("repair {shards} shard(s), accepting the loss of data{begin}"))
        }
        ControlCommand::CreateAccessToken { name, role, .. } => {
            said(format!("create the token {name}, of a {role}"))
        }
        ControlCommand::RevokeAccessToken { name } => said(format!("revoke the token {name}")),
        ControlCommand::RaiseLevel { level, .. } => said(format!("raise the formats to {level}")),
        ControlCommand::Note { what, digest, .. } => Some((what.clone(), *digest)),
        ControlCommand::Certificates(change) => match &**change {
            CertificateChange::Begin(_) => said("rotate the certificates of all nodes".into()),
            CertificateChange::Confirm { .. } | CertificateChange::End { .. } => None,
        },
        ControlCommand::Quarantine { node, reason } => said(format!("quarantine node {node}: {reason}")),
        ControlCommand::DeployOnLabels { name, spec, labels, .. } => {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Some((format!("deploy {name}, for owners with {}", labels.join(", ")), Some(spec.component)))
        }
        ControlCommand::Release { node } => said(format!("release node {node} from quarantine")),
    }
}

fn zone(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", zone {name}") }
}

/// A text that fits.
fn cut(mut text: String) -> String {
    if text.len() > AUDIT_TEXT_BYTES_MAX {
        let mut end = AUDIT_TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entry(index: u64, what: &str) -> AuditEntry {
        let by = (Author::Token("ci".into()), 1_000 * index);
        AuditEntry::new(index, by, (what.to_owned(), None), &Ok(Outcome::Done))
    }

    #[test]
    fn entries_are_found_after_an_index() {
        let mut log = AuditLog::default();
        for index in [3, 5, 9] {
            log.add(entry(index, &format!("do {index}")));
        }
        let after = |index| log.after(index).map(|entry| entry.index).collect::<Vec<_>>();
        assert_eq!((after(0), after(3), after(4), after(9)), (vec![3, 5, 9], vec![5, 9], vec![5, 9], vec![]));
    }

    #[test]
    fn the_oldest_go_and_are_counted() {
        let mut log = AuditLog::default();
        for index in 0..AUDIT_ENTRIES_MAX as u64 + 7 {
            log.add(entry(index + 1, &format!("do {index}")));
        }
        assert_eq!((log.after(0).len(), log.dropped()), (AUDIT_ENTRIES_MAX, 7));
        assert_eq!(log.after(0).next().map(|entry| entry.index), Some(8));
    }

    #[test]
    fn the_same_in_a_row_is_one_entry_and_something_else_begins_anew() {
        let mut log = AuditLog::default();
        for index in 1..=5_000 {
            log.add(entry(index, "drain"));
        }
        log.add(entry(5_001, "add"));
        log.add(entry(5_002, "drain"));
        let told: Vec<_> =
            log.after(0).map(|entry| (entry.index, entry.times, entry.what.as_str())).collect();
        assert_eq!(told, [(5_000, 5_000, "drain"), (5_001, 1, "add"), (5_002, 1, "drain")]);
    }

    #[test]
    fn a_refusal_keeps_its_reason_and_texts_are_cut() {
        let by = (Author::Token("ci".into()), 7);
        let long = "ü".repeat(AUDIT_TEXT_BYTES_MAX);
        let refused = Err(Refused::UnknownWorkload { name: long.clone() });
        let entry = AuditEntry::new(1, by, (long, None), &refused);
        assert!(entry.what.len() <= AUDIT_TEXT_BYTES_MAX + '…'.len_utf8());
        assert!(entry.outcome.unwrap_err().starts_with("no workload"));
    }

    #[test]
    fn what_an_operator_does_is_told_and_what_the_leader_does_as_its_trade_is_not() {
        let told = |command: ControlCommand| about(&command).map(|(what, _)| what);
        let drain = ControlCommand::SetStanding {
            node: shardloom_sharding::ids::NodeId(161),
            standing: MemberStanding::Draining,
        };
        assert_eq!(told(drain).as_deref(), Some("drain node 00000000000000a1"));
        let settings =
            ControlCommand::SetSettings { values: vec![(crate::control::Setting::MoveRate, 32 << 20)] };
        assert_eq!(told(settings).as_deref(), Some("set move_rate=32MiB/s"));
        let secret = ControlCommand::CreateToken { token: Digest([7; 32]), life_s: 900 };
        assert_eq!(about(&secret), Some(("create a join token, good for 900 s".into(), None)));
        assert_eq!(
            told(ControlCommand::Propose { changes: bytes::Bytes::new(), absent: BTreeMap::new() }),
            None
        );
    }
}

//! The bytes of level 1, held against what its first build wrote: whoever changes them by mistake locks out the nodes of that level.

use std::collections::BTreeMap;

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::{
    CommittedLeaderId, EmptyNode, EntryPayload, Membership, SnapshotMeta, StoredMembership, Vote,
};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::envelope::{self, Kind};
use shardloom_protocol::workload::{Bodies, HttpSpec, Reuse, WorkloadLimits, WorkloadSpec};
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{
    Boot, ClusterId, DiskId, Epoch, NodeId, Position, Replica, ShardId, Tail, Term,
};
use shardloom_sharding::map_codec::encode_changes;
use shardloom_sharding::protocol::control::NothingLeft;
use shardloom_sharding::protocol::log::LogIndex;
use shardloom_sharding::protocol::messages::{
    Append, Appended, Body, Entry as ShardEntry, Fetch, Fetched, FromLeader, LearnProgress, Learners,
    Outcome as AppendOutcome, PeerMessage, SealVerdict, ShardEpoch, Space, ToLeader,
};

use crate::control::{
    Absence, AccessError, Addresses, Author, ControlCommand, ControlReply, Founding, Member, MemberStanding,
    Outcome, Refused, Setting, TokenRole, VersionChange,
};
use crate::identity::Logs;
use crate::join::{AttachRequest, JoinRefusal, JoinRequest, Joined};
use crate::leading::LeaderNews;
use crate::raft::{
    AppliedState, Entry, LogId, RaftRpc, SnapshotStore, StateMachine, encode_entry, encode_register,
};
use crate::writer::WriteError;

/// What the first build of level 1 wrote: a name and its bytes in each line.
const LEVEL_1: &str = include_str!("level-1.golden");
/// How many commands level 1 knows.
const COMMANDS: u8 = 22;

fn member(number: u64) -> Member {
    let address = |port: u64| format!("127.0.0.{number}:{port}");
    Member {
        node: NodeId(number),
        disk: DiskId(100 + number),
        addresses: Addresses { http: address(7080), peer: address(7081), gossip: address(7082) },
        zone: format!("z{number}"),
        capacity: 100,
        labels: BTreeMap::from([("disk".to_owned(), "nvme".to_owned())]),
        standing: MemberStanding::Active,
    }
}

fn spec(number: u8) -> WorkloadSpec {
    WorkloadSpec {
        component: Digest([number; 32]),
        shard_function: Some(Digest([9; 32])),
        config: BTreeMap::from([("word".to_owned(), "one".to_owned())]),
        limits: WorkloadLimits { deadline_ms: Some(500), state_bytes: Some(1 << 20), ..Default::default() },
        http: Some(HttpSpec {
            key_from: "header:x-user,random".parse().unwrap(),
            reuse: Reuse::Always,
            bodies: Bodies::Streamed,
        }),
        grants: vec!["http:example.org:443".parse().unwrap()],
    }
}

fn changes(base: u64, nodes: &[u64]) -> Bytes {
    let replica = |node: &u64| Replica { node: NodeId(*node), disk: DiskId(100 + node) };
    let change = |shard| Change {
        shard: ShardId(shard),
        base: Epoch(base),
        owner: NodeId(nodes[0]),
        replicas: nodes.iter().map(replica).collect(),
    };
    encode_changes(&[change(0), change(2)]).unwrap().into()
}

/// Examples of all commands of level 1, in an order in which each has an effect; each is the entry after the one before, from 1 on.
fn commands() -> Vec<(&'static str, ControlCommand)> {
    let name = || "w".to_owned();
    let change = |base, change| ControlCommand::ChangeVersion { name: name(), base, change };
    let canary = VersionChange::Canary { spec: Box::new(spec(2)), share: "25%".parse().unwrap() };
    let founding = Founding {
        ca_certificate: "certificate".into(),
        ca_key: "key".into(),
        admin_token: Digest([6; 32]),
        founder: member(1),
        ..Founding::example()
    };
    let token = Digest([5; 32]);
    let weigher = Digest([4; 32]);
    let shards = vec![ShardId(0), ShardId(2)];
    vec![
        ("found", ControlCommand::Found(Box::new(founding)).by(Author::Node(NodeId(1)))),
        ("create-token", ControlCommand::CreateToken { token, life_s: 900 }),
        ("add-member", ControlCommand::AddMember { member: member(2), token }),
        ("update-member", ControlCommand::UpdateMember { member: Member { capacity: 7, ..member(2) } }),
        (
            "propose",
            ControlCommand::Propose {
                changes: changes(0, &[1, 2]),
                absent: BTreeMap::from([(NodeId(3), Absence::Silent)]),
            },
        ),
        ("commit", ControlCommand::Commit { epoch: Epoch(5), term: Term(1), shards }),
        (
            "repair-shards",
            ControlCommand::RepairShards { changes: changes(5, &[2]), nothing_left: NothingLeft::BeginEmpty },
        ),
        ("set-standing", ControlCommand::SetStanding { node: NodeId(2), standing: MemberStanding::Draining }),
        ("deploy", ControlCommand::DeployWorkload { name: name(), spec: spec(1), replaces: 0 }),
        ("change-version-canary", change(9, canary)),
        ("change-version-promote", change(10, VersionChange::Promote)),
        ("change-version-roll-back", change(11, VersionChange::RollBack { to: Some(1) })),
        ("set-weigher", ControlCommand::SetWeigher { component: weigher }),
        ("set-weights", ControlCommand::SetWeights { component: weigher, weights: vec![1, 2, 3, 400] }),
        ("weigher-failed", ControlCommand::WeigherFailed { component: weigher, reason: "a trap".into() }),
        (
            "set-settings",
            ControlCommand::SetSettings { values: vec![(Setting::Replicas, 2), (Setting::CoolDown, 60_000)] },
        ),
        (
            "create-access-token",
            ControlCommand::CreateAccessToken {
                name: "ci".into(),
                role: TokenRole::Deployer,
                digest: Digest([7; 32]),
            }
            .by(Author::Token("founder".into())),
        ),
        (
            "note",
            ControlCommand::Note {
                what: "restore".into(),
                digest: Some(Digest([8; 32])),
                refused: Some("busy".into()),
            }
            .by(Author::Token("ci".into())),
        ),
        ("create-second-token", ControlCommand::CreateToken { token: Digest([3; 32]), life_s: 60 }),
        ("drop-token", ControlCommand::DropToken { token: Digest([2; 32]) }),
        ("revoke-access-token", ControlCommand::RevokeAccessToken { name: "ci".into() }),
        ("deploy-other", ControlCommand::DeployWorkload { name: "x".into(), spec: spec(3), replaces: 0 }),
        ("remove-workload", ControlCommand::RemoveWorkload { name: "x".into() }),
        ("unset-weigher", ControlCommand::UnsetWeigher),
        ("remove-member", ControlCommand::RemoveMember { node: NodeId(2), force: true }),
    ]
}

fn at(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, NodeId(1)), index)
}

fn entries() -> Vec<(&'static str, Entry)> {
    let entry = |(place, (name, command))| {
        let index = place as u64 + 1;
        (name, Entry { log_id: at(index), payload: EntryPayload::Normal(command) })
    };
    commands().into_iter().enumerate().map(entry).collect()
}

fn membership() -> Membership<NodeId, EmptyNode> {
    let nodes = BTreeMap::from([1, 2].map(|node| (NodeId(node), EmptyNode::default())));
    Membership::new(vec![[NodeId(1)].into()], nodes)
}

/// What a node has applied after all examples.
fn applied() -> AppliedState {
    let mut state =
        AppliedState { membership: StoredMembership::new(Some(at(0)), membership()), ..Default::default() };
    for (name, entry) in entries() {
        let reply = StateMachine::apply_entry(&mut state, entry, &mut Vec::new());
        assert_eq!(reply.outcome.is_ok(), name != "note", "{name}: {reply:?}");
    }
    state
}

fn message<T: serde::Serialize>(kind: Kind, body: &T) -> Vec<u8> {
    envelope::encode(kind, body).unwrap().to_vec()
}

/// Everything that level 1 writes through this crate, by name.
fn written() -> Vec<(String, Vec<u8>)> {
    let mut written = Vec::new();
    let mut note = |name: &str, bytes: Vec<u8>| written.push((name.to_owned(), bytes));
    for (name, entry) in entries() {
        note(&format!("entry-{name}"), encode_entry(&entry).unwrap().to_vec());
    }
    let blank = Entry { log_id: at(40), payload: EntryPayload::Blank };
    let members = Entry { log_id: at(41), payload: EntryPayload::Membership(membership()) };
    note("entry-blank", encode_entry(&blank).unwrap().to_vec());
    note("entry-membership", encode_entry(&members).unwrap().to_vec());
    let vote = Vote::new_committed(7, NodeId(1));
    note("register-vote", encode_register(&vote).unwrap().to_vec());
    note("register-committed", encode_register(&Some(at(9))).unwrap().to_vec());
    let state = applied();
    note("snapshot", SnapshotStore::encode(&state).unwrap());
    note("snapshot-empty", SnapshotStore::encode(&AppliedState::default()).unwrap());

    let drop_token = ControlCommand::DropToken { token: Digest([2; 32]) };
    let entries =
        vec![blank, members, Entry { log_id: at(42), payload: EntryPayload::Normal(drop_token.clone()) }];
    let append =
        AppendEntriesRequest { vote, prev_log_id: Some(at(39)), entries, leader_commit: Some(at(38)) };
    note("raft-append", message(Kind::Raft, &RaftRpc::Append(append)));
    let ask = VoteRequest::new(Vote::new(8, NodeId(2)), Some(at(42)));
    note("raft-vote", message(Kind::Raft, &RaftRpc::Vote(ask)));
    let meta = SnapshotMeta {
        last_log_id: state.last,
        last_membership: state.membership.clone(),
        snapshot_id: "1-25".into(),
    };
    note("raft-snapshot", message(Kind::Raft, &RaftRpc::Snapshot { vote, meta, data: vec![1, 2, 3] }));
    let answer: Result<AppendEntriesResponse<NodeId>, String> = Ok(AppendEntriesResponse::Conflict);
    note("raft-append-reply", message(Kind::RaftReply, &answer));
    note("write", message(Kind::Write, &drop_token));
    let replies: [Result<ControlReply, WriteError>; 6] = [
        Ok(ControlReply { index: 7, outcome: Ok(Outcome::Deployed { version: 3 }) }),
        Ok(ControlReply { index: 7, outcome: Err(Refused::Noted { reason: "no".into() }) }),
        Ok(ControlReply {
            index: 7,
            outcome: Err(Refused::Access(AccessError::LastAdmin { name: "a".into() })),
        }),
        Err(WriteError::NoLeader),
        Err(WriteError::NotLeader { leader: Some(NodeId(2)) }),
        Err(WriteError::Unknown("lost".into())),
    ];
    note("write-replies", replies.iter().flat_map(|reply| message(Kind::WriteReply, reply)).collect());
    let join = JoinRequest { secret: vec![1; 4], member: member(3), signing_request: vec![2; 4] };
    note("join", message(Kind::Join, &join));
    let joined = Joined {
        cluster: ClusterId(7),
        certificate_pem: "certificate".into(),
        ca_pem: "authority".into(),
        members: vec![member(1)],
    };
    let refusals = [
        JoinRefusal::NotNow("later".into()),
        JoinRefusal::Never("no".into()),
        JoinRefusal::Duplicate,
        JoinRefusal::Removed,
    ];
    note("joined", message(Kind::JoinReply, &Ok::<Joined, JoinRefusal>(joined)));
    let refused = |refusal: &JoinRefusal| message(Kind::AttachReply, &Err::<(), &JoinRefusal>(refusal));
    note("attach-refusals", refusals.iter().flat_map(refused).collect());
    for (name, logs) in [("attach", Logs::Kept), ("attach-anew", Logs::Lost)] {
        note(name, message(Kind::Attach, &AttachRequest { member: member(3), boot: Boot(4), logs }));
    }
    let news = LeaderNews {
        term: Term(3),
        silent: vec![NodeId(2)],
        unavailable: vec![ShardId(1)],
        full: vec![NodeId(3)],
        ..LeaderNews::default()
    };
    note("news", message(Kind::News, &news));
    for (name, message) in shard_messages() {
        note(&format!("shard-{name}"), self::message(Kind::Shard, &message));
    }
    written
}

/// One message of each kind that nodes say to each other about shards.
fn shard_messages() -> Vec<(&'static str, PeerMessage)> {
    let (boot, disk, number) = (Boot(4), DiskId(104), 9);
    let shard = ShardEpoch { shard: ShardId(2), epoch: Epoch(300) };
    let tail = Tail { stamp: Epoch(299), position: Position(1_000) };
    let replica = Replica { node: NodeId(1), disk: DiskId(101) };
    let batch = Body::Batch([7, 8, 9].into());
    let entries = vec![
        ShardEntry { stamp: Epoch(300), body: Body::Barrier },
        ShardEntry { stamp: Epoch(300), body: batch },
    ];
    let progress = LearnProgress { sent_bytes: 1, whole_bytes: 2, reached: Position(3), tail: Position(4) };
    let learners = Learners { owner: NodeId(1), replicas: [replica].into_iter().collect() };
    let shards = vec![shard];
    let to = [
        ("renew", ToLeader::Renew { boot, disk, number }),
        (
            "seal-ack",
            ToLeader::SealAck { boot, disk, number, through: Epoch(300), tails: vec![(shard, tail)] },
        ),
        ("confirm", ToLeader::Confirm { boot, shards: shards.clone() }),
        ("trouble", ToLeader::Trouble { boot, lost: shards.clone(), stuck: shards.clone() }),
        ("learnt", ToLeader::Learnt { shards: shards.clone() }),
        ("leaving", ToLeader::Leaving { boot }),
        ("held", ToLeader::Held { shards: shards.clone() }),
        ("space", ToLeader::Space { boot, number, space: Space::Full }),
        ("learning", ToLeader::Learning { shards: vec![(shard, progress)] }),
    ];
    let behind = SealVerdict::Behind { current: Epoch(301) };
    let from = [
        ("grant", FromLeader::Grant { boot, number, proposal: Epoch(300) }),
        ("seal-answer", FromLeader::SealAnswer { term: Term(1), boot, number, verdict: behind }),
        ("recover", FromLeader::Recover { shards: vec![(shard, Some(replica)), (shard, None)] }),
        ("learn", FromLeader::Learn { shards: vec![(shard, learners)] }),
        ("hold", FromLeader::Hold { shards }),
    ];
    let matched = Appended { shard, outcome: AppendOutcome::Matched(Position(1_002)) };
    let mismatch = Appended { shard, outcome: AppendOutcome::Mismatch(LogIndex::default()) };
    let append = Append { shard, previous: tail, entries: entries.clone(), commit: Position(7) };
    let to = to.into_iter().map(|(name, message)| (name, PeerMessage::ToLeader(message)));
    let from = from.into_iter().map(|(name, message)| (name, PeerMessage::FromLeader(message)));
    let owners = [
        ("append", PeerMessage::Append(vec![append])),
        ("appended", PeerMessage::Appended { disk, answers: vec![matched, mismatch] }),
        ("fetch", PeerMessage::Fetch(vec![Fetch { shard, disk, log: LogIndex::default() }])),
        ("fetched", PeerMessage::Fetched(vec![Fetched { shard, previous: tail, entries, tail }])),
    ];
    to.chain(from).chain(owners).collect()
}

fn line(name: &str, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {hex}")
}

#[test]
fn what_level_1_writes_stays_as_its_first_build_wrote_it() {
    let golden: Vec<&str> = LEVEL_1.lines().collect();
    let written: Vec<String> = written().iter().map(|(name, bytes)| line(name, bytes)).collect();
    for line in written.iter().filter(|line| !golden.contains(&line.as_str())) {
        println!("{line}");
    }
    assert!(written == golden, "these lines are others than in level-1.golden, or it has others beside");
}

#[test]
fn there_is_an_example_of_every_command_of_level_1() {
    let inner = |command| match command {
        ControlCommand::Audited(audited) => audited.command,
        command => command,
    };
    let first = |command: &ControlCommand| postcard::to_stdvec(command).unwrap()[0];
    let mut places: Vec<u8> = commands().iter().map(|(_, command)| first(command)).collect();
    places.extend(commands().into_iter().map(|(_, command)| first(&inner(command))));
    places.sort_unstable();
    places.dedup();
    assert_eq!(places, (0..COMMANDS).collect::<Vec<u8>>());
}

//! Fifty nodes and ten thousand shards: the first map costs the cores little.

use std::collections::VecDeque;
use std::time::Instant;

use shardloom_sharding::ids::{Boot, DiskId, Epoch, NodeId, Replica, Term};
use shardloom_sharding::plan::{Member, PlanSettings, Standing, Zone};
use shardloom_sharding::protocol::control::ShardControl;
use shardloom_sharding::protocol::leader::{LeaderCommand, LeaderCore, LeaderEvent, LeaderSettings};
use shardloom_sharding::protocol::messages::{Body, Entry, PeerMessage};
use shardloom_sharding::protocol::node::{Changed, NodeCommand, NodeCore, NodeEvent};
use shardloom_sharding::protocol::timing::{Time, Timing};

const NODES: u64 = 50;
const SHARDS: u32 = 10_000;
const NOW: Time = Time(1_000_000_000);

struct Cluster {
    control: ShardControl,
    index: u64,
    nodes: Vec<NodeCore>,
    leader: LeaderCore,
    mail: VecDeque<(NodeId, NodeId, PeerMessage)>,
    served: u32,
    messages: u64,
}

impl Cluster {
    fn node(&mut self, id: NodeId, event: NodeEvent) {
        let mut commands = Vec::new();
        let node = &mut self.nodes[id.0 as usize - 1];
        node.step(NOW, &self.control, event, &mut commands);
        for command in commands {
            match command {
                NodeCommand::Write { seq, .. } => self.node(id, NodeEvent::Durable { upto: seq }),
                NodeCommand::Send { to, message } => self.mail.push_back((id, to, message)),
                NodeCommand::SendAppends { to, ranges } => {
                    let entry = |stamp| vec![Entry { stamp, body: Body::Barrier }];
                    let whole = |range: shardloom_sharding::protocol::node::AppendRange| {
                        let stamp = range.shard.epoch;
                        range.with_entries(entry(stamp))
                    };
                    let appends = ranges.into_iter().map(whole).collect();
                    self.mail.push_back((id, to, PeerMessage::Append(appends)));
                }
                NodeCommand::Serving { .. } => self.served += 1,
                _ => {}
            }
        }
    }

    fn lead(&mut self, event: LeaderEvent) {
        let mut commands = Vec::new();
        self.leader.step(NOW, &self.control, event, &mut commands);
        for command in commands {
            self.index += 1;
            let (changed, ticket) = match command {
                LeaderCommand::Propose { ticket, changes } => {
                    (self.control.apply_propose(self.index, &changes), ticket)
                }
                LeaderCommand::Commit { ticket, epoch, term, shards } => {
                    (self.control.apply_commit(Term(1), term, epoch, &shards), ticket)
                }
                LeaderCommand::Send { to, message } => {
                    self.mail.push_back((NodeId(1), to, PeerMessage::FromLeader(message)));
                    continue;
                }
                LeaderCommand::Alarm(_) | LeaderCommand::Quarantine { .. } => continue,
            };
            let changed = Changed::Shards(changed);
            let newest_proposal = self.control.newest_proposal();
            self.lead(LeaderEvent::Applied { changed: changed.clone() });
            for id in 1..=NODES {
                self.node(NodeId(id), NodeEvent::Applied { changed: changed.clone(), newest_proposal });
            }
            self.lead(LeaderEvent::Written { ticket });
        }
    }

    fn run(&mut self) {
        while let Some((from, to, message)) = self.mail.pop_front() {
            self.messages += 1;
            match message {
                PeerMessage::ToLeader(message) => self.lead(LeaderEvent::Message { from, message }),
                message => self.node(to, NodeEvent::Message { from, message }),
            }
        }
    }
}

#[test]
fn first_map_of_fifty_nodes_and_ten_thousand_shards_is_served() {
    let replica = |id| Replica { node: NodeId(id), disk: DiskId(id) };
    let node = |id| NodeCore::new(replica(id), Boot(1), Timing::DEFAULT, SHARDS, Vec::new());
    let plan = PlanSettings { replicas: 3, threshold_percent: 10, moves_max: None };
    let settings = LeaderSettings { timing: Timing::DEFAULT, plan, moves_in_flight: 256 };
    let mut cluster = Cluster {
        control: ShardControl::new(SHARDS),
        index: 0,
        nodes: (1..=NODES).map(node).collect(),
        leader: LeaderCore::new(settings),
        mail: VecDeque::new(),
        served: 0,
        messages: 0,
    };
    for id in 1..=NODES {
        cluster.node(NodeId(id), NodeEvent::Leader(Some((NodeId(1), Term(1)))));
    }
    let start = Instant::now();
    let member = |id| Member {
        replica: replica(id),
        capacity: 1,
        zone: Zone(id as u32 % 5),
        standing: Standing::Live,
    };
    cluster.lead(LeaderEvent::Members((1..=NODES).map(member).collect()));
    cluster.lead(LeaderEvent::Elected { term: Term(1), at: NOW });
    cluster.run();
    println!(
        "{} shards are served after {:?} of one core, {} messages and {} control entries; a shard takes {} bytes",
        cluster.served,
        start.elapsed(),
        cluster.messages,
        cluster.index,
        size_of::<shardloom_sharding::protocol::shard::ShardCore>()
    );
    assert_eq!(cluster.served, SHARDS);
    let served = cluster.nodes.iter().map(|node| {
        cluster.control.committed().shards().filter(|shard| node.serving(*shard).is_some()).count()
    });
    assert_eq!(served.sum::<usize>(), SHARDS as usize);
    assert_eq!(cluster.control.newest_proposal(), Epoch(1));
}

//! Views of a cluster that the tests make up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shardloom::server::view::{Member, MemberState, Role, View};
use shardloom_cluster::control::{AccessTokens, Settings};
use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{ClusterId, Epoch, NodeId, Replica, ShardId, Term};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::route::Progress;

use crate::world::{ADMIN_TOKEN, node_id};

/// Proposes a change of these shards: nobody serves them.
pub(crate) fn propose(view: &mut View, shards: impl IntoIterator<Item = ShardId>) {
    let mut unsettled = (*view.unsettled).clone();
    unsettled.extend(shards.into_iter().map(|shard| (shard, Progress::Resharding)));
    view.unsettled = Arc::new(unsettled);
}

/// Commits a new owner of these shards under the newest index.
pub(crate) fn commit(view: &mut View, owner: usize, shards: impl IntoIterator<Item = ShardId>) {
    let mut unsettled = (*view.unsettled).clone();
    let mut map = (*view.map).clone();
    for shard in shards {
        unsettled.remove(&shard);
        let replicas: Vec<Replica> = map.replicas(shard).collect();
        map.assign(shard, Epoch(view.applied), Some(node_id(owner)), &replicas).unwrap();
    }
    view.unsettled = Arc::new(unsettled);
    view.map = Arc::new(map);
}

/// That of a cluster of one node, before the others are known.
pub(crate) fn first_view(map: ShardMap) -> View {
    View {
        cluster_id: ClusterId(7),
        this_node: node_id(0),
        leader: Some(node_id(0)),
        term: Term(1),
        applied: 1,
        replicas: 3,
        replicas_possible: 3,
        formats: shardloom_cluster::formats::LEVEL,
        settings: Settings::default(),
        moves: Arc::default(),
        map: Arc::new(map),
        unsettled: Arc::default(),
        to_come: Arc::default(),
        members: BTreeMap::new(),
        workloads: BTreeMap::new(),
        required_labels: BTreeMap::new(),
        left_by: BTreeMap::new(),
        weigher: None,
        weights: None,
        access: Arc::new(AccessTokens::founded(Digest(Sha256::digest(ADMIN_TOKEN).into()), 1)),
        lease_live: true,
        full: std::collections::BTreeSet::new(),
        warnings: Vec::new(),
        tally: (Term(0), Arc::default()),
        elected: None,
    }
}

/// A node that lives at this address; the first one leads.
pub(crate) fn member(node: NodeId, address: SocketAddr) -> Member {
    Member {
        state: MemberState::Live,
        role: if node == node_id(0) { Role::Leader } else { Role::Voter },
        http: address.to_string(),
        peer: "127.0.0.1:7081".into(),
        gossip: "127.0.0.1:7082".into(),
        zone: String::new(),
        capacity: 100,
        labels: BTreeMap::new(),
        quarantine: None,
        lacks: Vec::new(),
        live: true,
    }
}

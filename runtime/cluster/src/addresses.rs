//! Keeps up with who is where: members by the control log, hints by gossip; and remembers both for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use shardloom_sharding::ids::NodeId;

use crate::admission::{TokenBook, Watch};
use crate::control::Addresses;
use crate::gossip::Gossip;
use crate::identity::SharedIdentity;
use crate::peers::Peers;
use crate::raft::Applied;
use crate::{ClusterError, clock};

/// Follows the control log and gossip for the parts that only need addresses.
pub struct AddressKeeper {
    applied: Arc<Applied>,
    peers: Arc<Peers>,
    tokens: Arc<TokenBook>,
    watch: Watch,
    identity: SharedIdentity,
    gossip: crate::gossip::Listener,
    remembered: BTreeMap<NodeId, Addresses>,
}

impl AddressKeeper {
    /// Follows `applied` and `gossip`; tells `peers`, `tokens` and the disk.
    pub fn new(
        applied: Arc<Applied>,
        peers: Arc<Peers>,
        tokens: Arc<TokenBook>,
        watch: Watch,
        identity: SharedIdentity,
        gossip: &Gossip,
    ) -> AddressKeeper {
        let gossip = gossip.listener();
        let remembered = identity.lock().known_peers();
        AddressKeeper { applied, peers, tokens, watch, identity, gossip, remembered }
    }

    /// Runs for as long as the node does.
    ///
    /// # Errors
    ///
    /// The disk fails, or the node was removed from the cluster.
    pub async fn run(mut self) -> Result<(), ClusterError> {
        let mut index = self.applied.index();
        loop {
            self.look()?;
            let ended = tokio::select! {
                changed = index.changed() => changed.is_err(),
                ended = self.gossip.changed() => ended,
            };
            if ended {
                return Ok(());
            }
        }
    }

    fn look(&mut self) -> Result<(), ClusterError> {
        let members: BTreeMap<NodeId, Addresses> = {
            let applied = self.applied.read();
            let Some(state) = &applied.control else { return Ok(()) };
            let node = self.peers.me();
            if state.removed.contains(&node) {
                return Err(ClusterError::Removed { node });
            }
            self.tokens.observe(&state.tokens, self.watch.now(), clock::now());
            state.members.values().map(|member| (member.node, member.addresses.clone())).collect()
        };
        let me = self.peers.me();
        let peer_of = |all: &BTreeMap<NodeId, Addresses>| {
            all.iter().map(|(node, addresses)| (*node, addresses.peer.clone())).collect()
        };
        self.peers.set_members(&peer_of(&members));
        self.peers.set_gossip(&peer_of(&self.gossip.heard()));
        let others: BTreeMap<_, _> = members.into_iter().filter(|(node, _)| *node != me).collect();
        if others != self.remembered {
            let written = self.identity.lock().remember_peers(&others);
            match written {
                Ok(()) => self.remembered = others,
                // They are hints, and written as soon as there is room.
                Err(ClusterError::Db(error)) if error.is_no_room() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

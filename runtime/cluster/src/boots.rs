//! Which boot of each node is alive, as this node hears it from lease renewals while it leads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shardloom_sharding::ids::{Boot, NodeId};
use shardloom_sharding::protocol::timing::Time;

use crate::clock;

/// Who renews, and when it last did.
#[derive(Debug)]
pub struct Boots {
    lease: Duration,
    heard: Mutex<BTreeMap<NodeId, (Boot, Time)>>,
}

impl Boots {
    /// A boot counts as alive for `lease` after its last renewal.
    pub fn new(lease: Duration) -> Boots {
        Boots { lease, heard: Mutex::default() }
    }

    /// Notes a renewal.
    pub fn heard(&self, node: NodeId, boot: Boot) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(node, (boot, clock::now()));
    }

    /// The boot that is alive under this id, if one is.
    pub fn alive(&self, node: NodeId) -> Option<Boot> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (boot, at) = heard.get(&node)?;
        (clock::now().since(*at) < self.lease).then_some(*boot)
    }
}

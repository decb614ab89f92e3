//! Who this node is, in `gossip.db`: its id, key and certificates, and where it last knew its peers to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{Boot, ClusterId, DiskId, NodeId};
use shardloom_store::{DataDir, Db, DiskSpace, Table};
use shardloom_transport::{NodeIdentity, NodeKey, SignedNode};

use crate::ClusterError;
use crate::control::Addresses;

const VERSION: u8 = 1;
const KEY_SELF: &[u8] = b"self";
const KEY_PEERS: &[u8] = b"peers";
/// Room that the database has before the peers are written, in bytes: a thousand members take some 200 KB.
const ROOM_BYTES: u64 = 4 << 20;

const KEY_BOOT: &[u8] = b"boot";
/// Of a node that has not begun on any logs yet.
const NO_DISK: DiskId = DiskId(0);

/// What has become of the logs that a node had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Logs {
    /// They are there.
    Kept,
    /// They are gone, and with them its votes, its seals and what it had acknowledged: the logs that are there are new.
    Lost,
}

/// The record under `self`.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    version: u8,
    node: NodeId,
    disk: DiskId,
    key_pem: String,
    membership: Option<Membership>,
}

/// What a member has that a stranger has not.
#[derive(Clone, Serialize, Deserialize)]
struct Membership {
    cluster: ClusterId,
    certificate_pem: String,
    ca_pem: String,
}

/// The identity of this node, kept on disk.
pub struct IdentityStore {
    db: Db,
    table: Table,
    space: DiskSpace,
    record: Record,
}

impl IdentityStore {
    /// Reads the identity, or draws one for a new data directory, which is written down by [`IdentityStore::start`]. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The record is damaged.
    pub fn open(dir: &DataDir, space: &DiskSpace) -> Result<IdentityStore, ClusterError> {
        let path = dir.join("gossip.db");
        let db = Db::open(&path, "gossip")?;
        let table = db.table("identity")?;
        let stored = table.get_large(KEY_SELF)?;
        let unreadable = |reason: String| ClusterError::IdentityRecord { path: path.clone(), reason };
        let record = match &stored {
            Some(bytes) => postcard::from_bytes(bytes).map_err(|error| unreadable(error.to_string()))?,
            None => Record {
                version: VERSION,
                node: NodeId(random()?),
                disk: NO_DISK,
                key_pem: NodeKey::create()?.to_pem(),
                membership: None,
            },
        };
        if record.version > VERSION {
            return Err(unreadable(format!("format {}, this build reads up to {VERSION}", record.version)));
        }
        Ok(IdentityStore { db, table, space: space.clone(), record })
    }

    /// The boot that began last, as far as is known: it must not come again, even if the log that counts boots is gone.
    pub fn last_boot(&self) -> Boot {
        let stored = self.table.get_large(KEY_BOOT).ok().flatten();
        Boot(stored.and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u64::from_le_bytes))
    }

    /// Whether this node is a member of a cluster with others, who can make up for what it has lost.
    pub fn knows_others(&self) -> bool {
        self.record.membership.is_some() && !self.known_peers().is_empty()
    }

    /// Begins a boot on the logs of `disk`: says whether they are the ones that this node had. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The disk fails, or there are other logs than those that the identity was made with, and no cluster that could make up for them.
    pub fn start(&mut self, disk: DiskId, boot: Boot) -> Result<Logs, ClusterError> {
        match self.db.make_room(&self.space, ROOM_BYTES) {
            // Only a log that is lost needs it.
            Err(error) if error.is_no_room() && self.record.disk == disk => return Ok(Logs::Kept),
            made => made?,
        }
        self.table.put_large(KEY_BOOT, &boot.0.to_le_bytes())?;
        if self.record.disk == NO_DISK {
            self.record.disk = disk;
            self.save()?;
        } else {
            self.db.checkpoint()?;
        }
        match (self.record.disk == disk, &self.record.membership) {
            (true, _) => Ok(Logs::Kept),
            (false, Some(_)) => Ok(Logs::Lost),
            (false, None) => Err(ClusterError::MixedDataDir { path: "gossip.db".into() }),
        }
    }

    /// The cluster has taken this node anew, with the logs of `disk`; durable when this returns.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn renew(&mut self, disk: DiskId) -> Result<(), ClusterError> {
        self.record.disk = disk;
        self.save()
    }

    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.record.node
    }

    /// The cluster that this node belongs to, if it does.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.record.membership.as_ref().map(|membership| membership.cluster)
    }

    /// This node's key.
    ///
    /// # Errors
    ///
    /// The record is damaged.
    pub fn key(&self) -> Result<NodeKey, ClusterError> {
        Ok(NodeKey::from_pem(&self.record.key_pem)?)
    }

    /// This node's key and certificate, once it is a member.
    ///
    /// # Errors
    ///
    /// They do not belong together.
    pub fn identity(&self) -> Result<Option<NodeIdentity>, ClusterError> {
        let Some(membership) = &self.record.membership else { return Ok(None) };
        let Membership { certificate_pem, ca_pem, .. } = membership;
        Ok(Some(NodeIdentity::from_pem(&self.record.key_pem, certificate_pem, ca_pem)?))
    }

    /// Makes this node a member, durably.
    ///
    /// # Errors
    ///
    /// The certificate does not fit the key, or the disk fails.
    pub fn become_member(&mut self, signed: SignedNode) -> Result<NodeIdentity, ClusterError> {
        let identity = NodeIdentity::assemble(&self.key()?, signed)?;
        let SignedNode { certificate_pem, ca_pem } = identity.signed().clone();
        self.record.membership = Some(Membership { cluster: identity.cluster(), certificate_pem, ca_pem });
        self.save()?;
        Ok(identity)
    }

    fn save(&mut self) -> Result<(), ClusterError> {
        let bytes = postcard::to_stdvec(&self.record).map_err(|error| ClusterError::IdentityRecord {
            path: "gossip.db".into(),
            reason: error.to_string(),
        })?;
        self.table.put_large(KEY_SELF, &bytes)?;
        self.db.checkpoint()?;
        Ok(())
    }

    /// Where the other members were when this was last saved. A damaged list is an empty one: it only hints.
    pub fn known_peers(&self) -> BTreeMap<NodeId, Addresses> {
        let stored = self.table.get_large(KEY_PEERS).ok().flatten();
        stored.and_then(|bytes| postcard::from_bytes(&bytes).ok()).unwrap_or_default()
    }

    /// Remembers where the other members are.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn remember_peers(&self, peers: &BTreeMap<NodeId, Addresses>) -> Result<(), ClusterError> {
        let bytes = postcard::to_stdvec(peers).map_err(|error| ClusterError::IdentityRecord {
            path: "gossip.db".into(),
            reason: error.to_string(),
        })?;
        self.db.make_room(&self.space, ROOM_BYTES)?;
        self.table.put_large(KEY_PEERS, &bytes)?;
        self.db.checkpoint()?;
        Ok(())
    }
}

/// A random number from the system.
///
/// # Errors
///
/// The system has none.
pub fn random() -> Result<u64, ClusterError> {
    getrandom::u64().map_err(|error| ClusterError::Random(error.to_string()))
}

impl std::fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityStore(node {}, cluster {:?})", self.node(), self.cluster())
    }
}

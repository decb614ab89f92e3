//! Who this node is, in `gossip.db`: its id, key and certificates, and where it last knew its peers to be.
//!
//! While the cluster's authority is replaced there is a second key and certificate beside the first, so that a node that is started
//! again in the middle shows and trusts what it did before, whatever its control log has told it by then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{Boot, ClusterId, DiskId, NodeId};
use shardloom_store::{DataDir, Db, DiskSpace, Table};
use shardloom_transport::{Credentials, NodeIdentity, NodeKey, SignedNode, fingerprint_of_pem};

use crate::ClusterError;
use crate::control::Addresses;

const VERSION: u8 = 1;
const KEY_SELF: &[u8] = b"self";
const KEY_PEERS: &[u8] = b"peers";
/// Room that the database has before the peers are written, in bytes: a thousand members take some 200 KB.
const ROOM_BYTES: u64 = 4 << 20;

const KEY_BOOT: &[u8] = b"boot";
/// There while the node was taken anew and has not seen so in the control log: the disk with which it was.
const KEY_ANEW: &[u8] = b"taken-anew";
const KEY_COMING: &[u8] = b"coming";
/// There once the node's key is another than the one that its endpoint's secret was made of.
const KEY_ENDPOINT: &[u8] = b"endpoint";
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

/// The record under `coming`: a key, and a certificate by an authority that is to be the only one.
#[derive(Clone, Serialize, Deserialize)]
struct Coming {
    version: u8,
    key_pem: String,
    certificate_pem: String,
    ca_pem: String,
    /// Whether this is the certificate that the node shows.
    shown: bool,
}

/// Which authorities the node holds certificates of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The authority (PEM) of its certificate.
    pub ca_pem: String,
    /// The authority of the certificate beside it, and whether that one is shown.
    pub coming: Option<(String, bool)>,
}

/// The identity of this node, kept on disk.
pub struct IdentityStore {
    db: Db,
    table: Table,
    space: DiskSpace,
    record: Record,
    coming: Option<Coming>,
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
        let coming: Option<Coming> = match table.get_large(KEY_COMING)? {
            Some(bytes) => Some(postcard::from_bytes(&bytes).map_err(|error| unreadable(error.to_string()))?),
            None => None,
        };
        // It is taken away after it has taken the place of the other, which a crash can come between.
        let coming = coming.filter(|coming| coming.key_pem != record.key_pem);
        if let Some(Coming { version, .. }) = coming.as_ref().filter(|coming| coming.version > VERSION) {
            return Err(unreadable(format!("format {version}, this build reads up to {VERSION}")));
        }
        Ok(IdentityStore { db, table, space: space.clone(), record, coming })
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
        self.table.put_large(KEY_ANEW, &disk.0.to_le_bytes())?;
        self.record.disk = disk;
        self.save()
    }

    /// The disk with which this node was taken anew, if it has not seen so in the control log.
    ///
    /// # Errors
    ///
    /// The database is damaged.
    pub fn taken_anew(&self) -> Result<Option<DiskId>, ClusterError> {
        let stored = self.table.get_large(KEY_ANEW)?;
        let disk = |bytes: Vec<u8>| {
            bytes.first_chunk().map_or(self.record.disk, |bytes| DiskId(u64::from_le_bytes(*bytes)))
        };
        Ok(stored.map(|bytes| disk(bytes.to_vec())))
    }

    /// The node has seen in the control log that it was taken anew, or does without; durable when this returns.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn forget_taken_anew(&mut self) -> Result<(), ClusterError> {
        self.db.make_room(&self.space, ROOM_BYTES)?;
        self.table.remove_large(KEY_ANEW)?;
        self.db.checkpoint()?;
        Ok(())
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

    /// What this node shows and whom it trusts, once it is a member.
    ///
    /// # Errors
    ///
    /// Keys and certificates do not belong together.
    pub fn credentials(&self) -> Result<Option<Credentials>, ClusterError> {
        let Some(own) = self.identity()? else { return Ok(None) };
        let Some(Coming { key_pem, certificate_pem, ca_pem, shown, .. }) = &self.coming else {
            return Ok(Some(Credentials::of(own)));
        };
        Ok(Some(match shown {
            false => Credentials::of(own).and_trusting(ca_pem)?,
            true => {
                let own_ca = own.signed().ca_pem.clone();
                let next = NodeIdentity::from_pem(key_pem, certificate_pem, ca_pem)?;
                Credentials::of(next).and_trusting(&own_ca)?
            }
        }))
    }

    /// Which authorities this node holds certificates of, once it is a member.
    pub fn held(&self) -> Option<Held> {
        let ca_pem = self.record.membership.as_ref()?.ca_pem.clone();
        let coming = self.coming.as_ref().map(|coming| (coming.ca_pem.clone(), coming.shown));
        Some(Held { ca_pem, coming })
    }

    /// The sha256 of the newest certificate of this node.
    ///
    /// # Errors
    ///
    /// It cannot be read, or there is none.
    pub fn newest_fingerprint(&self) -> Result<[u8; 32], ClusterError> {
        let newest = match (&self.coming, &self.record.membership) {
            (Some(coming), _) => &coming.certificate_pem,
            (None, Some(membership)) => &membership.certificate_pem,
            (None, None) => return Err(ClusterError::Nowhere),
        };
        Ok(fingerprint_of_pem(newest)?)
    }

    /// Puts a key and its certificate by another authority beside the one in use, durably: from now on both authorities are trusted.
    ///
    /// # Errors
    ///
    /// The certificate does not fit the key, or the disk fails.
    pub fn introduce(&mut self, key: &NodeKey, signed: SignedNode) -> Result<(), ClusterError> {
        let identity = NodeIdentity::assemble(key, signed)?;
        let SignedNode { certificate_pem, ca_pem } = identity.signed().clone();
        let endpoint_secret = self.endpoint_secret()?;
        let coming =
            Coming { version: VERSION, key_pem: key.to_pem(), certificate_pem, ca_pem, shown: false };
        self.db.make_room(&self.space, ROOM_BYTES)?;
        self.table.put_large(KEY_ENDPOINT, &endpoint_secret)?;
        self.save_coming(Some(coming))
    }

    /// Shows the certificate beside the one in use from now on, durably.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn show_coming(&mut self) -> Result<(), ClusterError> {
        let Some(coming) = self.coming.clone() else { return Ok(()) };
        self.db.make_room(&self.space, ROOM_BYTES)?;
        self.save_coming(Some(Coming { shown: true, ..coming }))
    }

    /// Gives up the certificate in use, its key and its authority for the one beside it, durably.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn retire(&mut self) -> Result<(), ClusterError> {
        let (Some(coming), Some(membership)) = (self.coming.clone(), &self.record.membership) else {
            return Ok(());
        };
        self.db.make_room(&self.space, ROOM_BYTES)?;
        let Coming { key_pem, certificate_pem, ca_pem, .. } = coming;
        let membership = Membership { cluster: membership.cluster, certificate_pem, ca_pem };
        self.record = Record { key_pem, membership: Some(membership), ..self.record.clone() };
        self.save()?;
        self.save_coming(None)
    }

    fn save_coming(&mut self, coming: Option<Coming>) -> Result<(), ClusterError> {
        match &coming {
            Some(coming) => {
                let bytes = postcard::to_stdvec(coming).map_err(|error| ClusterError::IdentityRecord {
                    path: "gossip.db".into(),
                    reason: error.to_string(),
                })?;
                self.table.put_large(KEY_COMING, &bytes)?;
            }
            None => self.table.remove_large(KEY_COMING)?,
        }
        self.db.checkpoint()?;
        self.coming = coming;
        Ok(())
    }

    /// The secret of this node's endpoint. It stays when the key changes: peers learn by it that a process they knew is gone.
    ///
    /// # Errors
    ///
    /// The database or the key is damaged.
    pub fn endpoint_secret(&self) -> Result<[u8; 32], ClusterError> {
        let kept = self.table.get_large(KEY_ENDPOINT)?.and_then(|bytes| bytes.first_chunk().copied());
        Ok(match kept {
            Some(secret) => secret,
            None => self.key()?.endpoint_secret(),
        })
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

/// The identity of this node, for all who read it or change it.
#[derive(Clone, Debug)]
pub struct SharedIdentity(Arc<Mutex<IdentityStore>>);

impl SharedIdentity {
    /// Shares an identity.
    pub fn new(identity: IdentityStore) -> SharedIdentity {
        SharedIdentity(Arc::new(Mutex::new(identity)))
    }

    /// The identity; held while it is written to the disk.
    pub fn lock(&self) -> MutexGuard<'_, IdentityStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use shardloom_store::SpaceMarks;
    use shardloom_transport::ClusterCa;

    use super::*;

    /// The identity in a directory, as a start finds it.
    fn opened(dir: &DataDir, path: &std::path::Path) -> IdentityStore {
        let space = DiskSpace::open(path, SpaceMarks { low_bytes: 0, high_bytes: 0 }).unwrap();
        IdentityStore::open(dir, &space).unwrap()
    }

    #[test]
    fn a_start_in_the_middle_of_a_rotation_shows_and_trusts_what_the_node_did_before() {
        let directory = tempfile::tempdir().unwrap();
        let dir = DataDir::open(directory.path()).unwrap();
        let again = || opened(&dir, directory.path());
        let (old, new) = (ClusterCa::create(ClusterId(7)).unwrap(), ClusterCa::create(ClusterId(7)).unwrap());
        let mut identity = again();
        identity.start(DiskId(1), Boot(1)).unwrap();
        let secret = identity.endpoint_secret().unwrap();
        let node = identity.node();
        let request = identity.key().unwrap().request().unwrap();
        let first = identity.become_member(old.sign(node, &request).unwrap()).unwrap().fingerprint();
        drop(identity);

        let shows = |identity: &IdentityStore| {
            let credentials = identity.credentials().unwrap().unwrap();
            credentials.identity().fingerprint()
        };
        let held = |own: &ClusterCa, coming: Option<bool>| Held {
            ca_pem: own.certificate_pem().to_owned(),
            coming: coming.map(|shown| (new.certificate_pem().to_owned(), shown)),
        };
        let mut identity = again();
        assert_eq!(identity.held(), Some(held(&old, None)));
        let key = NodeKey::create().unwrap();
        identity.introduce(&key, new.sign(node, &key.request().unwrap()).unwrap()).unwrap();
        drop(identity);

        let mut identity = again();
        assert_eq!((identity.held(), shows(&identity)), (Some(held(&old, Some(false))), first));
        let next = identity.newest_fingerprint().unwrap();
        assert_ne!(next, first);
        identity.show_coming().unwrap();
        drop(identity);

        let mut identity = again();
        assert_eq!((identity.held(), shows(&identity)), (Some(held(&old, Some(true))), next));
        identity.retire().unwrap();
        drop(identity);

        let identity = again();
        assert_eq!((identity.held(), shows(&identity)), (Some(held(&new, None)), next));
        assert_eq!((identity.node(), identity.last_boot()), (node, Boot(1)));
        assert_eq!(identity.endpoint_secret().unwrap(), secret, "peers know a dead process by it");
        assert_ne!(identity.key().unwrap().endpoint_secret(), secret);
    }
}

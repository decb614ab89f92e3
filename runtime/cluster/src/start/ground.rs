//! What a node stands on: its data directory, opened in two steps. The databases come second, since a node whose logs are gone has to be taken anew
//! by the cluster before it may use what rested on them.

use std::path::Path;
use std::sync::Arc;

use shardloom_sharding::ids::Boot;
use shardloom_store::{
    DataDir, DataDirError, Db, DiskSpace, Recovery, SpaceMarks, Wal, WalError, WalOptions,
};

use crate::ClusterError;
use crate::formats::FormatMark;
use crate::identity::{IdentityStore, Logs};
use crate::raft::SnapshotStore;
use crate::state::{self, OpenedState};

/// The directory of the write-ahead log in the data directory.
const WAL: &str = "wal";
/// The databases that rest on it.
const RESTING: [&str; 2] = ["raft.db", "state.db"];

/// The logs and the identity.
pub(super) struct Ground {
    pub(super) dir: DataDir,
    pub(super) space: DiskSpace,
    pub(super) mark: FormatMark,
    pub(super) wal: Wal,
    pub(super) recovery: Recovery,
    pub(super) identity: IdentityStore,
    pub(super) logs: Logs,
}

/// Everything that is open before the node knows its cluster.
pub(super) struct Opened {
    pub(super) ground: Ground,
    pub(super) snapshots: Arc<SnapshotStore>,
    pub(super) state: OpenedState,
}

impl Ground {
    /// Opens the logs and the identity. A log that is damaged before its end is put aside where the cluster can make up for it: from then on it
    /// counts as lost. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The disk fails, or what is on it cannot be used.
    pub(super) fn open(data: &Path, wal: WalOptions, marks: SpaceMarks) -> Result<Ground, ClusterError> {
        let dir = DataDir::open(data)?;
        let mark = FormatMark::open(data)?;
        let space = DiskSpace::open(data, marks).map_err(|source| DataDirError::Io {
            step: "see how full the disk is under",
            path: data.to_path_buf(),
            source,
        })?;
        let mut identity = IdentityStore::open(&dir, &space)?;
        let earlier = identity.last_boot();
        let (wal, recovery) = match open_wal(&dir, &wal, earlier) {
            Err(damage @ WalError::Damaged { .. }) if identity.knows_others() => {
                let aside = dir.set_aside(WAL)?;
                tracing::error!(%damage, put_aside = %aside.display(), "the write-ahead log is damaged and counts as lost");
                open_wal(&dir, &wal, earlier)?
            }
            opened => opened?,
        };
        if recovery.torn_bytes > 0 {
            tracing::warn!(bytes = recovery.torn_bytes, "cut off the torn tail of the write-ahead log");
        }
        let logs = identity.start(recovery.disk, recovery.boot)?;
        Ok(Ground { dir, space, mark, wal, recovery, identity, logs })
    }

    /// Puts aside what rested on the logs that are lost, and begins on the new ones: the cluster has taken this node anew. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub(super) fn begin_anew(&mut self) -> Result<(), ClusterError> {
        for name in RESTING.into_iter().filter(|name| self.dir.join(name).exists()) {
            let aside = self.dir.set_aside(name)?;
            tracing::warn!(put_aside = %aside.display(), "it rested on the logs that are lost: it is made anew");
        }
        self.identity.renew(self.recovery.disk)?;
        self.logs = Logs::Kept;
        Ok(())
    }

    /// Opens what rests on the logs. Blocks on the disk; to be called where blocking is allowed, in a runtime.
    ///
    /// # Errors
    ///
    /// The disk fails, or what is on it cannot be used.
    pub(super) fn open_databases(self) -> Result<Opened, ClusterError> {
        let db = Db::open(&self.dir.join("raft.db"), "raft")?;
        let snapshots = Arc::new(SnapshotStore::new(db, self.space.clone())?);
        let state = state::open(&self.dir, &self.wal, self.recovery.disk, &self.space)?;
        Ok(Opened { ground: self, snapshots, state })
    }
}

fn open_wal(dir: &DataDir, options: &WalOptions, earlier: Boot) -> Result<(Wal, Recovery), WalError> {
    Wal::open_after(&dir.join(WAL), options.clone(), earlier)
}

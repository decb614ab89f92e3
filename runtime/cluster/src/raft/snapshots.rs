//! Snapshots of the control state, in `raft.db`.
//!
//! ```text
//!  0           4         5          9
//! +-----------+---------+----------+---------------------------------------------+
//! | "SLcs"    | version | crc32 LE | postcard(last entry, membership, state) ... |
//! +-----------+---------+----------+---------------------------------------------+
//! ```
//!
//! The checksum covers what follows it. The same bytes travel to members that are too far behind for the log. The version is two above the level of
//! formats that the cluster is at; above level 1, what level 2 has added to the state stands behind it.

use std::time::Duration;

use openraft::{EmptyNode, StoredMembership};
use shardloom_sharding::ids::NodeId;
use shardloom_store::{Db, DbError, DiskSpace, Table};

use super::applied::AppliedState;
use super::config::LogId;
use crate::control::ControlState;
use crate::formats::{LEVEL, LEVEL_MIN, Level, NewerBuild};

const MAGIC: [u8; 4] = *b"SLcs";
/// The version of level 1.
const VERSION: u8 = 3;
const HEADER_BYTES: usize = 9;
const KEY: &[u8] = b"control";
/// Room that the database has before a snapshot is written, in bytes, whatever its length.
const SAVE_ROOM_BYTES: u64 = 4 << 20;
/// And for each of its bytes: the new one stands beside the old one for a while.
const SAVE_ROOM_FACTOR: u64 = 4;
/// How often to look for room.
const ROOM_POLL: Duration = Duration::from_millis(500);

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database refuses.
    #[error("the snapshot of the control state cannot be stored")]
    Store(#[from] DbError),
    /// Too short, another magic number, or a wrong checksum.
    #[error("the snapshot of the control state is damaged")]
    Damaged,
    /// Written by a newer build.
    #[error(transparent)]
    Newer(#[from] NewerBuild),
    /// Written by an older build.
    #[error(
        "the snapshot is of format {found}, which this build, of format {VERSION}, reads no more: begin a new cluster"
    )]
    OlderVersion {
        /// Its version.
        found: u8,
    },
    /// The body does not fit its format.
    #[error("the snapshot of the control state does not decode")]
    Body(#[from] postcard::Error),
}

/// Keeps the newest snapshot.
#[derive(Debug)]
pub struct SnapshotStore {
    db: Db,
    table: Table,
    space: DiskSpace,
}

impl SnapshotStore {
    /// Uses the table `snapshots` of `db`.
    ///
    /// # Errors
    ///
    /// The table cannot be opened.
    pub fn new(db: Db, space: DiskSpace) -> Result<SnapshotStore, SnapshotError> {
        let table = db.table("snapshots")?;
        Ok(SnapshotStore { db, table, space })
    }

    /// Waits until there is room for a snapshot of this length: the control group takes an error for the end, and the log keeps everything
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The disk fails.
    ///
    /// # Cancel safety
    ///
    /// Nothing has happened.
    pub async fn room(&self, bytes: usize) -> Result<(), SnapshotError> {
        let bytes = SAVE_ROOM_BYTES + SAVE_ROOM_FACTOR * bytes as u64;
        let mut told = false;
        loop {
            match self.db.make_room(&self.space, bytes) {
                Err(error) if error.is_no_room() => {}
                made => return Ok(made?),
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!("no room for a snapshot of the control state: waiting for some");
            }
            tokio::time::sleep(ROOM_POLL).await;
        }
    }

    /// Replaces the snapshot; durable when it returns. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The database refuses; the old snapshot stays.
    pub fn save(&self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.table.put_large(KEY, bytes)?;
        self.db.checkpoint()?;
        Ok(())
    }

    /// The newest snapshot's bytes.
    ///
    /// # Errors
    ///
    /// The database is damaged.
    pub fn read(&self) -> Result<Option<Vec<u8>>, SnapshotError> {
        Ok(self.table.get_large(KEY)?.map(|bytes| bytes.to_vec()))
    }

    /// The newest snapshot.
    ///
    /// # Errors
    ///
    /// It is damaged or of a newer format.
    pub fn load(&self) -> Result<Option<AppliedState>, SnapshotError> {
        self.read()?.map(|bytes| SnapshotStore::decode(&bytes)).transpose()
    }

    /// Writes a state as a snapshot.
    ///
    /// # Errors
    ///
    /// Never for a state that came out of the control log.
    pub fn encode(state: &AppliedState) -> Result<Vec<u8>, SnapshotError> {
        let mut body = postcard::to_stdvec(&(&state.last, &state.membership, &state.control))?;
        let level = state.control.as_ref().map_or(LEVEL_MIN, ControlState::level);
        if let Some(control) = state.control.as_ref().filter(|_| level > Level(1)) {
            body = postcard::to_extend(&control.later, body)?;
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend(MAGIC);
        bytes.push(VERSION.saturating_add(u8::try_from(level.0 - 1).unwrap_or(u8::MAX)));
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    ///
    /// It is damaged or of another format.
    pub fn decode(bytes: &[u8]) -> Result<AppliedState, SnapshotError> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Damaged)?;
        if header[..4] != MAGIC {
            return Err(SnapshotError::Damaged);
        }
        if header[4] < VERSION {
            return Err(SnapshotError::OlderVersion { found: header[4] });
        }
        let level = Level(1 + u32::from(header[4] - VERSION));
        if level > LEVEL {
            return Err(NewerBuild { what: "this snapshot of the control state", level: Some(level) }.into());
        }
        if header[5..] != crc32fast::hash(body).to_le_bytes() {
            return Err(SnapshotError::Damaged);
        }
        type Body = (Option<LogId>, StoredMembership<NodeId, EmptyNode>, Option<ControlState>);
        let ((last, membership, mut control), later): (Body, _) = postcard::take_from_bytes(body)?;
        if let Some(control) = control.as_mut().filter(|_| level > Level(1)) {
            control.later = postcard::from_bytes(later)?;
        }
        Ok(AppliedState { last, membership, control })
    }
}

#[cfg(test)]
mod tests {
    use shardloom_sharding::ids::Term;

    use super::*;
    use crate::control::{ControlCommand, Founding, Later};

    #[test]
    fn a_snapshot_comes_back_and_one_of_another_version_is_refused() {
        let mut state = AppliedState::default();
        let found = ControlCommand::Found(Box::new(Founding::example()));
        ControlState::apply(&mut state.control, 1, Term(1), found).0.unwrap();
        let mut bytes = SnapshotStore::encode(&state).unwrap();
        let back = SnapshotStore::decode(&bytes).unwrap().control;
        assert_eq!(format!("{back:?}"), format!("{:?}", state.control));

        bytes[4] = VERSION - 1;
        assert!(matches!(SnapshotStore::decode(&bytes), Err(SnapshotError::OlderVersion { .. })));
        bytes[4] = VERSION + LEVEL.0 as u8;
        let newer =
            NewerBuild { what: "this snapshot of the control state", level: Some(Level(LEVEL.0 + 1)) };
        assert!(matches!(SnapshotStore::decode(&bytes), Err(SnapshotError::Newer(error)) if error == newer));
    }

    #[test]
    fn what_level_2_has_added_is_in_snapshots_of_level_2_alone() {
        let mut state = AppliedState::default();
        let apply = |state: &mut AppliedState, index, command| {
            ControlState::apply(&mut state.control, index, Term(1), command).0.unwrap();
        };
        apply(&mut state, 1, ControlCommand::Found(Box::new(Founding::example())));
        let before = SnapshotStore::encode(&state).unwrap();
        assert_eq!(before[4], VERSION);
        assert_eq!(SnapshotStore::decode(&before).unwrap().control.unwrap().later, Later::default());
        let founder = Founding::example().founder.node;
        apply(&mut state, 2, ControlCommand::RaiseLevel { level: Level(2), proven: vec![founder] });
        let after = SnapshotStore::encode(&state).unwrap();
        assert_eq!(after[4], VERSION + 1);
        let back = SnapshotStore::decode(&after).unwrap().control.unwrap();
        assert_eq!((back.level(), &back.later), (Level(2), &state.control.unwrap().later));
    }
}

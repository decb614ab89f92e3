//! Writing the state of shards back from a backup, through their logs.
//!
//! Each shard keeps a mark of its restore beside the rows, in the state of a workload of the server's own: from which backup, and whether it
//! has ended. Rows are taken only between the two, and only while no workload is deployed. So no call ever sees half a state, an interrupted
//! restore can go on, and a message of a restore that comes late changes nothing:
//!
//! - Whoever owns the shard looks at the deployed workloads after it has noted where the log ends, and writes only if it still ends there. A
//!   call runs only where its workload is known, so no write of a call comes before a row that is restored.
//! - Under another owner, or with another mark, the row is refused.

use bytes::Bytes;
use shardloom_host::StateError;
use shardloom_protocol::batch::{Change, WriteBatch};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{
    PeerReply, PeerRequest, RestoreShard, RestoreStage, RestoreStep, TransferRefusal,
};
use shardloom_protocol::shard_file::{StateRow, decode_rows};
use shardloom_sharding::ids::Position;

use super::backup::{self, OWN_PREFIX};
use super::fabric::Permit;
use super::node_server::NodeServer;
use super::problem::Problem;
use super::state::{NotWritten, ShardState};

/// The workload in whose state the mark is; no deployed one can have such a name.
const MARK_WORKLOAD: &str = ".restore";
/// The key of the mark: the backup's 32 bytes, then 0, or 1 when it has ended.
const MARK_KEY: &[u8] = b"mark";
/// Bytes of rows in one batch: well within what a log takes.
const BATCH_BYTES: usize = 256 << 10;

/// How far a shard's restore is, as the shard itself says.
struct Mark {
    backup: Digest,
    stage: RestoreStage,
}

/// Takes a step through this node, wherever the shard's owner is. Each can be taken again.
///
/// # Errors
/// Nobody knows whether it was taken, unless it says that it was refused.
pub async fn restore(server: &NodeServer, step: RestoreShard) -> Result<RestoreStage, Problem> {
    let (shard, owner) = (step.shard, backup::owner(server, step.shard)?);
    let done = match owner == server.fabric.view().this_node {
        true => restore_here(server, step).await,
        false => match backup::request(server, owner, &PeerRequest::RestoreShard(step)).await? {
            PeerReply::RestoreShard(done) => done,
            other => Err(TransferRefusal::Failed(format!("the owner answered {other:?}"))),
        },
    };
    done.map_err(|refusal| backup::problem(shard, refusal))
}

/// Takes a step on a shard that this node serves.
///
/// # Errors
/// As [`restore`].
pub async fn restore_here(server: &NodeServer, step: RestoreShard) -> Result<RestoreStage, TransferRefusal> {
    let RestoreShard { shard, backup, step } = step;
    let permit = server.fabric.enter(shard).map_err(|_| TransferRefusal::NotServed)?;
    let state = server.fabric.state(shard, permit.epoch()).ok_or(TransferRefusal::NotServed)?;
    let here = Here { server, permit, state: &*state };
    let refused = |reason: &str| Err(TransferRefusal::Refused(reason.to_owned()));
    match (read_mark(&*state)?, step) {
        (Some(mark), _) if mark.backup != backup => {
            refused("it is being restored from another backup; begin with a new cluster")
        }
        (Some(Mark { stage: RestoreStage::Ended, .. }), RestoreStep::Rows(_)) => {
            refused("its restore has ended")
        }
        (Some(mark), RestoreStep::Begin) => here.settled(mark.stage).await,
        (Some(Mark { stage: RestoreStage::Ended, .. }), RestoreStep::End) => {
            here.settled(RestoreStage::Ended).await
        }
        (None, RestoreStep::Begin) => {
            let frozen = state.freeze().await.map_err(|error| failed(&error))?;
            let found = frozen.read(Bytes::new(), 0).await.map_err(|error| failed(&error))?;
            drop(frozen);
            match found.is_empty() {
                true => here.write([mark(backup, RestoreStage::Begun)], RestoreStage::Begun).await,
                false => refused("it holds a state already; restore into a new cluster"),
            }
        }
        (None, _) => refused("its restore has not begun"),
        (Some(_), RestoreStep::Rows(rows)) => {
            let rows = decode_rows(rows).map_err(|error| TransferRefusal::Refused(error.to_string()))?;
            here.write(batches(rows)?, RestoreStage::Begun).await
        }
        (Some(_), RestoreStep::End) => {
            here.write([mark(backup, RestoreStage::Ended)], RestoreStage::Ended).await
        }
    }
}

/// A shard that this node serves.
struct Here<'a> {
    server: &'a NodeServer,
    permit: Permit,
    state: &'a dyn ShardState,
}

impl Here<'_> {
    /// Writes batches, and waits until a quorum has them.
    async fn write(
        &self,
        batches: impl IntoIterator<Item = WriteBatch>,
        stage: RestoreStage,
    ) -> Result<RestoreStage, TransferRefusal> {
        for batch in batches {
            // In this order; see above.
            let last = self.state.last();
            if let Some(name) = self.server.fabric.view().workloads.keys().next() {
                return Err(TransferRefusal::Refused(format!(
                    "workload {name} is deployed, and its calls may have changed the state: begin with a new cluster"
                )));
            }
            self.state.write_after(&batch, last).await.map_err(|error| match error {
                NotWritten::NotServed | NotWritten::Overtaken => TransferRefusal::NotServed,
                error => TransferRefusal::Failed(error.to_string()),
            })?;
        }
        self.settled(stage).await
    }

    /// Answers once all that the answer rests on is committed.
    async fn settled(&self, stage: RestoreStage) -> Result<RestoreStage, TransferRefusal> {
        let last: Position = self.state.last();
        backup::committed(self.state, last).await?;
        if self.permit.may_answer() { Ok(stage) } else { Err(TransferRefusal::NotServed) }
    }
}

fn failed(error: &StateError) -> TransferRefusal {
    TransferRefusal::Failed(error.to_string())
}

fn read_mark(state: &dyn ShardState) -> Result<Option<Mark>, TransferRefusal> {
    let Some(row) = state.get(MARK_WORKLOAD, MARK_KEY).map_err(|error| failed(&error))? else {
        return Ok(None);
    };
    let backup = row.first_chunk::<32>().copied().map(Digest);
    match (backup, row.get(32..)) {
        (Some(backup), Some([0])) => Ok(Some(Mark { backup, stage: RestoreStage::Begun })),
        (Some(backup), Some([1])) => Ok(Some(Mark { backup, stage: RestoreStage::Ended })),
        _ => Err(TransferRefusal::Failed("the mark of a restore cannot be read".into())),
    }
}

fn mark(backup: Digest, stage: RestoreStage) -> WriteBatch {
    let ended = u8::from(stage == RestoreStage::Ended);
    let value = [&backup.0[..], &[ended]].concat().into();
    batch(MARK_WORKLOAD, vec![Change { key: Bytes::from_static(MARK_KEY), value: Some(value) }])
}

fn batch(workload: &str, changes: Vec<Change>) -> WriteBatch {
    WriteBatch { request: 0, workload: workload.to_owned(), changes, reply: None, idempotency: None }
}

/// Rows as batches: each of one workload, and of bounded size.
fn batches(rows: Vec<StateRow>) -> Result<Vec<WriteBatch>, TransferRefusal> {
    let mut batches: Vec<WriteBatch> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let (workload, key) = row.split_key().map_err(|error| TransferRefusal::Refused(error.to_string()))?;
        if workload.is_empty() || workload.starts_with(OWN_PREFIX) {
            return Err(TransferRefusal::Refused(format!("{workload:?} is no workload's name")));
        }
        let row_bytes = key.len() + row.value.len();
        let change = Change { key, value: Some(row.value.clone()) };
        match batches.last_mut() {
            Some(batch) if batch.workload == workload && bytes + row_bytes <= BATCH_BYTES => {
                batch.changes.push(change);
                bytes += row_bytes;
            }
            _ => {
                batches.push(batch(workload, vec![change]));
                bytes = row_bytes;
            }
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &'static [u8], value: usize) -> StateRow {
        StateRow { key: Bytes::from_static(key), value: vec![0; value].into() }
    }

    #[test]
    fn a_batch_holds_rows_of_one_workload_and_is_of_bounded_size() {
        let rows = vec![row(b"\x01aX", 1), row(b"\x01aY", 1), row(b"\x01bX", BATCH_BYTES), row(b"\x01bY", 1)];
        let batches = batches(rows).unwrap();
        let found: Vec<(&str, usize)> =
            batches.iter().map(|batch| (&batch.workload[..], batch.changes.len())).collect();
        assert_eq!(found, [("a", 2), ("b", 1), ("b", 1)]);
    }

    #[test]
    fn rows_of_the_server_itself_are_not_taken() {
        assert!(batches(vec![row(b"\x08.restoremark", 33)]).is_err());
        assert!(batches(vec![row(b"\x09short", 1)]).is_err());
    }
}

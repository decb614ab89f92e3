//! Reading the state of shards for a backup, in parts, while they are served.
//!
//! The owner of a shard freezes its state, waits until what it has frozen is committed, and hands it out part by part to whoever asks. That
//! is a read like any other (rule 18): it comes after every write that was acknowledged before it was asked for. From then on it is a fixed
//! point of the shard's log, so the shard may move or be written to: what was begun is still right. If the owner dies in the middle, the
//! reader begins the shard anew.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use shardloom_protocol::peer::{PeerReply, PeerRequest, ReadShard, ShardPart, TransferRefusal};
use shardloom_protocol::shard_file::{ShardFileEncoder, ShardFileHeader, StateRow};
use shardloom_sharding::ids::{NodeId, ShardId};
use tokio::time::{Instant, sleep, timeout};

use super::fabric::Class;
use super::node_server::NodeServer;
use super::problem::{Code, Problem};
use super::readings::Reading;
use super::state::{FrozenShard, ShardState};

/// Shards whose state a node hands out at once: the log of each waits in memory meanwhile.
const READINGS_MAX: usize = 8;
/// Bytes of rows in one part: what is in memory at once, on two nodes.
const PART_BYTES: usize = 1 << 20;
/// How long a part may take, its commit and its way included.
const PART_WAIT_MAX: Duration = Duration::from_secs(20);
/// How long what was read may wait for its commit: longer than a hand-over.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(10);
/// A reading of which no part was asked for so long is given up: its reader is gone, or too slow to be waited for.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often silent readings are looked for.
const SILENCE_CHECK: Duration = Duration::from_secs(5);
/// Workloads of names that begin like this are the server's own, and belong to no backup.
pub const OWN_PREFIX: char = '.';

/// Gives up readings that nobody goes on with.
pub async fn forget_silent(server: &NodeServer) {
    loop {
        sleep(SILENCE_CHECK).await;
        server.readings.lock().retain(|_, reading| reading.heard.elapsed() < SILENCE_MAX);
    }
}

/// Reads a part of the state of a shard that this node serves.
///
/// # Errors
/// Nothing is kept then; the shard is to be begun anew.
pub async fn read_here(server: &NodeServer, ask: ReadShard) -> Result<ShardPart, TransferRefusal> {
    let (mut reading, mut bytes) = match ask.part {
        0 => begin(server, ask.shard).await?,
        // Out of the table meanwhile, so no two read the same.
        part => {
            let found = server.readings.lock().remove(&ask.transfer);
            let found = found.filter(|reading| reading.next.0 == part);
            let lost = || TransferRefusal::Refused("the reading was given up: begin it anew".into());
            (found.ok_or_else(lost)?, BytesMut::new())
        }
    };
    let rows = read_rows(&*reading.state, &reading.next.1).await?;
    let failed = |error: &dyn std::fmt::Display| TransferRefusal::Failed(error.to_string());
    let Some(after) = rows.last().map(|row| following(&row.key)) else {
        bytes.put(reading.encoder.end());
        return Ok(ShardPart { bytes: bytes.freeze(), last: true });
    };
    let of_guests: Vec<StateRow> = rows.into_iter().filter(|row| !is_own(row)).collect();
    bytes.put(reading.encoder.rows(&of_guests).map_err(|error| failed(&error))?);
    reading.next = (ask.part + 1, after);
    reading.heard = Instant::now();
    server.readings.lock().insert(ask.transfer, reading);
    Ok(ShardPart { bytes: bytes.freeze(), last: false })
}

fn is_own(row: &StateRow) -> bool {
    row.split_key().is_ok_and(|(workload, _)| workload.starts_with(OWN_PREFIX))
}

/// The first key after this one.
fn following(key: &Bytes) -> Bytes {
    [&key[..], &[0]].concat().into()
}

async fn read_rows(state: &dyn FrozenShard, start: &Bytes) -> Result<Vec<StateRow>, TransferRefusal> {
    let rows = state.read(start.clone(), PART_BYTES).await;
    rows.map_err(|error| TransferRefusal::Failed(error.to_string()))
}

async fn begin(server: &NodeServer, shard: ShardId) -> Result<(Reading, BytesMut), TransferRefusal> {
    if server.readings.lock().len() >= READINGS_MAX {
        return Err(TransferRefusal::Busy);
    }
    let permit = server.fabric.enter(shard).map_err(|_| TransferRefusal::NotServed)?;
    let state = server.fabric.state(shard, permit.epoch()).ok_or(TransferRefusal::NotServed)?;
    let frozen = state.freeze().await.map_err(|_| TransferRefusal::NotServed)?;
    committed(&*state, frozen.tail().position).await?;
    if !permit.may_answer() {
        return Err(TransferRefusal::NotServed);
    }
    let mut encoder = ShardFileEncoder::default();
    let header = encoder.header(&ShardFileHeader { shard, tail: frozen.tail() });
    let next = (1, Bytes::new());
    Ok((Reading { state: frozen, encoder, next, heard: Instant::now() }, BytesMut::from(&header[..])))
}

/// Waits until a write quorum holds the log up to there.
///
/// # Errors
/// It does not within `COMMIT_WAIT_MAX`, or the shard is not served any more.
pub async fn committed(
    state: &dyn ShardState,
    upto: shardloom_sharding::ids::Position,
) -> Result<(), TransferRefusal> {
    let mut committed = state.committed();
    match timeout(COMMIT_WAIT_MAX, committed.wait_for(|reached| *reached >= upto)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(TransferRefusal::NotServed),
    }
}

/// A shard's state on its way through this node, from whoever owns the shard.
#[derive(Debug)]
pub struct Passage {
    owner: NodeId,
    ask: ReadShard,
}

impl Passage {
    /// Begins to read a shard; the first part comes with it.
    ///
    /// # Errors
    /// Its owner is unknown, or does not begin.
    pub async fn begin(server: &NodeServer, shard: ShardId) -> Result<(Passage, ShardPart), Problem> {
        let owner = owner(server, shard)?;
        let transfer = getrandom::u64();
        let transfer = transfer.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let mut passage = Passage { owner, ask: ReadShard { shard, transfer, part: 0 } };
        let first = passage.next(server).await?;
        Ok((passage, first))
    }

    /// The next part.
    ///
    /// # Errors
    /// It is not to be had any more: the shard is to be begun anew.
    pub async fn next(&mut self, server: &NodeServer) -> Result<ShardPart, Problem> {
        let ask = self.ask.clone();
        self.ask.part += 1;
        let read = match self.owner == server.fabric.view().this_node {
            true => read_here(server, ask).await,
            false => match request(server, self.owner, &PeerRequest::ReadShard(ask)).await? {
                PeerReply::ReadShard(read) => read,
                other => Err(TransferRefusal::Failed(format!("the owner answered {other:?}"))),
            },
        };
        read.map_err(|refusal| problem(self.ask.shard, refusal))
    }
}

/// The owner of a shard by this node's view.
///
/// # Errors
/// There is no such shard, or it has none.
pub fn owner(server: &NodeServer, shard: ShardId) -> Result<NodeId, Problem> {
    let view = server.fabric.view();
    if shard.0 >= view.shard_count() {
        let detail = format!("there is no shard {shard}: the cluster has {}", view.shard_count());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let unowned = || Problem::new(Code::ShardUnavailable, format!("shard {shard} has no owner"));
    view.map.owner(shard).ok_or_else(unowned)
}

/// Asks a shard's owner something that may be asked again.
///
/// # Errors
/// No answer came.
pub async fn request(
    server: &NodeServer,
    owner: NodeId,
    request: &PeerRequest,
) -> Result<PeerReply, Problem> {
    let lost = |error: &dyn std::fmt::Display| {
        Problem::new(Code::Resharding, format!("the owner of the shard does not answer: {error}"))
    };
    let body = request.encode().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let deadline = Instant::now() + PART_WAIT_MAX;
    let reply = server.fabric.request(owner, Class::Bulk, body, deadline).await;
    PeerReply::decode(&reply.map_err(|error| lost(&error))?).map_err(|error| lost(&error))
}

/// A refusal of the owner as an error for the caller.
pub fn problem(shard: ShardId, refusal: TransferRefusal) -> Problem {
    match refusal {
        TransferRefusal::NotServed => {
            Problem::new(Code::Resharding, format!("shard {shard} is being handed over"))
        }
        TransferRefusal::Busy => {
            Problem::new(Code::Overloaded, "the states of too many shards are being read: try again later")
        }
        TransferRefusal::Refused(reason) => Problem::new(Code::Refused, reason),
        TransferRefusal::Failed(reason) => Problem::new(Code::Internal, reason),
    }
}

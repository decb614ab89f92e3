//! Idempotency keys: a client that is not sure whether its call was carried out sends it again under the same key, and gets the first reply.
//!
//! The reply is a row of the workload's own state on the shard, written in one batch with what the call wrote: so it moves with the shard, and
//! one is never there without the other. A call that wrote nothing is not kept; it runs again. Guests see none of these rows:
//!
//! ```text
//! 2, first 16 bytes of sha256(key, 0, idempotency-key)    fingerprint of the request, its number, version, reply
//! 3, number (8 bytes, big-endian)                         the 16 bytes above: the oldest goes first
//! 4                                                       numbers of the oldest and the next
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shardloom_host::StateError;
use shardloom_protocol::batch::Change;
use shardloom_protocol::call::{GuestReply, GuestRequest};

use crate::server::problem::{Code, Problem};
use crate::server::state::ShardState;

/// The header with the key, in lower case.
pub const HEADER: &str = "idempotency-key";
/// The longest key, in bytes: as long as any name that clients make up.
pub const KEY_BYTES_MAX: usize = 255;
/// Replies that a workload keeps on one shard; the oldest goes when one more comes.
pub const KEPT_MAX: u64 = 1_000;
/// The largest reply that is kept, in bytes: one row of the state. Of a larger one only is kept that it was given.
const REPLY_BYTES_MAX: usize = 32 << 10;

const RECORD: u8 = 2;
const ORDER: u8 = 3;
const COUNT: u8 = 4;
const NAME_BYTES: usize = 16;

/// A call that was made under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotent {
    name: [u8; NAME_BYTES],
    fingerprint: [u8; NAME_BYTES],
}

/// What the state says of such a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is new, or too old, or wrote nothing.
    Nothing,
    /// It was carried out, by this version, with this reply; none where that was too large to be kept.
    Replied(u64, Option<GuestReply>),
    /// Another request was made under the same key.
    Other,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    fingerprint: [u8; NAME_BYTES],
    number: u64,
    version: u64,
    reply: Option<GuestReply>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Count {
    oldest: u64,
    next: u64,
}

/// Checks the key of a request, if it has one.
///
/// # Errors
/// `bad-request` for a key that cannot be one.
pub fn check(headers: &[(String, String)]) -> Result<(), Problem> {
    let mut keys = headers.iter().filter(|(name, _)| name == HEADER).map(|(_, value)| value.len());
    match (keys.next(), keys.next()) {
        (None, _) => Ok(()),
        (Some(1..=KEY_BYTES_MAX), None) => Ok(()),
        (Some(_), None) => {
            Err(Problem::new(Code::BadRequest, format!("{HEADER} must have 1 to {KEY_BYTES_MAX} bytes")))
        }
        (Some(_), Some(_)) => {
            Err(Problem::new(Code::BadRequest, format!("{HEADER} is given more than once")))
        }
    }
}

impl Idempotent {
    /// The call's name by its key, if it has one.
    pub fn of(request: &GuestRequest) -> Option<Idempotent> {
        let (_, key) = request.headers.iter().find(|(name, _)| name == HEADER)?;
        let name = digest(&[request.key.as_bytes(), key.as_bytes()]);
        let fingerprint = digest(&[request.method.as_bytes(), &request.body]);
        Some(Idempotent { name, fingerprint })
    }

    /// Asks the state for the call.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn look_up(&self, state: &dyn ShardState, workload: &str) -> Result<Known, StateError> {
        let Some(row) = state.get(workload, &self.record_key())? else { return Ok(Known::Nothing) };
        let record: Record = read(&row)?;
        Ok(match record.fingerprint == self.fingerprint {
            true => Known::Replied(record.version, record.reply),
            false => Known::Other,
        })
    }

    /// What is to be written beside the call's own writes, so that a retry gets this reply.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn changes(
        &self,
        state: &dyn ShardState,
        workload: &str,
        version: u64,
        reply: &GuestReply,
    ) -> Result<Vec<Change>, StateError> {
        let mut count: Count = match state.get(workload, &[COUNT])? {
            Some(row) => read(&row)?,
            None => Count::default(),
        };
        let mut changes = Vec::with_capacity(5);
        if count.next - count.oldest >= KEPT_MAX {
            let order = order_key(count.oldest);
            if let Some(name) = state.get(workload, &order)? {
                changes.push(Change { key: [&[RECORD], &name[..]].concat().into(), value: None });
            }
            changes.push(Change { key: order, value: None });
            count.oldest += 1;
        }
        let number = count.next;
        count.next += 1;
        let headers: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let kept = (headers + reply.body.len() <= REPLY_BYTES_MAX).then(|| reply.clone());
        let record = Record { fingerprint: self.fingerprint, number, version, reply: kept };
        changes.push(Change { key: self.record_key(), value: Some(write(&record)?) });
        changes.push(Change { key: order_key(number), value: Some(Bytes::copy_from_slice(&self.name)) });
        changes.push(Change { key: Bytes::from_static(&[COUNT]), value: Some(write(&count)?) });
        Ok(changes)
    }

    fn record_key(&self) -> Bytes {
        [&[RECORD], &self.name[..]].concat().into()
    }
}

fn order_key(number: u64) -> Bytes {
    [&[ORDER], &number.to_be_bytes()[..]].concat().into()
}

fn read<'a, T: Deserialize<'a>>(row: &'a [u8]) -> Result<T, StateError> {
    postcard::from_bytes(row)
        .map_err(|error| StateError::new(format!("a kept reply cannot be read: {error}")))
}

fn write<T: Serialize>(row: &T) -> Result<Bytes, StateError> {
    let bytes = postcard::to_allocvec(row);
    bytes.map(Bytes::from).map_err(|error| StateError::new(format!("a reply cannot be kept: {error}")))
}

fn digest(parts: &[&[u8]]) -> [u8; NAME_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let whole: [u8; 32] = hasher.finalize().into();
    let mut first = [0; NAME_BYTES];
    first.copy_from_slice(&whole[..NAME_BYTES]);
    first
}

//! Idempotency keys: a client that is not sure whether its call was carried out sends it again under the same key, and gets the first reply.
//!
//! The reply is a row of the workload's own state on the shard, written in one batch with what the call wrote: so it moves with the shard, and
//! one is never there without the other. A call that wrote nothing is not kept; it runs again. Guests see none of these rows:
//!
//! ```text
//! 2, first 16 bytes of sha256(key, 0, idempotency-key)    fingerprint of the request, its number, version, reply
//! 3, number (8 bytes, big-endian)                         the 16 bytes above, and when it was kept: the oldest goes first
//! 4                                                       numbers of the oldest and the next
//! 5                                                       the clock of kept replies
//! ```
//!
//! A reply goes when there are too many, or when it is too old, and always by a write in the log: whoever owns the shard forgets the same
//! ones. Their clock counts microseconds (8 bytes, big-endian) in which an owner has served the shard, by its own monotonic clock, from one kept reply to
//! the next; what lies between two owners is not counted. So none is forgotten too early, whatever wall clocks say.

use std::time::Duration;

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
/// How long a reply is kept at most, in time that the shard was served: longer than any client tries again.
pub const KEPT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Replies that go with one call at most: more than come with it, so that all the old ones go in time.
const FORGOTTEN_AT_ONCE: usize = 4;
/// The largest reply that is kept, in bytes: one row of the state. Of a larger one only is kept that it was given.
const REPLY_BYTES_MAX: usize = 32 << 10;

const RECORD: u8 = 2;
const ORDER: u8 = 3;
const COUNT: u8 = 4;
const CLOCK: u8 = 5;
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
        let method = request.method.as_bytes();
        let fingerprint = match &request.http {
            None => digest(&[method, &request.body]),
            // Who asks is part of it: a component that looks at that itself would else be passed by.
            Some(http) => {
                let who = ["authorization", "cookie"].map(|name| {
                    let named = request.headers.iter().filter(|(given, _)| given == name);
                    named.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n")
                });
                let [authorization, cookie] = who.each_ref().map(String::as_bytes);
                digest(&[method, http.path_and_query.as_bytes(), authorization, cookie, &request.body])
            }
        };
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

    /// What is to be written beside the call's own writes, so that a retry gets this reply; `served` is for how long this owner has served the
    /// shard since it has kept one, or since it began.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn changes(
        &self,
        state: &dyn ShardState,
        workload: &str,
        (version, reply): (u64, &GuestReply),
        served: Duration,
    ) -> Result<Vec<Change>, StateError> {
        let mut count: Count = match state.get(workload, &[COUNT])? {
            Some(row) => read(&row)?,
            None => Count::default(),
        };
        let before = state.get(workload, &[CLOCK])?.map_or(0, |row| read_time(&row));
        let now = before.saturating_add(served.as_micros() as u64);
        let mut changes = Vec::with_capacity(6);
        for _ in 0..FORGOTTEN_AT_ONCE {
            let order = order_key(count.oldest);
            let kept = state.get(workload, &order)?;
            let age = kept
                .as_ref()
                .map_or(0, |row| now.saturating_sub(read_time(&row[row.len().min(NAME_BYTES)..])));
            let too_old = u128::from(age) > KEPT_AGE_MAX.as_micros();
            if count.oldest >= count.next || (!too_old && count.next - count.oldest < KEPT_MAX) {
                break;
            }
            if let Some(name) = kept.as_ref().and_then(|row| row.get(..NAME_BYTES)) {
                changes.push(Change { key: [&[RECORD], name].concat().into(), value: None });
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
        let ordered = [&self.name[..], &now.to_be_bytes()].concat();
        changes.push(Change { key: order_key(number), value: Some(ordered.into()) });
        let clock = Bytes::copy_from_slice(&now.to_be_bytes());
        changes.push(Change { key: Bytes::from_static(&[CLOCK]), value: Some(clock) });
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

/// A reading of the clock; 0 for a row that was written before there was one.
fn read_time(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use futures::future::BoxFuture;
    use shardloom_protocol::batch::WriteBatch;
    use shardloom_sharding::ids::Position;
    use tokio::sync::watch;

    use super::*;
    use crate::server::state::{FrozenShard, NotWritten};

    /// Rows as they would be read back.
    #[derive(Default)]
    struct Rows(Mutex<BTreeMap<Vec<u8>, Bytes>>);

    impl Rows {
        fn keep(&self, key: &str, served: Duration) {
            let reply = GuestReply { status: 200, headers: Vec::new(), body: Bytes::from_static(b"done") };
            for Change { key, value } in call(key).changes(self, "w", (1, &reply), served).unwrap() {
                let mut rows = self.0.lock().unwrap();
                match value {
                    Some(value) => rows.insert(key.to_vec(), value),
                    None => rows.remove(&key[..]),
                };
            }
        }

        fn knows(&self, key: &str) -> bool {
            call(key).look_up(self, "w").unwrap() != Known::Nothing
        }
    }

    impl ShardState for Rows {
        fn get(&self, _: &str, key: &[u8]) -> Result<Option<Bytes>, StateError> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn scan(
            &self,
            _: &str,
            _: &[u8],
            _: Option<&[u8]>,
            _: usize,
            _: usize,
        ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
            Ok(Vec::new())
        }

        fn bytes(&self, _: &str) -> u64 {
            self.bytes_of_all()
        }

        fn bytes_of_all(&self) -> u64 {
            let rows = self.0.lock().unwrap();
            rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
        }

        fn write<'a>(&'a self, _: &'a WriteBatch) -> BoxFuture<'a, Result<Position, NotWritten>> {
            Box::pin(async { Err(NotWritten::NotServed) })
        }

        fn write_after<'a>(
            &'a self,
            _: &'a WriteBatch,
            _: Position,
        ) -> BoxFuture<'a, Result<Position, NotWritten>> {
            Box::pin(async { Err(NotWritten::NotServed) })
        }

        fn freeze(&self) -> BoxFuture<'_, Result<Arc<dyn FrozenShard>, StateError>> {
            Box::pin(async { Err(StateError::new("there is nothing to freeze".to_owned())) })
        }

        fn last(&self) -> Position {
            Position(0)
        }

        fn committed(&self) -> watch::Receiver<Position> {
            watch::channel(Position(0)).1
        }

        fn reply_of(&self, _: u128) -> Option<(Position, Bytes)> {
            None
        }
    }

    fn call(key: &str) -> Idempotent {
        let headers = vec![(HEADER.to_owned(), key.to_owned())];
        let (key, method, body) = ("k".to_owned(), "add".to_owned(), Bytes::new());
        Idempotent::of(&GuestRequest { key, method, headers, body, http: None }).unwrap()
    }

    #[test]
    fn a_reply_goes_once_its_shard_was_served_for_a_day() {
        let rows = Rows::default();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for number in 0..3 {
            rows.keep(&format!("first-{number}"), hours(0));
        }
        rows.keep("second", hours(20));
        rows.keep("third", hours(4));
        assert!(rows.knows("first-0"), "just a day old");
        rows.keep("fourth", hours(1));
        assert!((0..3).all(|number| !rows.knows(&format!("first-{number}"))), "more than a day old");
        assert!(rows.knows("second") && rows.knows("third") && rows.knows("fourth"));
        // Four a call at most, and nothing but the clock and the count stays of what is gone.
        rows.keep("fifth", hours(100));
        assert!(!rows.knows("fourth") && rows.knows("fifth"));
        assert_eq!(rows.0.lock().unwrap().len(), 4);
    }
}

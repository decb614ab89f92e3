//! The envelope: every message between nodes says what it is and in which version it is written.
//!
//! ```text
//!  0      1      2         3      4
//! +------+------+---------+------+------------------------+
//! | 'S'  | 'L'  | version | kind | body (postcard) ...    |
//! +------+------+---------+------+------------------------+
//! ```
//!
//! A newer version is refused by name, so that a node that is behind says so instead of misreading. Numbers of kinds are never used twice.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of all bodies that this build writes, and the newest that it reads.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"SL";
const HEADER_BYTES: usize = 4;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A call within the control group.
    Raft = 1,
    /// Its answer.
    RaftReply = 2,
    /// A message of the shard protocol; no answer.
    Shard = 3,
    /// A command for the control log, for the leader to write.
    Write = 4,
    /// What became of it.
    WriteReply = 5,
    /// A stranger asks to join.
    Join = 6,
    /// What became of it.
    JoinReply = 7,
    /// A member has started and says where it is.
    Attach = 8,
    /// What the leader says to that.
    AttachReply = 9,
    /// The leader is asked to give way.
    StepDown = 10,
    /// Its answer.
    StepDownReply = 11,
    /// The leader says how everybody is.
    News = 12,
    /// A part of the state of a shard.
    Snapshot = 13,
    /// What became of it.
    SnapshotReply = 14,
    /// A member is asked for its build. Builds of level 1 do not know it, and answer nothing.
    Build = 15,
    /// What it says.
    BuildReply = 16,
    /// What one node's server asks another's: a call to a guest, forwarded, among others.
    Server = 34,
    /// Its answer.
    ServerReply = 35,
}

impl Kind {
    const ALL: [Kind; 18] = [
        Kind::Raft,
        Kind::RaftReply,
        Kind::Shard,
        Kind::Write,
        Kind::WriteReply,
        Kind::Join,
        Kind::JoinReply,
        Kind::Attach,
        Kind::AttachReply,
        Kind::StepDown,
        Kind::StepDownReply,
        Kind::News,
        Kind::Snapshot,
        Kind::SnapshotReply,
        Kind::Build,
        Kind::BuildReply,
        Kind::Server,
        Kind::ServerReply,
    ];
}

/// The bytes are not the message that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short, or another magic number.
    #[error("not a message between Shardloom nodes")]
    Foreign,
    /// Written by a newer build.
    #[error("the message is of format {found}, this node reads up to {VERSION}: upgrade this node")]
    NewerVersion {
        /// Its version.
        found: u8,
    },
    /// No such kind, or another than expected.
    #[error("a message of kind {found} where {expected:?} was expected")]
    OtherKind {
        /// The kind's number.
        found: u8,
        /// What was expected, if one thing was.
        expected: Option<Kind>,
    },
    /// The body does not decode.
    #[error("the body of a {kind:?} message does not decode: {reason}")]
    Body {
        /// The message's kind.
        kind: Kind,
        /// What postcard says.
        reason: String,
    },
}

/// Writes a message.
///
/// # Errors
///
/// The body cannot be encoded (a map of unknown length, say).
pub fn encode<T: Serialize>(kind: Kind, body: &T) -> Result<Bytes, EnvelopeError> {
    let header = vec![MAGIC[0], MAGIC[1], VERSION, kind as u8];
    postcard::to_extend(body, header)
        .map(Bytes::from)
        .map_err(|error| EnvelopeError::Body { kind, reason: error.to_string() })
}

/// Says what a message is without reading its body.
///
/// # Errors
///
/// It is none of ours, or of a newer version, or of an unknown kind.
pub fn kind(message: &[u8]) -> Result<Kind, EnvelopeError> {
    match *message {
        [a, b, version, _, ..] if [a, b] == MAGIC && version > VERSION => {
            Err(EnvelopeError::NewerVersion { found: version })
        }
        [a, b, _, number, ..] if [a, b] == MAGIC => Kind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == number)
            .ok_or(EnvelopeError::OtherKind { found: number, expected: None }),
        _ => Err(EnvelopeError::Foreign),
    }
}

/// Reads a message that is expected to be of one kind.
///
/// # Errors
///
/// It is not, or its body does not decode.
pub fn decode<T: DeserializeOwned>(expected: Kind, message: &[u8]) -> Result<T, EnvelopeError> {
    let found = kind(message)?;
    if found != expected {
        return Err(EnvelopeError::OtherKind { found: found as u8, expected: Some(expected) });
    }
    let damaged = |reason| EnvelopeError::Body { kind: expected, reason };
    match postcard::take_from_bytes(&message[HEADER_BYTES..]) {
        Ok((body, [])) => Ok(body),
        Ok((_, rest)) => Err(damaged(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_pinned_byte_by_byte_and_reads_back() {
        let bytes = encode(Kind::Write, &(7u32, "x")).unwrap();
        assert_eq!(&bytes[..], b"SL\x01\x04\x07\x01x");
        assert_eq!(decode::<(u32, String)>(Kind::Write, &bytes), Ok((7, "x".into())));
    }

    #[test]
    fn what_is_not_ours_is_refused_by_what_is_wrong_with_it() {
        assert_eq!(kind(b"GET / HTTP/1.1"), Err(EnvelopeError::Foreign));
        assert_eq!(kind(b"SL"), Err(EnvelopeError::Foreign));
        assert_eq!(kind(b"SL\x02\x04"), Err(EnvelopeError::NewerVersion { found: 2 }));
        assert_eq!(kind(b"SL\x01\xff"), Err(EnvelopeError::OtherKind { found: 255, expected: None }));
        let other = decode::<u32>(Kind::Raft, b"SL\x01\x04\x00");
        assert_eq!(other, Err(EnvelopeError::OtherKind { found: 4, expected: Some(Kind::Raft) }));
        assert!(matches!(decode::<u32>(Kind::Write, b"SL\x01\x04"), Err(EnvelopeError::Body { .. })));
    }
}

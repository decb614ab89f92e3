//! The map and the changes as bytes, for the control log and its snapshots.
//!
//! `encode_map(&ShardMap) -> Vec<u8>`, `decode_map(&[u8]) -> Result<ShardMap, CodecError>`,
//! `encode_changes(&[Change]) -> Result<Vec<u8>, AssignError>`, `decode_changes(&[u8]) -> Result<Vec<Change>, CodecError>`.

/// The bytes are no map, or no changes, of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early, or go on where they should end.
    #[error("{bytes} bytes are not the length of what they hold")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// The bytes are something else.
    #[error("not a shard map or a list of its changes")]
    Magic,
    /// A newer release wrote this.
    #[error("format version {version} is newer than this release reads")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The bytes are damaged.
    #[error("the checksum does not match")]
    Checksum,
    /// The checksum matches, and still no map may say this.
    #[error("impossible contents: {what}")]
    Impossible {
        /// What is wrong.
        what: &'static str,
    },
}

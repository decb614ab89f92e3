//! Join tokens: what an operator carries from a cluster to a machine that shall join it.
//!
//! ```text
//! slt1- + base32 of | cluster id, 8 | SHA-256 of the CA certificate, 32 | secret, 16 | CRC-32 of the 56 before, 4 |
//! ```
//! All integers are big-endian; base32 is RFC 4648's alphabet in lower case, without padding: 96 letters. A token proves
//! the cluster to the node (by the pin) as well as the node to the cluster (by the secret). Whether a secret is still
//! good is for the cluster to say; it stores [`JoinToken::secret_hash`] only.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use shardloom_sharding::ids::ClusterId;

use crate::ca::ClusterCa;

const PREFIX: &str = "slt1-";
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const CONTENT_BYTES: usize = 56;
const TOKEN_LETTERS: usize = (CONTENT_BYTES + 4) * 8 / 5;

/// Why a text is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin as one.
    #[error("a join token begins with \"slt1-\"")]
    Prefix,
    /// It is of a later kind.
    #[error(
        "this join token is of a newer kind than this version knows (it begins with {0:?}, \"slt1-\" is known)"
    )]
    Newer(String),
    /// Letters are missing or too many.
    #[error("a join token has {TOKEN_LETTERS} letters after \"slt1-\", this one has {0}: was it cut off?")]
    Length(usize),
    /// It holds something that no token holds.
    #[error("a join token holds a-z and 2-7 only, not {0:?}")]
    Letter(char),
    /// Its letters do not fit together.
    #[error("the join token has a mistyped letter: its checksum does not match")]
    Checksum,
    /// The system gave no random bytes.
    #[error("no random bytes for a join token: {0}")]
    Random(String),
}

/// What a node needs to join: which cluster, how to recognise it, and the secret that lets it in.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    cluster: ClusterId,
    ca_pin: [u8; 32],
    secret: [u8; 16],
}

impl JoinToken {
    /// Makes a token with a new random secret.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create(ca: &ClusterCa) -> Result<JoinToken, TokenError> {
        JoinToken::for_authority(ca.cluster(), ca.pin())
    }

    /// Makes a token from what is publicly known of the authority: tokens are made where its key is not.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn for_authority(cluster: ClusterId, ca_pin: [u8; 32]) -> Result<JoinToken, TokenError> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| TokenError::Random(error.to_string()))?;
        Ok(JoinToken { cluster, ca_pin, secret })
    }

    /// The cluster to join.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The SHA-256 of the certificate of the cluster's authority.
    pub fn ca_pin(&self) -> [u8; 32] {
        self.ca_pin
    }

    /// What the node shows to be let in.
    pub fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// What the cluster stores of this token's secret.
    pub fn secret_hash(&self) -> [u8; 32] {
        JoinToken::hash_of(&self.secret)
    }

    /// The hash under which the cluster finds a secret that a node shows.
    pub fn hash_of(secret: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"shardloom join secret\0");
        hash.update(secret);
        hash.finalize().into()
    }
}

/// Prints the token itself: secret.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(CONTENT_BYTES + 4);
        bytes.extend_from_slice(&self.cluster.0.to_be_bytes());
        bytes.extend_from_slice(&self.ca_pin);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        f.write_str(PREFIX)?;
        for group in bytes.chunks_exact(5) {
            let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            for letter in (0..8).rev() {
                write!(f, "{}", LETTERS[(bits >> (letter * 5) & 31) as usize] as char)?;
            }
        }
        Ok(())
    }
}

/// Never prints the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken(cluster {})", self.cluster)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<JoinToken, TokenError> {
        let text = text.trim();
        let Some(letters) = text.strip_prefix(PREFIX) else {
            let kind = text.split_inclusive('-').next().filter(|kind| {
                let number = kind.strip_prefix("slt").and_then(|kind| kind.strip_suffix('-'));
                number.is_some_and(|n| !n.is_empty() && n.len() < 4 && n.bytes().all(|b| b.is_ascii_digit()))
            });
            return Err(kind.map_or(TokenError::Prefix, |kind| TokenError::Newer(kind.to_owned())));
        };
        let mut values = Vec::with_capacity(TOKEN_LETTERS);
        for letter in letters.chars() {
            let value = LETTERS.iter().position(|known| *known as char == letter.to_ascii_lowercase());
            values.push(value.ok_or(TokenError::Letter(letter))? as u64);
        }
        if values.len() != TOKEN_LETTERS {
            return Err(TokenError::Length(values.len()));
        }
        let mut bytes = Vec::with_capacity(CONTENT_BYTES + 4);
        for group in values.chunks_exact(8) {
            let bits = group.iter().fold(0u64, |bits, value| bits << 5 | value);
            bytes.extend_from_slice(&bits.to_be_bytes()[3..]);
        }
        let (content, checksum) = bytes.split_at(CONTENT_BYTES);
        if crc32fast::hash(content).to_be_bytes() != checksum {
            return Err(TokenError::Checksum);
        }
        let (mut cluster, mut ca_pin, mut secret) = ([0; 8], [0; 32], [0; 16]);
        cluster.copy_from_slice(&content[..8]);
        ca_pin.copy_from_slice(&content[8..40]);
        secret.copy_from_slice(&content[40..]);
        Ok(JoinToken { cluster: ClusterId(u64::from_be_bytes(cluster)), ca_pin, secret })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            cluster: ClusterId(0x0123_4567_89ab_cdef),
            ca_pin: [0xc5; 32],
            secret: *b"sixteen letters!",
        }
    }

    #[test]
    fn the_text_of_a_token_is_pinned_and_reads_back() {
        let text = token().to_string();
        assert_eq!(text.len(), 5 + 96);
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        let pinned = "slt1-aerukz4jvpg67rofyxc4lrofyxc4lrofyxc4lrofyxc4lrofyxc4lrofyxc4lrofonuxq5dfmvxca3dfor2gk4ttefszvqxs";
        assert_eq!(text, pinned);
        assert_eq!(format!("{:?}", token()), "JoinToken(cluster 0123456789abcdef)");
    }

    #[test]
    fn every_single_mistyped_letter_is_noticed() {
        let text = token().to_string();
        for at in 5..text.len() {
            for letter in LETTERS {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] != *letter {
                    bytes[at] = *letter;
                    let typo = String::from_utf8(bytes).unwrap();
                    assert_eq!(typo.parse::<JoinToken>(), Err(TokenError::Checksum), "{typo}");
                }
            }
        }
    }

    #[test]
    fn garbage_is_refused_with_what_is_wrong() {
        let text = token().to_string();
        let refused = |text: &str| text.parse::<JoinToken>().unwrap_err();
        assert_eq!(refused(""), TokenError::Prefix);
        assert_eq!(refused("hello-world"), TokenError::Prefix);
        assert_eq!(refused("slt2-abc"), TokenError::Newer("slt2-".into()));
        assert_eq!(refused(&text[..100]), TokenError::Length(95));
        assert_eq!(refused(&format!("{text}a")), TokenError::Length(97));
        assert_eq!(refused(&text.replace("slt1-a", "slt1-ä")), TokenError::Letter('ä'));
        assert_eq!(refused(&text.replace("slt1-a", "slt1-0")), TokenError::Letter('0'));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(slt1-)?\\PC{0,120}", letters in "slt1-[a-z2-7]{96}") {
            // Whether a text is good is for the checksum to say; here it must only be read to the end.
            prop_assert!(text.parse::<JoinToken>().is_err());
            let _ = letters.parse::<JoinToken>();
        }
    }
}

//! Who may do what through the API: tokens with roles. Their secrets are never written down, only the digests.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shardloom_protocol::digest::Digest;

/// Tokens that there may be: a request's token is compared with all of them.
pub const ACCESS_TOKENS_MAX: usize = 200;
/// Bytes of a token's name: it stands in tables and in the audit.
pub const ACCESS_NAME_BYTES_MAX: usize = 64;
/// The name of the token that a cluster is made with.
pub const FOUNDER: &str = "founder";

/// What the holder of a token may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenRole {
    /// Sees everything but states of shards and tokens, and changes nothing.
    Reader,
    /// Deploys and undeploys workloads, uploads components, sets the weigher.
    Deployer,
    /// Everything.
    Admin,
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no role: reader, deployer or admin")]
pub struct ParseRoleError {
    text: String,
}

impl TokenRole {
    /// All roles, the one that may do least first.
    pub const ALL: [TokenRole; 3] = [TokenRole::Reader, TokenRole::Deployer, TokenRole::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            TokenRole::Reader => "reader",
            TokenRole::Deployer => "deployer",
            TokenRole::Admin => "admin",
        }
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TokenRole {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<TokenRole, ParseRoleError> {
        let named = TokenRole::ALL.into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| ParseRoleError { text: text.chars().take(40).collect() })
    }
}

/// A token, as the control log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The sha256 of its secret.
    pub digest: Digest,
    /// What its holder may do.
    pub role: TokenRole,
    /// Index of the entry that made it.
    pub since: u64,
}

/// Why a token is not made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AccessError {
    /// The name cannot be one.
    #[error(
        "{name:?} is no name for a token: letters, digits, `-`, `_`, `.` and `@`, at most {ACCESS_NAME_BYTES_MAX}"
    )]
    BadName {
        /// The name that was given.
        name: String,
    },
    /// There is one of that name.
    #[error("there is a token {name:?}: revoke it (`shardloom token revoke {name}`), or take another name")]
    NameTaken {
        /// The name that was given.
        name: String,
    },
    /// There is none of that name.
    #[error("there is no token {name:?}: `shardloom token list` lists them")]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there are {ACCESS_TOKENS_MAX} tokens: revoke some that are not used any more")]
    TooMany,
    /// Nobody could administer the cluster without it.
    #[error("{name:?} is the last token of an admin: make another one first")]
    LastAdmin {
        /// The name that was given.
        name: String,
    },
}

/// All tokens, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokens {
    by_name: BTreeMap<String, AccessToken>,
}

impl AccessTokens {
    /// Those of a new cluster: the one that it is made with, an admin's.
    pub fn founded(digest: Digest, index: u64) -> AccessTokens {
        let founder = AccessToken { digest, role: TokenRole::Admin, since: index };
        AccessTokens { by_name: BTreeMap::from([(FOUNDER.to_owned(), founder)]) }
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AccessToken)> {
        self.by_name.iter().map(|(name, token)| (name.as_str(), token))
    }

    /// The name and the token whose secret has this sha256. Takes the same time whichever it is, and where the difference is.
    pub fn holder(&self, sha256: &[u8; 32]) -> Option<(&str, &AccessToken)> {
        let mut holder = None;
        for (name, token) in self.iter() {
            let pairs = token.digest.0.iter().zip(sha256);
            let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                holder = Some((name, token));
            }
        }
        holder
    }

    /// Adds a token.
    ///
    /// # Errors
    ///
    /// Its name is taken or none, or there are too many.
    pub fn create(
        &mut self,
        name: String,
        role: TokenRole,
        digest: Digest,
        index: u64,
    ) -> Result<(), AccessError> {
        if !is_name(&name) {
            return Err(AccessError::BadName { name: name.chars().take(ACCESS_NAME_BYTES_MAX).collect() });
        }
        if self.by_name.contains_key(&name) {
            return Err(AccessError::NameTaken { name });
        }
        if self.by_name.len() >= ACCESS_TOKENS_MAX {
            return Err(AccessError::TooMany);
        }
        self.by_name.insert(name, AccessToken { digest, role, since: index });
        Ok(())
    }

    /// Takes a token away.
    ///
    /// # Errors
    ///
    /// There is none of that name, or it is the last of an admin.
    pub fn revoke(&mut self, name: &str) -> Result<(), AccessError> {
        let named = |name: &str| name.chars().take(ACCESS_NAME_BYTES_MAX).collect();
        let Some(token) = self.by_name.get(name) else {
            return Err(AccessError::Unknown { name: named(name) });
        };
        let admins = self.by_name.values().filter(|token| token.role == TokenRole::Admin).count();
        if token.role == TokenRole::Admin && admins == 1 {
            return Err(AccessError::LastAdmin { name: named(name) });
        }
        self.by_name.remove(name);
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    !name.is_empty() && name.len() <= ACCESS_NAME_BYTES_MAX && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founded() -> AccessTokens {
        AccessTokens::founded(Digest([1; 32]), 1)
    }

    #[test]
    fn only_the_very_digest_finds_a_holder() {
        let mut tokens = founded();
        tokens.create("ci".into(), TokenRole::Deployer, Digest([2; 32]), 7).unwrap();
        let found = |digest| tokens.holder(&digest).map(|(name, token)| (name, token.role));
        assert_eq!(found([1; 32]), Some((FOUNDER, TokenRole::Admin)));
        assert_eq!(found([2; 32]), Some(("ci", TokenRole::Deployer)));
        let mut close = [2; 32];
        close[31] = 3;
        assert_eq!(found(close), None);
    }

    #[test]
    fn a_name_is_taken_once_and_free_again_when_revoked() {
        let mut tokens = founded();
        let create = |tokens: &mut AccessTokens, name: &str| {
            tokens.create(name.into(), TokenRole::Reader, Digest([3; 32]), 2)
        };
        create(&mut tokens, "board").unwrap();
        assert!(matches!(create(&mut tokens, "board"), Err(AccessError::NameTaken { .. })));
        tokens.revoke("board").unwrap();
        assert!(tokens.holder(&[3; 32]).is_none());
        assert!(matches!(tokens.revoke("board"), Err(AccessError::Unknown { .. })));
        create(&mut tokens, "board").unwrap();
        for bad in ["", "node 1", "a/b", &"x".repeat(65)] {
            assert!(matches!(create(&mut tokens, bad), Err(AccessError::BadName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn an_admin_is_always_left_and_the_number_is_bounded() {
        let mut tokens = founded();
        assert!(matches!(tokens.revoke(FOUNDER), Err(AccessError::LastAdmin { .. })));
        tokens.create("other".into(), TokenRole::Admin, Digest([4; 32]), 2).unwrap();
        tokens.revoke(FOUNDER).unwrap();
        for number in tokens.by_name.len()..ACCESS_TOKENS_MAX {
            tokens.create(format!("t{number}"), TokenRole::Reader, Digest([5; 32]), 3).unwrap();
        }
        let one_more = tokens.create("more".into(), TokenRole::Reader, Digest([6; 32]), 4);
        assert_eq!(one_more, Err(AccessError::TooMany));
    }

    #[test]
    fn roles_are_ordered_and_come_back_from_their_names() {
        assert!(TokenRole::Reader < TokenRole::Deployer && TokenRole::Deployer < TokenRole::Admin);
        for role in TokenRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<TokenRole>().is_err());
    }
}

//! How a client is made.

use std::time::Duration;

use hyper_util::client::legacy::connect::Connect;
use shardloom_sharding::ids::{NodeId, ParseIdError};

use crate::address::{Address, AddressError};
use crate::client::{Client, Settings};
use crate::directory::Directory;
use crate::known::{MapReader, Shared};
use crate::pool::Pool;

/// A call's time, where it has none of its own: what a node gives it, too.
const DEADLINE: Duration = Duration::from_secs(10);
/// Attempts of a call: enough for each of a few nodes and an election, too few to be a burden.
const ATTEMPTS_MAX: u32 = 8;
/// How long a node may keep a call that can be sent to another one: longer than the cluster takes to replace a node that died.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(3);

/// The settings of a [`Client`].
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<String>,
    named: Vec<(String, String)>,
    token: Option<String>,
    pool: Option<Pool>,
    deadline: Duration,
    attempts_max: u32,
    attempt_time_max: Duration,
}

/// A client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A text is not the address of a node.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A text is not the id of a node.
    #[error(transparent)]
    Node(#[from] ParseIdError),
    /// There is nobody to ask.
    #[error("name at least one node")]
    NoNodes,
    /// Nobody can be reached by this scheme.
    #[error("{0} needs a connector of its own: plain connections are for http")]
    Scheme(Address),
    /// The token has characters that no token has.
    #[error("this is no token")]
    Token,
}

impl Client {
    /// A client of the cluster that these nodes belong to, with the usual settings.
    ///
    /// # Errors
    /// If there is none, or one is not an address.
    pub fn open<T: Into<String>>(nodes: impl IntoIterator<Item = T>) -> Result<Client, BuildError> {
        nodes.into_iter().fold(Client::builder(), |builder, node| builder.node(node)).build()
    }

    /// A client with settings of its own.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Builder {
        Builder {
            nodes: Vec::new(),
            named: Vec::new(),
            token: None,
            pool: None,
            deadline: DEADLINE,
            attempts_max: ATTEMPTS_MAX,
            attempt_time_max: ATTEMPT_TIME_MAX,
        }
    }

    /// Asks this node, `http://HOST:PORT`. One is enough; with several, the death of one does not matter.
    #[must_use]
    pub fn node(mut self, address: impl Into<String>) -> Builder {
        self.nodes.push(address.into());
        self
    }

    /// Asks this node, whose id is known (`shardloom nodes` shows it): its shards are then called directly, without any
    /// token, at this address even if the cluster knows another.
    #[must_use]
    pub fn named_node(mut self, id: impl Into<String>, address: impl Into<String>) -> Builder {
        self.named.push((id.into(), address.into()));
        self
    }

    /// Reads the shard map with the admin token, so that owners are called directly from the first call on. It is sent to the nodes that were
    /// given, in the clear over `http`; calls never carry it.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.token = Some(token.into());
        self
    }

    /// Gives each call so much time, all attempts together.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Builder {
        self.deadline = deadline;
        self
    }

    /// Sends a call at most so often.
    #[must_use]
    pub fn attempts(mut self, attempts_max: u32) -> Builder {
        self.attempts_max = attempts_max.max(1);
        self
    }

    /// Asks another node after so long (3 s if nothing is set) where the call has an idempotency key and time left: the node may hang. For
    /// workloads that take longer than that, let it be longer.
    #[must_use]
    pub fn attempt_time(mut self, attempt_time_max: Duration) -> Builder {
        self.attempt_time_max = attempt_time_max;
        self
    }

    /// Makes connections by this connector: one with TLS, for `https`.
    #[must_use]
    pub fn connector<C: Connect + Clone + Send + Sync + 'static>(mut self, connector: C) -> Builder {
        self.pool = Some(Pool::of(connector));
        self
    }

    /// Makes the client; it asks nobody yet.
    ///
    /// # Errors
    /// If something that was given is not what it should be.
    pub fn build(self) -> Result<Client, BuildError> {
        let mut nodes = self.nodes.iter().map(|text| text.parse()).collect::<Result<Vec<Address>, _>>()?;
        let known = Shared::default();
        for (id, address) in &self.named {
            let (id, address): (NodeId, Address) = (id.parse()?, address.parse()?);
            known.lock().owners.name(id, address.clone());
            nodes.push(address);
        }
        if nodes.is_empty() {
            return Err(BuildError::NoNodes);
        }
        if let (None, Some(secured)) = (&self.pool, nodes.iter().find(|node| !node.is_plain())) {
            return Err(BuildError::Scheme(secured.clone()));
        }
        let pool = self.pool.unwrap_or_else(Pool::plain);
        let map = match &self.token {
            Some(token) => {
                let directory = Directory::new(pool.clone(), nodes.clone(), token);
                Some(MapReader::new(directory.ok_or(BuildError::Token)?, known.clone()))
            }
            None => None,
        };
        let Builder { deadline, attempts_max, attempt_time_max, .. } = self;
        let settings = Settings { nodes, deadline, attempts_max, attempt_time_max };
        Ok(Client::new(settings, pool, known, map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_client_is_told_at_once() {
        let wrong = |builder: Builder| builder.build().unwrap_err();
        assert_eq!(wrong(Builder::new()), BuildError::NoNodes);
        assert!(matches!(wrong(Builder::new().node("a b")), BuildError::Address(_)));
        assert!(matches!(wrong(Builder::new().named_node("1", "a:1")), BuildError::Node(_)));
        assert!(matches!(wrong(Builder::new().node("https://a:1")), BuildError::Scheme(_)));
        assert_eq!(wrong(Builder::new().node("a:1").token("line\nfeed")), BuildError::Token);
    }
}

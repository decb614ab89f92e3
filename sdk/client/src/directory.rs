//! The whole shard map at once, from the API that wants the admin token.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};

use crate::address::Address;
use crate::owners::{Owner, Owners};
use crate::pool::{NoAnswer, Pool};

/// How long one list may take.
const LIST_MAX: Duration = Duration::from_secs(2);

/// Asks nodes for the shard map.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pool: Pool,
    nodes: Vec<Address>,
    authorization: HeaderValue,
}

/// The shard map could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The client has no token.
    #[error("the shard map is for those who have the admin token")]
    NoToken,
    /// No node gave it.
    #[error("no node gave the shard map: {tried}")]
    NoAnswer {
        /// Each node, and what went wrong there.
        tried: String,
    },
}

#[derive(Deserialize)]
struct NodeRow {
    id: NodeId,
    http: String,
}

#[derive(Deserialize)]
struct ShardRow {
    shard: ShardId,
    owner: Option<NodeId>,
    epoch: Epoch,
}

/// The map, as one node has it.
pub(crate) struct Lists {
    asked: Address,
    nodes: Vec<NodeRow>,
    shards: Vec<ShardRow>,
}

impl Directory {
    /// None where the token is no header's value.
    pub(crate) fn new(pool: Pool, nodes: Vec<Address>, token: &str) -> Option<Directory> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Some(Directory { pool, nodes, authorization })
    }

    /// Reads the map from the first node that gives it.
    ///
    /// # Errors
    /// If none does.
    ///
    /// # Cancel safety
    /// It only reads: it may be dropped at any time.
    pub(crate) async fn read(&self) -> Result<Lists, MapError> {
        let mut tried = Vec::new();
        for asked in &self.nodes {
            match tokio::try_join!(self.list(asked, "/v1/nodes"), self.list(asked, "/v1/shards")) {
                Ok((nodes, shards)) => return Ok(Lists { asked: asked.clone(), nodes, shards }),
                Err(words) => tried.push(format!("{asked}: {words}")),
            }
        }
        Err(MapError::NoAnswer { tried: tried.join("; ") })
    }

    async fn list<T: DeserializeOwned>(&self, asked: &Address, path: &'static str) -> Result<Vec<T>, String> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = asked.at(PathAndQuery::from_static(path));
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let response = self.pool.exchange(request, LIST_MAX).await.map_err(|no_answer| match no_answer {
            NoAnswer::NotSent(words) | NoAnswer::Lost(words) => words,
        })?;
        if response.status() != StatusCode::OK {
            return Err(format!("{path} has status {}", response.status()));
        }
        serde_json::from_slice(response.body()).map_err(|error| format!("{path} is no list: {error}"))
    }
}

impl Lists {
    /// Takes note of all that is newer than what is known.
    pub(crate) fn note(self, owners: &mut Owners) {
        if let Ok(shard_count @ 1..) = u32::try_from(self.shards.len()) {
            owners.note_shard_count(shard_count);
        }
        owners.keep_only(&self.nodes.iter().map(|row| row.id).collect());
        for NodeRow { id, http } in self.nodes {
            if let Some(address) = self.asked.of_peer(&http) {
                owners.note_address(id, address);
            }
        }
        for ShardRow { shard, owner, epoch } in self.shards {
            if let Some(node) = owner {
                owners.note_owner(shard, Owner { node, epoch });
            }
        }
    }
}

//! What a node does for its peers.

use std::time::Duration;

use bytes::Bytes;
use shardloom_host as host;
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{PeerReply, PeerRequest, TransferRefusal};
use shardloom_sharding::ids::NodeId;
use tokio::time::Instant;

use super::node_server::NodeServer;
use super::serving;
use super::weigh;
use super::{backup, erase, restore, sample_keys, state_of_names};

/// The longest that a peer may have a node wait for the control log.
const AWAIT_APPLIED_MAX: Duration = Duration::from_secs(10);

impl NodeServer {
    /// Answers one request of a peer whose name the transport has checked.
    ///
    /// # Cancel safety
    /// A call that has started runs to its end even if the future is dropped; everything else just ends.
    pub async fn handle_peer(&self, from: NodeId, bytes: Bytes) -> Bytes {
        let reply = match PeerRequest::decode(&bytes) {
            Ok(request) => self.serve_peer(request).await,
            Err(error) => {
                tracing::warn!(%from, %error, "a peer sent what cannot be read");
                PeerReply::Refused(error.to_string())
            }
        };
        reply.encode().unwrap_or_else(|error| {
            tracing::error!(%error, "a reply to a peer could not be encoded");
            Bytes::new()
        })
    }

    /// What is rare and large is boxed, since every call would carry the room for it.
    async fn serve_peer(&self, request: PeerRequest) -> PeerReply {
        match request {
            PeerRequest::Call(call) => PeerReply::Call(self.router.answer_peer(call).await),
            PeerRequest::Component(component) => {
                PeerReply::Component(Box::pin(self.component(component)).await)
            }
            PeerRequest::TryOut(trial) => {
                let tried = Box::pin(self.guests.try_out(&trial)).await;
                PeerReply::TriedOut(tried.map_err(|error| error.to_string()))
            }
            PeerRequest::AwaitApplied { index, wait_ms } => {
                let wait = Duration::from_millis(wait_ms.into()).min(AWAIT_APPLIED_MAX);
                let view = self.router.view_when(|view| view.applied >= index, Instant::now() + wait).await;
                PeerReply::Applied(view.applied)
            }
            PeerRequest::Serving => PeerReply::Serving(serving::own(self)),
            PeerRequest::Loads => PeerReply::Loads(self.router.loads()),
            PeerRequest::Weigh => Box::pin(weigh::run_here(self)).await,
            PeerRequest::ReadShard(ask) => PeerReply::ReadShard(Box::pin(backup::read_here(self, ask)).await),
            PeerRequest::LogEnds(shards) => {
                let ends = self.fabric.log_ends(shards).await;
                PeerReply::LogEnds(ends.map_err(TransferRefusal::Failed))
            }
            PeerRequest::SampleShards { function, keys, shard_count } => {
                let answers = sample_keys::own_answers(&self.guests, &function, keys, shard_count);
                PeerReply::SampledShards(Box::pin(answers).await)
            }
            PeerRequest::VersionCounts(name) => {
                PeerReply::VersionCounts(self.router.version_counts.read(&name))
            }
            PeerRequest::StateSizes(name) => PeerReply::StateSizes(state_of_names::own_sizes(self, &name)),
            PeerRequest::FunctionAlarms => {
                PeerReply::FunctionAlarms(self.router.failed_functions.raised(&self.fabric.view()))
            }
            PeerRequest::Healing => PeerReply::Healing(self.fabric.healing().await),
            PeerRequest::Plan(ask) => PeerReply::Plan(Box::pin(self.fabric.plan(ask)).await.map(Box::new)),
            PeerRequest::Order(order) => PeerReply::Order(self.fabric.order(order).await),
            PeerRequest::EraseState(name) => {
                PeerReply::ErasedState(Box::pin(erase::erase_here(self, &name)).await)
            }
            PeerRequest::RestoreShard(step) => {
                PeerReply::RestoreShard(Box::pin(restore::restore_here(self, step)).await)
            }
        }
    }

    async fn component(&self, component: Digest) -> Option<Bytes> {
        match self.guests.host().component(&host::Digest(component.0)).await {
            Ok(bytes) => Some(Bytes::from(bytes)),
            Err(host::LoadError::Unknown(_)) => None,
            Err(error) => {
                tracing::warn!(%component, %error, "a component cannot be sent to a peer");
                None
            }
        }
    }
}

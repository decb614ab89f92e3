//! The components of this node: here, compiled and ready, or fetched from a peer that has them.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shardloom_host as host;
use shardloom_host::{
    HandlerInstance, Host, LoadError, Place, PreparedHandler, Setting, ShardFunction, SharedLog, Weigher,
};
use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::{ComponentRole, PeerReply, PeerRequest, Trial};
use shardloom_protocol::workload::WorkloadLimits;
use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use tokio::time::{Instant, timeout_at};

use super::fabric::{Class, Fabric};
use super::guest_lines::GuestLines;
use super::outgoing::OutgoingRoom;

/// How long one peer has to send a component, before the next one is asked.
const FETCH_FROM_PEER_MAX: Duration = Duration::from_secs(30);
/// How long all peers together have, and the compilation after it.
const FETCH_MAX: Duration = Duration::from_secs(240);

/// Why a component is not ready here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// Neither this node nor any live peer has it.
    #[error("component {0} is on no live node: upload it first")]
    Nowhere(Digest),
    /// The host does not take it.
    #[error("component {component}: {reason}")]
    Unfit {
        /// The component.
        component: Digest,
        /// The host's words.
        reason: String,
    },
}

/// What is compiled and ready, by digest.
#[derive(Debug)]
struct Ready<T>(Mutex<HashMap<Digest, T>>);

impl<T: Clone> Ready<T> {
    fn find(&self, component: &Digest) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(component).cloned()
    }

    fn keep(&self, component: Digest, ready: &T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(component, ready.clone());
    }

    fn retain(&self, keep: impl Fn(&Digest) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|component, _| keep(component));
    }
}

/// The components that this node has, and what is made ready of them.
pub struct Guests {
    host: Host,
    fabric: Arc<dyn Fabric>,
    handlers: Ready<PreparedHandler>,
    shard_functions: Ready<ShardFunction>,
    lines: Arc<GuestLines>,
    outgoing: Arc<OutgoingRoom>,
    /// One fetch or compilation of a component at a time, however many calls want it.
    under_way: Gates<Digest>,
}

impl Guests {
    /// Guests of this host; what it lacks comes from the peers of `fabric`.
    pub fn new(host: Host, fabric: Arc<dyn Fabric>) -> Guests {
        Guests {
            host,
            fabric,
            handlers: Ready(Mutex::default()),
            shard_functions: Ready(Mutex::default()),
            lines: Arc::default(),
            outgoing: Arc::default(),
            under_way: Gates::default(),
        }
    }

    /// The host, for uploads.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What they say.
    pub fn lines(&self) -> &Arc<GuestLines> {
        &self.lines
    }

    /// How much they may send at once, all together.
    pub fn outgoing(&self) -> &Arc<OutgoingRoom> {
        &self.outgoing
    }

    /// A workload's component, ready to make instances of.
    ///
    /// # Errors
    /// [`GuestError`], when no live node has it or it is none.
    pub async fn handler(&self, component: &Digest) -> Result<PreparedHandler, GuestError> {
        if let Some(ready) = self.handlers.find(component) {
            return Ok(ready);
        }
        let _gate = self.under_way.enter(*component).await;
        if let Some(ready) = self.handlers.find(component) {
            return Ok(ready);
        }
        let digest = host::Digest(component.0);
        let ready = match self.host.handler(&digest).await {
            Err(error) if is_missing(&error) => {
                self.fetch(component).await?;
                self.host.handler(&digest).await
            }
            result => result,
        };
        let ready = ready.map_err(|error| unfit(component, &error))?;
        self.handlers.keep(*component, &ready);
        Ok(ready)
    }

    /// A shard function, ready to be asked.
    ///
    /// # Errors
    /// As [`Guests::handler`].
    pub async fn shard_function(&self, component: &Digest) -> Result<ShardFunction, GuestError> {
        if let Some(ready) = self.shard_functions.find(component) {
            return Ok(ready);
        }
        let _gate = self.under_way.enter(*component).await;
        if let Some(ready) = self.shard_functions.find(component) {
            return Ok(ready);
        }
        let digest = host::Digest(component.0);
        let ready = match self.host.shard_function(&digest).await {
            Err(error) if is_missing(&error) => {
                self.fetch(component).await?;
                self.host.shard_function(&digest).await
            }
            result => result,
        };
        let ready = ready.map_err(|error| unfit(component, &error))?;
        self.shard_functions.keep(*component, &ready);
        Ok(ready)
    }

    /// A weigher, ready to run. It is not kept: it runs rarely, on one node.
    ///
    /// # Errors
    /// As [`Guests::handler`].
    pub async fn weigher(&self, component: &Digest) -> Result<Weigher, GuestError> {
        let _gate = self.under_way.enter(*component).await;
        let digest = host::Digest(component.0);
        let ready = match self.host.weigher(&digest).await {
            Err(error) if is_missing(&error) => {
                self.fetch(component).await?;
                self.host.weigher(&digest).await
            }
            result => result,
        };
        ready.map_err(|error| unfit(component, &error))
    }

    /// Has the component here, ready for its role.
    ///
    /// # Errors
    /// As [`Guests::handler`].
    pub async fn ready(&self, component: &Digest, role: ComponentRole) -> Result<(), GuestError> {
        match role {
            ComponentRole::Handler => self.handler(component).await.map(drop),
            ComponentRole::ShardFunction => {
                let function = self.shard_function(component).await?;
                // Leaves an instance that is warm for the first call; which shard it names does not matter.
                let _ = function.shard_of("", 1);
                Ok(())
            }
            ComponentRole::Weigher => self.weigher(component).await.map(drop),
        }
    }

    /// As [`Guests::ready`], and makes an instance of it, so that a deploy cannot fail at the first call.
    ///
    /// # Errors
    /// As [`Guests::handler`].
    pub async fn try_out(&self, trial: &Trial) -> Result<(), GuestError> {
        let component = &trial.component;
        match trial.role {
            // A weigher gets a fresh instance at each run, within its own bounds.
            ComponentRole::Weigher => self.weigher(component).await.map(drop),
            ComponentRole::ShardFunction => {
                let function = self.shard_function(component).await?;
                function.shard_of("", 1).map(drop).map_err(|error| unfit(component, &error))
            }
            ComponentRole::Handler => {
                let handler = self.handler(component).await?;
                let view = self.fabric.view();
                let place = Place {
                    shard: ShardId(0),
                    shard_count: view.shard_count(),
                    epoch: Epoch(0),
                    node: view.this_node,
                    workload: Arc::from(trial.workload.as_str()),
                    version: 0,
                };
                let limits = limits(&trial.limits);
                let setting = Setting {
                    log: SharedLog::new(self.lines.sink(&trial.workload, place.shard), &limits),
                    place,
                    config: Arc::new(trial.config.clone()),
                    outgoing: None,
                };
                HandlerInstance::instantiate(&handler, &limits, setting)
                    .await
                    .map(drop)
                    .map_err(|error| unfit(component, &error))
            }
        }
    }

    /// A component's bytes, as they were uploaded.
    ///
    /// # Errors
    /// As [`Guests::handler`].
    pub async fn bytes(&self, component: &Digest) -> Result<Vec<u8>, GuestError> {
        let digest = host::Digest(component.0);
        match self.host.component(&digest).await {
            Err(error) if is_missing(&error) => {
                let _gate = self.under_way.enter(*component).await;
                self.fetch(component).await?;
                self.host.component(&digest).await
            }
            found => found,
        }
        .map_err(|error| unfit(component, &error))
    }

    /// Lets go of what nothing deployed needs any more; it stays on disk.
    pub fn forget_all_but(&self, keep: impl Fn(&Digest) -> bool) {
        self.handlers.retain(&keep);
        self.shard_functions.retain(&keep);
    }

    /// Asks one live peer after the other for a component, and has the host check and keep it.
    async fn fetch(&self, component: &Digest) -> Result<(), GuestError> {
        let deadline = Instant::now() + FETCH_MAX;
        let view = self.fabric.view();
        for peer in view.live_nodes().filter(|node| *node != view.this_node) {
            let Some(bytes) = self.fetch_from(peer, component, deadline).await else { continue };
            if host::Digest::of(&bytes).0 != component.0 {
                tracing::warn!(%component, %peer, "a peer sent other bytes than the component's");
                continue;
            }
            return match timeout_at(deadline, self.host.admit(&bytes)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(unfit(component, &error)),
                Err(late) => Err(unfit(component, &late)),
            };
        }
        Err(GuestError::Nowhere(*component))
    }

    async fn fetch_from(&self, peer: NodeId, component: &Digest, deadline: Instant) -> Option<bytes::Bytes> {
        let request = PeerRequest::Component(*component).encode().ok()?;
        let until = deadline.min(Instant::now() + FETCH_FROM_PEER_MAX);
        let reply = self.fabric.request(peer, Class::Bulk, request, until).await;
        match reply.map(|bytes| PeerReply::decode(&bytes)) {
            Ok(Ok(PeerReply::Component(found))) => found,
            other => {
                tracing::warn!(%component, %peer, ?other, "a peer did not send a component");
                None
            }
        }
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Whether fetching the component anew can help.
fn is_missing(error: &LoadError) -> bool {
    matches!(error, LoadError::Unknown(_) | LoadError::Damaged(_))
}

fn unfit(component: &Digest, reason: &dyn std::error::Error) -> GuestError {
    GuestError::Unfit { component: *component, reason: with_sources(reason) }
}

/// An error and what it came from, in one line.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// One gate per name: who enters waits until the one before has left.
#[derive(Debug)]
struct Gates<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for Gates<K> {
    fn default() -> Self {
        Gates(Mutex::default())
    }
}

impl<K: Hash + Eq> Gates<K> {
    async fn enter(&self, name: K) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Gates that nobody holds or waits at have one owner left: this map.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            Arc::clone(gates.entry(name).or_default())
        };
        gate.lock_owned().await
    }
}

/// A workload's limits: the host's defaults, and where the manifest differs.
pub fn limits(wanted: &WorkloadLimits) -> host::Limits {
    let default = host::Limits::default();
    host::Limits {
        deadline_ms: wanted.deadline_ms.unwrap_or(default.deadline_ms),
        memory_bytes: wanted.memory_bytes.unwrap_or(default.memory_bytes),
        table_elements: wanted.table_elements.unwrap_or(default.table_elements),
        reply_bytes: wanted.reply_bytes.unwrap_or(default.reply_bytes),
        log_bytes_per_s: wanted.log_bytes_per_s.unwrap_or(default.log_bytes_per_s),
        key_bytes: wanted.key_bytes.unwrap_or(default.key_bytes),
        value_bytes: wanted.value_bytes.unwrap_or(default.value_bytes),
        changes: wanted.changes.unwrap_or(default.changes),
        batch_bytes: wanted.batch_bytes.unwrap_or(default.batch_bytes),
        state_bytes: wanted.state_bytes.unwrap_or(default.state_bytes),
        ..default
    }
}

//! What all connections of the dialled side share: the handler, and the bounds over all of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::sync::{Semaphore, watch};

use crate::class::Class;
use crate::handler::Handler;
use crate::member::Member;
use crate::options::PeerOptions;

/// Handshakes under way at a time; more are refused.
pub(crate) const HANDSHAKES_MAX: usize = 512;
/// Refusals are logged no more often than this.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Gate {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) options: Arc<PeerOptions>,
    /// Handlers running, by class.
    pub(crate) handled: [Arc<Semaphore>; Class::ALL.len()],
    /// Memory for bodies on streams of their own, in KiB.
    pub(crate) incoming_kib: Arc<Semaphore>,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) strangers: Arc<Semaphore>,
    pub(crate) peers: Arc<Semaphore>,
    pub(crate) refusals: Mutex<Refusals>,
    /// What this node is, as it changes.
    member: watch::Receiver<Option<Arc<Member>>>,
}

/// What was refused to strangers, counted so that they cannot flood the log.
#[derive(Default)]
pub(crate) struct Refusals {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Gate {
    pub(crate) fn new(
        handler: Arc<dyn Handler>,
        options: Arc<PeerOptions>,
        member: watch::Receiver<Option<Arc<Member>>>,
    ) -> Gate {
        let places = |count| Arc::new(Semaphore::new(count));
        Gate {
            handler,
            handled: Class::ALL.map(|class| places(options.limits(class).handled_max)),
            incoming_kib: places(options.incoming_bytes_max.div_ceil(1024)),
            handshakes: places(HANDSHAKES_MAX),
            strangers: places(options.strangers_max),
            peers: places(options.peers_max),
            refusals: Mutex::default(),
            options,
            member,
        }
    }

    /// Completes when the certificate by which the far end was let in is believed no more.
    pub(crate) async fn disbelieved(&self, connection: &Connection) {
        let mut member = self.member.clone();
        loop {
            let now = member.borrow_and_update().clone();
            if now.is_some_and(|member| !member.believes(connection)) {
                return;
            }
            if member.changed().await.is_err() {
                // The net is gone, and its connections with it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says whom this node has refused, once in a while.
    pub(crate) fn log_refusal(&self, address: SocketAddr, reason: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.logged.is_some_and(|logged| logged.elapsed() < REFUSAL_LOG_EVERY) {
            refusals.unlogged += 1;
            return;
        }
        tracing::warn!(%address, reason, others = refusals.unlogged, "a connection was refused");
        *refusals = Refusals { logged: Some(Instant::now()), unlogged: 0 };
    }
}

//! One peer: the connection to it, made when somebody needs it, and made again after a pause when that fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Connection, Endpoint};
use shardloom_sharding::ids::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout_at;

use crate::class::Class;
use crate::error::{Delivery, Peer as Who, TransportError};
use crate::link::Link;
use crate::options::PeerOptions;
use crate::wire::{Wire, close_code, refusal};

/// A connection that broke sooner than this counts as a failed dial, so that a peer that accepts and then refuses is not
/// dialled without end.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What this node knows about reaching a peer.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    state: watch::Sender<State>,
    in_flight: [Arc<Semaphore>; Class::ALL.len()],
}

#[derive(Clone)]
enum State {
    /// Never dialled, or an old connection ended: the next request dials.
    Idle,
    Dialling(SocketAddr),
    Up(SocketAddr, Arc<Link>),
    /// The last dial failed.
    Down {
        address: SocketAddr,
        until: Instant,
        failures: u32,
        error: TransportError,
    },
}

/// What it takes to dial.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: ClientConfig,
    /// The SHA-256 of the certificate that this node shows.
    pub(crate) shown: [u8; 32],
    pub(crate) server_name: String,
    pub(crate) options: Arc<PeerOptions>,
}

impl Peer {
    pub(crate) fn new(node: NodeId, options: &PeerOptions) -> Peer {
        let in_flight = Class::ALL.map(|class| Arc::new(Semaphore::new(options.limits(class).in_flight_max)));
        Peer { node, state: watch::Sender::new(State::Idle), in_flight }
    }

    /// A place among the requests under way; waits a little for one.
    pub(crate) async fn place(
        &self,
        class: Class,
        deadline: Instant,
        options: &PeerOptions,
    ) -> Result<OwnedSemaphorePermit, TransportError> {
        let places = &self.in_flight[class.index()];
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(place);
        }
        let until = deadline.min(Instant::now() + options.in_flight_wait_max);
        match timeout_at(until.into(), Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => Err(TransportError::Overloaded { class, at_peer: false }),
        }
    }

    /// The connection to the peer. When there is none, `dial` is called for the one caller that shall start the dial.
    ///
    /// # Cancel safety
    /// Safe: the dial belongs to no caller.
    pub(crate) async fn link(
        self: &Arc<Self>,
        address: SocketAddr,
        deadline: Instant,
        dial: impl Fn(u32) -> Result<(), TransportError>,
    ) -> Result<Arc<Link>, TransportError> {
        if let State::Up(at, link) = &*self.state.borrow()
            && *at == address
        {
            return Ok(Arc::clone(link));
        }
        let mut state = self.state.subscribe();
        let mut waited = false;
        loop {
            let seen = state.borrow_and_update().clone();
            match seen {
                State::Up(at, link) if at == address => return Ok(link),
                State::Down { address: at, error, .. } if waited && at == address => return Err(error),
                State::Down { address: at, until, error, .. } if at == address && until > Instant::now() => {
                    return Err(TransportError::BackingOff {
                        node: self.node,
                        address,
                        wait: until - Instant::now(),
                        reason: error.to_string(),
                    });
                }
                State::Dialling(at) if at == address => {}
                // No connection there, or one to where the peer used to be.
                State::Idle | State::Up(..) | State::Down { .. } | State::Dialling(_) => {
                    if let Some(failures) = self.begin_dialling(address)
                        && let Err(error) = dial(failures)
                    {
                        self.forget();
                        return Err(error);
                    }
                }
            }
            waited = true;
            match timeout_at(deadline.into(), state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(TransportError::Closed),
                Err(_) => return Err(TransportError::Deadline { delivery: Delivery::NotSent }),
            }
        }
    }

    /// Marks the peer as being dialled; says how many dials have failed before, or nothing if another began first.
    fn begin_dialling(&self, address: SocketAddr) -> Option<u32> {
        let mut failures = None;
        self.state.send_if_modified(|state| {
            match state {
                State::Dialling(at) | State::Up(at, _) if *at == address => return false,
                State::Down { failures: before, .. } => failures = Some(*before),
                _ => failures = Some(0),
            }
            *state = State::Dialling(address);
            true
        });
        failures
    }

    /// Closes the connection.
    pub(crate) fn forget(&self) {
        if let State::Up(_, link) = self.state.send_replace(State::Idle) {
            link.wire.connection.close(close_code::ORDERLY, b"forgotten");
        }
    }

    /// Dials, and stays until the connection has ended.
    pub(crate) async fn run_dial(self: Arc<Self>, dialler: Dialler, address: SocketAddr, failures: u32) {
        let began = Instant::now();
        match dialler.dial(address, began + dialler.options.connect_max).await {
            Ok(connection) => {
                let link = self.link_over(&dialler, connection.clone());
                let up = self.state.send_if_modified(|state| {
                    let wanted = matches!(state, State::Dialling(at) if *at == address);
                    if wanted {
                        *state = State::Up(address, link);
                    }
                    wanted
                });
                if up {
                    self.run_link(&dialler.options, connection, address, failures).await;
                }
            }
            Err(reason) => {
                tracing::debug!(node = %self.node, %address, reason, "a dial failed");
                let error = TransportError::Connect { node: Who::Node(self.node), address, reason };
                let down = self.down(&dialler.options, address, failures, error);
                self.state.send_if_modified(|state| {
                    let ours = matches!(state, State::Dialling(at) if *at == address);
                    if ours {
                        *state = down;
                    }
                    ours
                });
            }
        }
    }

    /// Stays until a connection has ended that is in use.
    async fn run_link(
        &self,
        options: &PeerOptions,
        connection: Connection,
        address: SocketAddr,
        failures: u32,
    ) {
        let since = Instant::now();
        let closed = connection.closed().await;
        tracing::debug!(node = %self.node, %address, reason = %closed, "a connection ended");
        let reason = refusal(&closed).unwrap_or_else(|| closed.to_string());
        let error = TransportError::Connect { node: Who::Node(self.node), address, reason };
        let next = match since.elapsed() < SETTLED_AFTER {
            true => self.down(options, address, failures, error),
            false => State::Idle,
        };
        self.state.send_if_modified(|state| {
            // It may have been replaced.
            let ours = matches!(state, State::Up(_, link) if link.wire.connection.stable_id() == connection.stable_id());
            if ours {
                *state = next;
            }
            ours
        });
    }

    fn link_over(&self, dialler: &Dialler, connection: Connection) -> Arc<Link> {
        let wire = Wire { connection, peer: Who::Node(self.node) };
        Arc::new(Link::new(wire, dialler.shown, Arc::clone(&dialler.options)))
    }

    fn down(
        &self,
        options: &PeerOptions,
        address: SocketAddr,
        failures: u32,
        error: TransportError,
    ) -> State {
        let pause = backoff(options, self.node, failures);
        State::Down { address, until: Instant::now() + pause, failures: failures + 1, error }
    }

    /// The connection in use, and where it goes; waits for a dial that is under way.
    pub(crate) async fn in_use(&self) -> Option<(SocketAddr, Arc<Link>)> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(address, link) => return Some((address, link)),
                State::Dialling(_) => state.changed().await.ok()?,
                State::Idle | State::Down { .. } => return None,
            }
        }
    }

    /// What the far end has shown on the connection in use, if there is one.
    pub(crate) fn seen(&self) -> Option<Connection> {
        match &*self.state.borrow() {
            State::Up(_, link) => Some(link.wire.connection.clone()),
            _ => None,
        }
    }

    /// Puts a new connection in the place of one in use; who uses that one goes on with it. Where none can be made for so
    /// long, the old one is closed all the same. Returns what stays until the new one has ended, if there is one.
    pub(crate) async fn replace(
        self: &Arc<Self>,
        dialler: &Dialler,
        address: SocketAddr,
        old: &Arc<Link>,
        patience: Duration,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (began, mut failures) = (Instant::now(), 0);
        while old.wire.connection.close_reason().is_none() {
            match dialler.dial(address, Instant::now() + dialler.options.connect_max).await {
                Ok(connection) => {
                    let link = self.link_over(dialler, connection.clone());
                    let replaced = self.state.send_if_modified(|state| {
                        let ours = matches!(state, State::Up(_, now) if Arc::ptr_eq(now, old));
                        if ours {
                            *state = State::Up(address, link);
                        }
                        ours
                    });
                    let (peer, options) = (Arc::clone(self), Arc::clone(&dialler.options));
                    return replaced
                        .then_some(async move { peer.run_link(&options, connection, address, 0).await });
                }
                Err(reason) => {
                    tracing::debug!(node = %self.node, %address, reason, "a connection is not replaced yet");
                    if began.elapsed() >= patience {
                        old.wire.connection.close(close_code::RETIRED, b"it cannot be replaced");
                        break;
                    }
                    tokio::time::sleep(backoff(&dialler.options, self.node, failures)).await;
                    failures += 1;
                }
            }
        }
        None
    }
}

impl Dialler {
    /// One try. The error is in words.
    pub(crate) async fn dial(&self, address: SocketAddr, deadline: Instant) -> Result<Connection, String> {
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), address, &self.server_name)
            .map_err(|error| error.to_string())?;
        match timeout_at(deadline.into(), connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(refusal(&error).unwrap_or_else(|| error.to_string())),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}

/// Doubles from the least pause to the greatest, less a part that differs from node to node and from time to time.
fn backoff(options: &PeerOptions, node: NodeId, failures: u32) -> Duration {
    let whole = options.backoff_min.saturating_mul(1 << failures.min(16)).min(options.backoff_max);
    // splitmix64
    let mut mixed = options.jitter_seed ^ node.0 ^ u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    whole - whole.mul_f64((mixed % 1000) as f64 / 3000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_50_ms_to_2_s_and_differ_between_nodes() {
        let options = PeerOptions::default();
        let pauses: Vec<_> = (0..40).map(|failures| backoff(&options, NodeId(5), failures)).collect();
        assert!(pauses[0] <= options.backoff_min && pauses[0] >= options.backoff_min * 2 / 3);
        assert!(pauses[1] > options.backoff_min * 2 / 3 * 2 - Duration::from_millis(1));
        assert!(pauses[39] <= options.backoff_max && pauses[39] >= options.backoff_max * 2 / 3);
        assert_ne!(backoff(&options, NodeId(6), 9), pauses[9]);
        assert_eq!(backoff(&options, NodeId(5), 9), pauses[9]);
    }
}

//! The dialled side: who may connect, how many, and what each connection may open.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming as Knock, VarInt};
use shardloom_sharding::ids::NodeId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::class::Class;
use crate::frame::{FrameError, Use};
use crate::gate::Gate;
use crate::gate::HANDSHAKES_MAX;
use crate::member::chain_of;
use crate::name::ids_of;
use crate::reader::{ReadFailure, read_stream_head};
use crate::serving::{Caller, serve_own, serve_shared};
use crate::wire::close_code;

/// Handshakes under way at a time, from this many on, make a newcomer prove its address first, so that packets with forged
/// senders cost nothing but a reply.
const UNPROVEN_HANDSHAKES_MAX: usize = 64;
/// The longest that a handshake, or the head of a stream, may take.
const GREETING_MAX: Duration = Duration::from_secs(8);
/// Streams that a joining node may have open.
const STRANGER_STREAMS_MAX: u32 = 2;
/// Bytes that a joining node may have in flight.
const STRANGER_WINDOW_BYTES: u32 = 128 * 1024;

/// Why a connection is closed that was let in.
const RETIRED: &str = "the authority of its certificate has been replaced";

/// Lets peers in until the endpoint is closed.
pub(crate) async fn run_gate(endpoint: Endpoint, gate: Arc<Gate>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            knock = endpoint.accept() => match knock {
                Some(knock) => admit(&gate, knock, &mut connections),
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn admit(gate: &Arc<Gate>, knock: Knock, connections: &mut JoinSet<()>) {
    let under_way = HANDSHAKES_MAX - gate.handshakes.available_permits();
    if under_way >= UNPROVEN_HANDSHAKES_MAX && !knock.remote_address_validated() && knock.may_retry() {
        // Fails only for addresses that are proven already.
        let _ = knock.retry();
        return;
    }
    match Arc::clone(&gate.handshakes).try_acquire_owned() {
        Ok(place) => {
            let gate = Arc::clone(gate);
            connections.spawn(async move {
                let address = knock.remote_address();
                let Ok(connecting) = knock.accept() else { return };
                match timeout(GREETING_MAX, connecting).await {
                    Ok(Ok(connection)) => {
                        drop(place);
                        serve(&gate, connection).await;
                    }
                    Ok(Err(error)) => gate.log_refusal(address, &error.to_string()),
                    Err(_) => gate.log_refusal(address, "the handshake was not finished in time"),
                }
            });
        }
        Err(_) => knock.refuse(),
    }
}

/// The node that a certificate names, which the handshake has verified already.
pub(crate) fn node_at(connection: &Connection) -> Option<NodeId> {
    ids_of(chain_of(connection)?.first()?).map(|(_, node)| node)
}

/// Serves one connection to its end.
async fn serve(gate: &Arc<Gate>, connection: Connection) {
    let address = connection.remote_address();
    match node_at(&connection) {
        Some(node) => {
            let Ok(_place) = gate.peers.try_acquire() else {
                return connection.close(close_code::OVERLOADED, b"too many connections");
            };
            serve_streams(gate, &connection, Some(node)).await;
        }
        None => {
            let Ok(_place) = gate.strangers.try_acquire() else {
                return connection.close(close_code::OVERLOADED, b"too many nodes are joining");
            };
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(STRANGER_STREAMS_MAX));
            connection.set_receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES));
            let lifetime = gate.options.stranger_lifetime_max;
            if timeout(lifetime, serve_streams(gate, &connection, None)).await.is_err() {
                gate.log_refusal(address, "joining took too long");
                connection.close(close_code::OVERLOADED, b"joining takes too long");
            }
        }
    }
}

async fn serve_streams(gate: &Arc<Gate>, connection: &Connection, from: Option<NodeId>) {
    let caller = Arc::new(Caller::new(from, connection.remote_address(), &gate.options));
    let mut streams = JoinSet::new();
    let mut disbelieved = pin!(gate.disbelieved(connection));
    let mut is_believed = true;
    let reason = loop {
        tokio::select! {
            () = &mut disbelieved, if is_believed => {
                is_believed = false;
                gate.log_refusal(caller.address, RETIRED);
                connection.close(close_code::RETIRED, RETIRED.as_bytes());
            }
            opened = connection.accept_bi() => match opened {
                Ok((send, mut receive)) => {
                    let (gate, caller, connection) = (Arc::clone(gate), Arc::clone(&caller), connection.clone());
                    streams.spawn(async move {
                        let head = timeout(GREETING_MAX, read_stream_head(&mut receive)).await;
                        let served = match head {
                            Ok(Ok((class, _))) if caller.from.is_none() && class != Class::Join => {
                                let reason = "without a certificate a node may only join";
                                gate.log_refusal(caller.address, reason);
                                connection.close(close_code::NOT_ALLOWED, reason.as_bytes());
                                return;
                            }
                            Ok(Ok((class, Use::Shared))) => serve_shared(&gate, &caller, class, send, receive).await,
                            Ok(Ok((class, Use::Own))) => serve_own(&gate, &caller, class, send, receive).await,
                            Ok(Err(ReadFailure::Frame(error))) => Err(error),
                            Ok(Err(_)) | Err(_) => return,
                        };
                        if let Err(error) = served {
                            refuse_bytes(&connection, &caller, &error);
                        }
                    });
                }
                Err(error) => break error,
            },
            Some(_) = streams.join_next() => {}
        }
    };
    tracing::debug!(from = ?caller.from, address = %caller.address, %reason, "a peer's connection ended");
    // Handlers that are under way go on, each until its deadline at most.
    while streams.join_next().await.is_some() {}
}

/// What does not follow the protocol ends its connection, and nothing else.
fn refuse_bytes(connection: &Connection, caller: &Caller, error: &FrameError) {
    tracing::warn!(from = ?caller.from, address = %caller.address, reason = %error, "a connection is closed for what it sent");
    connection.close(close_code::PROTOCOL, error.to_string().as_bytes());
}

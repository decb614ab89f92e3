//! How QUIC is set up: the endpoint, and the connections at both ends.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::options::PeerOptions;

/// Streams that a peer may have open towards us: its shared ones, and large bodies.
const STREAMS_MAX: u32 = 128;
/// Packets that a peer may receive without acknowledging one at once: what it answers mostly carries the acknowledgement anyway, and one of its own
/// costs as much as any packet.
const UNACKNOWLEDGED_MAX: u32 = 16;

/// The identifiers by which packets find their connections, and the right to say that one is forgotten, come from a
/// secret that outlives the process: so peers of a restarted node learn at once that they have to dial again.
pub(crate) fn endpoint_config(secret: [u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret)));
    let [a, b, c, d, e, f, g, h, ..] = secret;
    let ids = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// For connections that this node dials; it is the dialling side that keeps them alive.
pub(crate) fn client_config(crypto: QuicClientConfig, options: &PeerOptions) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = transport_config(options);
    // Whoever dials also opens every stream: requests of the far end come over the connection that it dials itself.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.keep_alive_interval(Some(options.keep_alive));
    config.transport_config(Arc::new(transport));
    config
}

/// For connections that peers dial.
pub(crate) fn server_config(crypto: QuicServerConfig, options: &PeerOptions) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(options)));
    config
}

fn transport_config(options: &PeerOptions) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle_ms = u32::try_from(options.idle_max.as_millis()).unwrap_or(u32::MAX);
    config.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))));
    config.initial_rtt(options.initial_rtt);
    config.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(None);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(UNACKNOWLEDGED_MAX));
    config.ack_frequency_config(Some(acks));
    config
}

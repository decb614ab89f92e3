//! Bounds of the peer net: every queue, frame and wait, with its unit and its reason.

use std::time::Duration;

use crate::class::Class;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bounds of one class of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassLimits {
    /// Bytes of one body, request or reply. A larger one is refused by its sender, and closes the connection when it
    /// comes in all the same.
    pub body_bytes_max: usize,
    /// Requests under way to one peer, and from one peer, at a time.
    pub in_flight_max: usize,
    /// Requests under way from all peers together: what the handlers of this class may hold at a time.
    pub handled_max: usize,
    /// The longest that a handler may take, whatever deadline its caller names.
    pub handling_max: Duration,
}

/// The options of a peer net; [`PeerOptions::default`] suits a cluster in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerOptions {
    /// Bounds by class, in the order of [`Class::ALL`].
    pub classes: [ClassLimits; 5],
    /// How long a request waits for a place among those in flight before it is refused as overloaded.
    pub in_flight_wait_max: Duration,
    /// Bodies larger than this travel on a stream of their own, so that small ones do not queue behind them.
    pub shared_body_bytes_max: usize,
    /// Bytes of one-way messages of a class that wait to be sent to a peer; senders wait for room.
    pub queued_bytes_max: usize,
    /// Bytes of all incoming bodies on streams of their own together: bounds memory, whatever peers send.
    pub incoming_bytes_max: usize,
    /// The longest that dialling and the handshake may take.
    pub connect_max: Duration,
    /// The pause after a first failed dial; doubled with each further one.
    pub backoff_min: Duration,
    /// The longest pause between dials.
    pub backoff_max: Duration,
    /// Seeds the jitter of the pauses, so that a simulation can be run again.
    pub jitter_seed: u64,
    /// A connection on which nothing was heard for this long is given up: a peer is dead, or cut off.
    pub idle_max: Duration,
    /// How often an idle connection is kept alive; well below `idle_max`, so that some may be lost.
    pub keep_alive: Duration,
    /// The round trip to expect of an unknown peer: how soon a lost first packet is sent again.
    pub initial_rtt: Duration,
    /// Connections without a certificate at a time; all others of that kind are refused.
    pub strangers_max: usize,
    /// How long a connection without a certificate may last.
    pub stranger_lifetime_max: Duration,
    /// Connections with a certificate at a time; more than the peers of a large cluster ever need.
    pub peers_max: usize,
}

impl PeerOptions {
    /// The bounds of a class.
    pub fn limits(&self, class: Class) -> &ClassLimits {
        &self.classes[class.index()]
    }

    /// The bounds of a class, to be changed.
    pub fn limits_mut(&mut self, class: Class) -> &mut ClassLimits {
        &mut self.classes[class.index()]
    }
}

impl Default for PeerOptions {
    fn default() -> PeerOptions {
        let limits = |body_bytes_max, in_flight_max, handled_max, handling_s| ClassLimits {
            body_bytes_max,
            in_flight_max,
            handled_max,
            handling_max: Duration::from_secs(handling_s),
        };
        PeerOptions {
            classes: [
                // Control: a part of a snapshot of the map of 10,000 shards.
                limits(16 * MIB, 256, 4096, 60),
                // Appends: a batch of writes.
                limits(16 * MIB, 1024, 8192, 60),
                // Requests: the largest body of a call, 8 MiB, and its headers.
                limits(9 * MIB, 2048, 8192, 300),
                // Bulk: a component or a snapshot.
                limits(1024 * MIB, 4, 16, 3600),
                // Join: an address and a signing request.
                limits(64 * KIB, 4, 16, 30),
            ],
            in_flight_wait_max: Duration::from_millis(100),
            shared_body_bytes_max: 64 * KIB,
            queued_bytes_max: 32 * MIB,
            incoming_bytes_max: 1024 * MIB,
            connect_max: Duration::from_secs(8),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            jitter_seed: 0,
            idle_max: Duration::from_secs(4),
            keep_alive: Duration::from_secs(1),
            initial_rtt: Duration::from_millis(50),
            strangers_max: 32,
            stranger_lifetime_max: Duration::from_secs(60),
            peers_max: 4096,
        }
    }
}

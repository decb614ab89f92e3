//! Addresses for nodes that end and start again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to whoever asks for none (32768 and up by default).
const FIRST: u16 = 10_000;

/// An address that no other node has, nor can anybody get it by chance while its node is down.
///
/// A port that the kernel chose is free again as soon as its node ends, and may then go to another test.
/// So each process has an address of its own in 127/8, and counts.
pub(crate) fn next_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    // Process ids have at most 22 bits. 127.0.x.x is where everything else is.
    let [low, middle, high, _] = std::process::id().to_le_bytes();
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from((Ipv4Addr::new(127, 64 | high, middle, low), port))
}

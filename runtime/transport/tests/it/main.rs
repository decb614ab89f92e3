//! Peers over real loopback sockets.

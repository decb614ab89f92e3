//! Peers over real loopback sockets.

mod bounds;
mod certificates;
mod hostile;
mod joining;
mod orderly;
mod peers;
mod recovery;
mod tls;

//! Bytes between nodes, and TLS towards clients: identities, who may talk to whom, and framed, multiplexed QUIC streams.
//!
//! This crate owns quinn, rustls and rcgen. It must never know what a message means, which nodes are members, or who leads:
//! it carries opaque bodies between nodes that prove, by certificates of one cluster, who they are.
//!
//! In reading order: [`Class`] and [`PeerOptions`] say what is carried and within which bounds; [`ClusterCa`],
//! [`NodeIdentity`], [`Credentials`] and [`JoinToken`] say who is who; [`PeerNet`] carries requests, with [`Handler`] at the far end and
//! [`TransportError`] when it fails; [`https`] serves TLS to clients, and [`outside`] dials others by it.

mod ca;
mod class;
mod credentials;
mod error;
mod frame;
mod gate;
mod handler;
pub mod https;
mod identity;
mod incoming;
mod link;
mod member;
mod name;
mod net;
mod options;
pub mod outside;
mod own_stream;
mod peer;
mod quic;
mod reader;
mod serving;
mod socket;
mod tls;
mod token;
mod wire;

pub use ca::{ClusterCa, IdentityError, NodeRequest, SignedNode, fingerprint_of_pem};
pub use class::Class;
pub use credentials::Credentials;
pub use error::{Delivery, Peer, TransportError};
pub use handler::{Handler, Incoming};
pub use identity::{NodeIdentity, NodeKey};
pub use net::{PeerNet, Traffic};
pub use options::{ClassLimits, PeerOptions};
pub use token::{JoinToken, TokenError};

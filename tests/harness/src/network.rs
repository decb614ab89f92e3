//! Addresses for nodes that no other test, and no other program, uses at the same time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result, bail};

use crate::namespaces::Namespaces;

/// The ports of a node by default.
const HTTP_PORT: u16 = 7080;
/// On this port the first address of a network is held while the network is in use.
const RESERVE_PORT: u16 = 7079;
/// How far apart the ports of two nodes on one address are.
const PORT_STEP: u16 = 10;
/// How many networks or ports are tried before giving up.
const TRIES_MAX: u16 = 1000;

/// The three addresses of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For clients, TCP.
    pub http: SocketAddr,
    /// For nodes, UDP.
    pub peer: SocketAddr,
    /// For gossip, UDP.
    pub gossip: SocketAddr,
}

impl Addresses {
    fn at(ip: Ipv4Addr, port: u16) -> Self {
        let address = |port| SocketAddr::new(IpAddr::V4(ip), port);
        Self { http: address(port), peer: address(port + 1), gossip: address(port + 2) }
    }

    fn are_free(&self) -> bool {
        TcpListener::bind(self.http).is_ok()
            && UdpSocket::bind(self.peer).is_ok()
            && UdpSocket::bind(self.gossip).is_ok()
    }
}

/// Where a cluster's nodes listen.
pub enum Network {
    /// Each node has an address of its own in 127/8. Tests run side by side, and a port stays free for a restart.
    Own {
        /// The network `127.a.b.0`.
        base: [u8; 2],
        /// Keeps others off this network.
        _reserved: UdpSocket,
    },
    /// All nodes share 127.0.0.1, from the default port on, as a person would start them.
    Localhost {
        /// The first port not yet looked at.
        next: u16,
    },
    /// Each node is in a network namespace of its own, so that what it hears can be cut.
    Namespaces(Namespaces),
}

impl Network {
    /// Reserves a loopback network until dropped.
    ///
    /// # Errors
    /// If all that were tried are in use.
    pub fn own() -> Result<Self> {
        let start = std::process::id().wrapping_mul(0x9E37_79B9) >> 12;
        for attempt in 0..u32::from(TRIES_MAX) {
            let pick = start.wrapping_add(attempt).to_le_bytes();
            // 127.0.x.x is where everything else is.
            let base = [pick[0].max(1), pick[1]];
            let first = SocketAddr::from(([127, base[0], base[1], 1], RESERVE_PORT));
            if let Ok(reserved) = UdpSocket::bind(first) {
                return Ok(Self::Own { base, _reserved: reserved });
            }
        }
        bail!("no free loopback network was found")
    }

    /// 127.0.0.1 from the default port on.
    pub fn localhost() -> Self {
        Self::Localhost { next: HTTP_PORT }
    }

    /// Namespaces, one a node.
    ///
    /// # Errors
    /// If the machine does not let us.
    pub fn namespaces() -> Result<Self> {
        Namespaces::new().map(Self::Namespaces)
    }

    /// The namespaces, to cut and mend.
    ///
    /// # Errors
    /// If the network is another one.
    pub fn wires(&self) -> Result<&Namespaces> {
        match self {
            Self::Namespaces(namespaces) => Some(namespaces),
            _ => None,
        }
        .context("only between namespaces can something be cut")
    }

    /// What a node's command begins with.
    pub fn launcher(&self, index: usize) -> Vec<String> {
        self.wires().map(|wires| wires.launcher(index)).unwrap_or_default()
    }

    /// The flags that a node needs to listen here.
    pub fn flags(&self) -> Vec<String> {
        let public = matches!(self, Self::Namespaces(_));
        // Beyond loopback a node refuses to speak to clients without TLS; these clients are in the same machine.
        public.then(|| "--insecure-http".to_owned()).into_iter().collect()
    }

    /// Addresses for one more node, the `index`-th, counted from 0.
    ///
    /// # Errors
    /// If there are none left.
    pub fn addresses(&mut self, index: usize) -> Result<Addresses> {
        match self {
            Self::Own { base: [a, b], .. } => {
                let Ok(host) = u8::try_from(index + 1) else { bail!("at most 255 nodes in one network") };
                Ok(Addresses::at(Ipv4Addr::new(127, *a, *b, host), HTTP_PORT))
            }
            Self::Localhost { next } => {
                for _ in 0..TRIES_MAX {
                    let addresses = Addresses::at(Ipv4Addr::LOCALHOST, *next);
                    *next += PORT_STEP;
                    if addresses.are_free() {
                        return Ok(addresses);
                    }
                }
                bail!("no free ports were found on 127.0.0.1")
            }
            Self::Namespaces(namespaces) => {
                namespaces.add(index)?;
                Ok(Addresses::at(namespaces.address(index), HTTP_PORT))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_never_meet() {
        let (mut one, mut other) = (Network::own().unwrap(), Network::own().unwrap());
        let (one, other) = (one.addresses(0).unwrap(), other.addresses(0).unwrap());
        assert_ne!(one.http.ip(), other.http.ip());
        assert!(one.are_free() && other.are_free());
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let mut network = Network::localhost();
        let first = network.addresses(0).unwrap();
        let _taken = TcpListener::bind(first.http).unwrap();
        let second = Network::localhost().addresses(0).unwrap();
        assert_ne!(first.http, second.http);
    }
}

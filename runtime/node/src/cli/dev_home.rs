//! Where the nodes of `shardloom dev` keep their data, and the ports that they listen on.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};

use crate::server::config::{HTTP_PORT, Listen, NodeConfig};

/// How long a node's end may take, in milliseconds: all nodes end together, so there is nobody to hand shards over to.
const SHUTDOWN_MS: u64 = 1_000;

/// How far apart the ports of two nodes are.
const PORT_STEP: u16 = 10;

/// A directory for all nodes, and their ports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Home<'a> {
    data: &'a Path,
    http_port: u16,
}

impl<'a> Home<'a> {
    /// The home of so many nodes, before any of them is started. A cluster that is kept stays at its ports: its nodes look for each other where they
    /// were.
    ///
    /// # Errors
    /// If other ports are wanted for such a cluster, or a port cannot be had.
    pub(super) fn open(data: &'a Path, wanted: Option<u16>, nodes: u16) -> anyhow::Result<Home<'a>> {
        let file = data.join("http-port");
        let kept = Home { data, http_port: 0 }.token_file().exists();
        let http_port = match (wanted, kept.then(|| kept_port(&file)).transpose()?) {
            (wanted, None) => wanted.unwrap_or(HTTP_PORT),
            (wanted, Some(kept)) => {
                ensure!(
                    wanted.is_none_or(|wanted| wanted == kept),
                    "the nodes of the cluster in {} look for each other at ports from {kept} on: leave out --http-port, or begin a new \
                     cluster in another directory",
                    data.display()
                );
                kept
            }
        };
        let home = Home { data, http_port };
        home.check_ports(nodes)?;
        if !kept {
            let keep = fs::create_dir_all(data).and_then(|()| fs::write(&file, http_port.to_string()));
            keep.with_context(|| file.display().to_string())?;
        }
        Ok(home)
    }

    /// The data directory of a node; they count from 1.
    pub(super) fn directory(&self, index: u16) -> PathBuf {
        self.data.join(format!("node-{index}"))
    }

    /// Where the node that makes the cluster leaves the admin token.
    pub(super) fn token_file(&self) -> PathBuf {
        self.directory(1).join("admin.token")
    }

    /// Whether a node was removed from the cluster: its data are of no use to it any more.
    pub(super) fn is_removed(&self, index: u16) -> bool {
        self.removed_file(index).exists()
    }

    /// Keeps in mind that a node was removed from the cluster, for as long as its data are there.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn mark_removed(&self, index: u16) -> anyhow::Result<()> {
        let file = self.removed_file(index);
        fs::write(&file, "This node was removed from its cluster.\n")
            .with_context(|| file.display().to_string())
    }

    /// What can be done about a node that was removed.
    pub(super) fn what_then(&self, index: u16) -> String {
        match index {
            // The others may need the admin token that is with its data.
            1 => format!("{} keeps the cluster's admin token", self.directory(index).display()),
            _ => format!("delete {} to have a new node in its place", self.directory(index).display()),
        }
    }

    /// In the node's own data, so that it goes with them.
    fn removed_file(&self, index: u16) -> PathBuf {
        self.directory(index).join("removed")
    }

    /// How a node is started.
    pub(super) fn config(&self, index: u16) -> NodeConfig {
        let mut config = NodeConfig::new(self.directory(index));
        config.listen = self.listen(index);
        config.timings.shutdown_ms = SHUTDOWN_MS;
        config
    }

    /// Each node's three ports follow each other, and those of the nodes in steps.
    fn listen(&self, index: u16) -> Listen {
        let first = self.http_port + (index - 1) * PORT_STEP;
        let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Listen {
            http: address(first),
            peer: address(first + 1),
            gossip: address(first + 2),
            ..Listen::default()
        }
    }

    /// Whether all ports can be had. A node would find out, too, but after the others have begun.
    fn check_ports(&self, nodes: u16) -> anyhow::Result<()> {
        let last = u32::from(self.http_port) + u32::from(nodes - 1) * u32::from(PORT_STEP) + 2;
        ensure!(
            last <= u32::from(u16::MAX),
            "--http-port {} is too high: {nodes} node(s) need ports up to {last}, and there are {}",
            self.http_port,
            u16::MAX
        );
        for index in 1..=nodes {
            let Listen { http, peer, gossip, .. } = self.listen(index);
            TcpListener::bind(http).map(drop).map_err(|error| taken(http, "TCP", &error))?;
            UdpSocket::bind(peer).map(drop).map_err(|error| taken(peer, "UDP", &error))?;
            UdpSocket::bind(gossip).map(drop).map_err(|error| taken(gossip, "UDP", &error))?;
        }
        Ok(())
    }
}

/// The port of a cluster that is kept; one that is older than this file has the default.
fn kept_port(file: &Path) -> anyhow::Result<u16> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HTTP_PORT),
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    text.trim().parse().with_context(|| format!("{} holds no port: {text:?}", file.display()))
}

/// Why a port cannot be had, and what to do.
fn taken(address: SocketAddr, protocol: &str, error: &io::Error) -> anyhow::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "is taken, by another cluster perhaps",
        io::ErrorKind::PermissionDenied => "is not for everybody",
        _ => "cannot be had",
    };
    anyhow!("{protocol} port {} {why} ({error}): give another --http-port", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports from which on three are free, below those that the kernel gives to whoever asks for none.
    fn free_ports() -> impl Iterator<Item = u16> {
        let begin = 12_000 + std::process::id() % 1_800 * 10;
        let begin = u16::try_from(begin).unwrap();
        let is_free = |port: &u16| Home::open(tempfile::tempdir().unwrap().path(), Some(*port), 1).is_ok();
        (begin..32_000).step_by(10).filter(is_free)
    }

    #[test]
    fn nodes_have_the_default_ports_unless_told_otherwise() {
        let listen = |http_port, index| Home { data: Path::new("d"), http_port }.listen(index);
        assert_eq!(listen(HTTP_PORT, 1), Listen::default());
        let Listen { http, peer, gossip, .. } = listen(9080, 3);
        assert_eq!([http, peer, gossip].map(|address| address.port()), [9100, 9101, 9102]);
    }

    #[test]
    fn a_port_that_is_taken_is_said_with_what_to_do_before_anything_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // The first node's peer port; where its HTTP port is taken as well, that is said.
        let port = held.local_addr().unwrap().port() - 1;
        let words = Home::open(directory.path(), Some(port), 1).unwrap_err().to_string();
        assert!(words.contains("is taken") && words.contains("--http-port"), "{words}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_node_stays_removed_until_its_data_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home { data: directory.path(), http_port: 9080 };
        fs::create_dir(home.directory(2)).unwrap();
        home.mark_removed(2).unwrap();
        assert_eq!([1, 2, 3].map(|index| home.is_removed(index)), [false, true, false]);
        fs::remove_dir_all(home.directory(2)).unwrap();
        assert!(!home.is_removed(2));
    }

    #[test]
    fn ports_that_there_are_not_are_said() {
        let directory = tempfile::tempdir().unwrap();
        let words = Home::open(directory.path(), Some(65_530), 3).unwrap_err().to_string();
        assert!(words.contains("too high") && words.contains("65552"), "{words}");
    }

    #[test]
    fn a_cluster_that_is_kept_stays_at_its_ports() {
        let directory = tempfile::tempdir().unwrap();
        let mut free = free_ports();
        let port = free.next().unwrap();
        let open = |wanted| Home::open(directory.path(), wanted, 1).map(|home| home.http_port);
        assert_eq!(open(Some(port)).unwrap(), port);
        // Nothing was started yet, so there is nothing that would look for anybody.
        let other = free.next().unwrap();
        assert_eq!(open(Some(other)).unwrap(), other);
        fs::create_dir(directory.path().join("node-1")).unwrap();
        fs::write(directory.path().join("node-1/admin.token"), "token").unwrap();
        assert_eq!(open(None).unwrap(), other);
        assert_eq!(open(Some(other)).unwrap(), other);
        let words = open(Some(other - 1)).unwrap_err().to_string();
        assert!(words.contains(&format!("from {other} on")), "{words}");
        fs::remove_file(directory.path().join("http-port")).unwrap();
        assert!(open(Some(other)).unwrap_err().to_string().contains("7080"));
    }
}

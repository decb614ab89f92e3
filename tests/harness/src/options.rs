//! How a cluster is made.

use std::path::PathBuf;

use anyhow::Result;

use crate::mount::Disks;
use crate::network::Network;

/// How a cluster is made.
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// How many shards.
    pub shards: u32,
    /// How many replicas of each.
    pub replicas: u32,
    /// What the nodes keep their data on.
    pub disks: Disks,
    /// Where the nodes listen.
    pub network: Network,
    /// The binary of every node; none, the one that is tested.
    pub binary: Option<PathBuf>,
    /// More flags for every node.
    pub flags: Vec<String>,
    /// More flags for the node that makes the cluster.
    pub first_flags: Vec<String>,
    /// Called as each node starts.
    pub progress: Box<dyn Fn(&str)>,
}

impl Options {
    /// Some nodes with few shards, on a network of their own.
    ///
    /// # Errors
    /// If no network is free.
    pub fn of(nodes: usize) -> Result<Self> {
        Ok(Self {
            nodes,
            shards: 64,
            replicas: 3,
            disks: Disks::default(),
            network: Network::own()?,
            binary: None,
            flags: Vec::new(),
            first_flags: Vec::new(),
            progress: Box::new(|_| {}),
        })
    }
}

//! The nodes that calls go to and that answer them, and the connections that are kept to each.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use shardloom_sharding::ids::NodeId;
use shardloom_transport::outside::Trust;
use ureq::http::Uri;
use ureq::http::uri::Authority;

use super::connection::{Connection, Target};

/// How long a node is passed over after it could not be reached, as any client with several addresses would do.
const REST: Duration = Duration::from_secs(1);
/// Nodes that are kept apart; more of them are not learned of.
const NODES_MAX: usize = 1_000;

/// A node's id, where it is known, and its `host:port`.
pub(super) type Named = (Option<NodeId>, String);

/// All nodes, by number. Their numbers never change.
pub(super) struct Nodes {
    rows: Vec<Node>,
    /// The first of them may be asked whatever the key; the others were learned of, and are asked for what they own.
    given: usize,
    trust: Option<Trust>,
}

/// One node.
struct Node {
    id: Option<NodeId>,
    authority: String,
    /// None where it cannot be reached at what it says of itself.
    target: Option<Target>,
    addresses: Vec<SocketAddr>,
    idle: Vec<Connection>,
    rests_until: Option<Instant>,
}

impl Nodes {
    /// Nodes at `host:port`, some with a known id; with `trust` they are reached by TLS.
    ///
    /// # Errors
    /// If there are none, or one cannot be reached at what was given.
    pub(super) fn new(given: &[Named], trust: Option<Trust>) -> anyhow::Result<Nodes> {
        let mut nodes = Nodes { rows: Vec::new(), given: 0, trust };
        for (id, authority) in given {
            let node = nodes.node(*id, authority);
            ensure!(node.target.is_some(), "nobody can be reached at {authority:?}: give HOST:PORT");
            nodes.rows.push(node);
        }
        nodes.given = nodes.rows.len();
        ensure!(nodes.given > 0, "no node is known to send calls to");
        Ok(nodes)
    }

    fn node(&self, id: Option<NodeId>, authority: &str) -> Node {
        let target = target(authority, self.trust.clone());
        // A name is looked up once more for each connection: this is only to recognise the node by.
        let addresses = match &target {
            Some(target) => (target.host.as_str(), target.port).to_socket_addrs().map(Iterator::collect),
            None => Ok(Vec::new()),
        };
        Node {
            id,
            authority: authority.to_owned(),
            target,
            addresses: addresses.unwrap_or_default(),
            idle: Vec::new(),
            rests_until: None,
        }
    }

    /// The number of a node that is known by its id.
    pub(super) fn of_id(&self, id: NodeId) -> Option<usize> {
        self.rows.iter().position(|node| node.id == Some(id))
    }

    /// A node as people know it: its id, as far as known, and its address.
    pub(super) fn name(&self, node: usize) -> (Option<NodeId>, &str) {
        self.rows.get(node).map_or((None, ""), |node| (node.id, node.authority.as_str()))
    }

    /// What connects to a node.
    pub(super) fn target(&self, node: usize) -> Option<&Target> {
        self.rows.get(node)?.target.as_ref()
    }

    /// Whether a node may be asked now.
    pub(super) fn is_usable(&self, node: usize, now: Instant) -> bool {
        let node = self.rows.get(node);
        node.is_some_and(|node| node.target.is_some() && node.rests_until.is_none_or(|until| until <= now))
    }

    /// Any of the given nodes: `dice` picks one of so many. Those that rest are passed over, unless all do.
    pub(super) fn any(&self, now: Instant, dice: impl FnOnce(usize) -> usize) -> usize {
        let mut usable = (0..self.given).filter(|node| self.is_usable(*node, now));
        match usable.clone().count() {
            0 => dice(self.given),
            count => usable.nth(dice(count)).unwrap_or_default(),
        }
    }

    /// Whether none of the given nodes can be reached at present.
    pub(super) fn all_rest(&self, now: Instant) -> bool {
        !(0..self.given).any(|node| self.is_usable(node, now))
    }

    /// A node could not be reached.
    pub(super) fn unreachable(&mut self, node: usize, now: Instant) {
        if let Some(node) = self.rows.get_mut(node) {
            node.rests_until = Some(now + REST);
            node.idle.clear();
        }
    }

    /// The number of the node that has answered, and says that clients find it at `told`.
    pub(super) fn answered(&mut self, id: NodeId, told: &str) -> Option<usize> {
        if let Some(known) = self.of_id(id) {
            return Some(known);
        }
        let address = told.parse::<SocketAddr>().ok();
        let same = |node: &Node| {
            node.authority == told || address.is_some_and(|address| node.addresses.contains(&address))
        };
        if let Some(known) = self.rows.iter().position(|node| node.id.is_none() && same(node)) {
            self.rows.get_mut(known)?.id = Some(id);
            return Some(known);
        }
        if self.rows.len() >= NODES_MAX {
            return None;
        }
        let node = self.node(Some(id), told);
        self.rows.push(node);
        Some(self.rows.len() - 1)
    }

    /// A connection to a node that is kept: the one used last, so that at a low rate few are in use.
    pub(super) fn take(&mut self, node: usize, now: Instant) -> Option<Connection> {
        let idle = &mut self.rows.get_mut(node)?.idle;
        let connection = idle.pop()?;
        if connection.is_fresh(now) {
            return Some(connection);
        }
        // The others were used even earlier.
        idle.retain(|connection| connection.is_fresh(now));
        idle.pop()
    }

    /// Keeps a connection. There are no more of them than calls at once.
    pub(super) fn keep(&mut self, node: usize, connection: Connection) {
        if let Some(node) = self.rows.get_mut(node) {
            node.idle.push(connection);
        }
    }
}

/// The `host:port` of a server's URL.
///
/// # Errors
/// If the URL has a path, or is none.
pub(super) fn authority(server: &str) -> anyhow::Result<String> {
    let uri: Uri = server.parse().with_context(|| format!("--server {server}"))?;
    ensure!(uri.path() == "/" || uri.path().is_empty(), "--server {server}: calls go to the root of a host");
    let authority = uri.authority().with_context(|| format!("--server {server} names no host"))?;
    let port = authority.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Ok(format!("{}:{port}", authority.host()))
}

/// Whether somebody else than the node itself can make use of an address.
pub(super) fn is_reachable(authority: &str) -> bool {
    target(authority, None).is_some()
}

/// What can be connected to; none for an address that only the node itself understands.
fn target(authority: &str, trust: Option<Trust>) -> Option<Target> {
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let everywhere = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let port = authority.port_u16().filter(|_| !everywhere && !host.is_empty())?;
    Some(Target { host: host.to_owned(), port, trust })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(authorities: &[&str]) -> Nodes {
        let given: Vec<_> = authorities.iter().map(|one| (None, (*one).to_owned())).collect();
        Nodes::new(&given, None).unwrap()
    }

    #[test]
    fn a_node_is_recognised_by_its_id_by_its_address_and_else_learned_of() {
        let mut nodes = nodes(&["localhost:1", "127.0.0.1:2"]);
        assert_eq!(nodes.answered(NodeId(7), "127.0.0.1:2"), Some(1));
        assert_eq!(nodes.answered(NodeId(7), "elsewhere:9"), Some(1));
        assert_eq!(nodes.answered(NodeId(5), "127.0.0.1:1"), Some(0));
        assert_eq!(nodes.answered(NodeId(6), "127.0.0.1:3"), Some(2));
        assert_eq!(nodes.name(2), (Some(NodeId(6)), "127.0.0.1:3"));
        assert!(nodes.is_usable(2, Instant::now()));
        assert_eq!(nodes.answered(NodeId(8), "0.0.0.0:4"), Some(3));
        assert!(!nodes.is_usable(3, Instant::now()));
        assert_eq!(nodes.given, 2);
    }

    #[test]
    fn a_node_that_cannot_be_reached_rests_for_a_while() {
        let (mut nodes, now) = (nodes(&["127.0.0.1:1", "127.0.0.1:2"]), Instant::now());
        let all = |nodes: &Nodes, now| [0, 1].map(|dice| nodes.any(now, |count| dice.min(count - 1)));
        assert_eq!(all(&nodes, now), [0, 1]);
        nodes.unreachable(0, now);
        assert_eq!(all(&nodes, now), [1, 1]);
        assert!(!nodes.all_rest(now));
        nodes.unreachable(1, now);
        assert!(nodes.all_rest(now));
        assert_eq!(all(&nodes, now), [0, 1], "somebody must be asked");
        assert!(!nodes.all_rest(now + REST));
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        assert_eq!(authority("http://a:1").unwrap(), "a:1");
        assert_eq!(authority("https://a/").unwrap(), "a:443");
        assert_eq!(authority("http://[::1]:7080").unwrap(), "[::1]:7080");
        assert!(authority("http://a:1/x").is_err());
        assert!(Nodes::new(&[(None, "0.0.0.0:1".into())], None).is_err());
        assert!(Nodes::new(&[], None).is_err());
    }
}

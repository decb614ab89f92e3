//! A network whose every node is in a namespace of its own, behind one bridge, and whose wires can be cut.
//!
//! ```text
//! this program ── bridge 10.a.b.254 ──┬── veth ── namespace of node 1, 10.a.b.1
//!                                     ├── veth ── namespace of node 2, 10.a.b.2
//!                                     └── ...
//! ```
//!
//! Names are looked up at the bridge's address, where a test may answer: see [`Outside`](crate::outside::Outside).
//!
//! A cut is a rule of the packet filter in the namespace of the node that is to hear nothing: it holds for one direction only, and the
//! sender does not notice. Clients are on the bridge; what is cut between nodes is not cut for them.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::orphans;
use crate::tool::{run, run_with};

/// Where the networks of tests are looked for: 10.OCTET.0.0.
const OCTET: u8 = 213;
/// The bridge's own address in the network.
const BRIDGE_HOST: u8 = 254;
/// How many networks are tried.
const TRIES_MAX: u8 = 100;

/// How many networks this process has made; held while one is made, so that no two take the same address.
static COUNT: Mutex<u32> = Mutex::new(0);

/// Namespaces, a bridge, and the wires between them. All go when it is dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// Begins the names of everything that is made here.
    name: String,
    /// The third byte of the addresses.
    network: u8,
    nodes: Vec<usize>,
}

/// What a node does not hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing that one node sends to another arrives.
    Way {
        /// The node that sends.
        from: usize,
        /// The node that hears nothing.
        to: usize,
    },
    /// Of what a node is sent by others, this part is lost.
    Loss {
        /// The node that hears less.
        to: usize,
        /// How much it does not hear.
        percent: u8,
    },
}

impl Cut {
    /// Both ways between two nodes.
    pub fn between(one: usize, other: usize) -> [Cut; 2] {
        [Cut::Way { from: one, to: other }, Cut::Way { from: other, to: one }]
    }

    fn rule(self, network: &Namespaces) -> (usize, String) {
        match self {
            Cut::Way { from, to } => (to, format!("ip saddr {} counter drop", network.address(from))),
            Cut::Loss { to, percent } => {
                // Clients are spared: what they lose, their own kernel sends again.
                let bridge = network.host(BRIDGE_HOST);
                (to, format!("ip saddr != {bridge} numgen random mod 100 < {percent} counter drop"))
            }
        }
    }
}

impl Namespaces {
    /// A network without nodes.
    ///
    /// # Errors
    /// If the machine does not let us, or no address is free.
    pub fn new() -> Result<Self> {
        let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
        orphans::sweep_networks();
        let (name, pid) = (orphans::network(*count), std::process::id());
        *count += 1;
        let routes = run("ip", &["-4", "route", "show", "table", "all"])?;
        let is_free = |network: &u8| !routes.contains(&format!("10.{OCTET}.{network}."));
        let network = (0..TRIES_MAX).map(|attempt| (pid as u8).wrapping_add(attempt)).find(is_free);
        let Some(network) = network else { bail!("no network in 10.{OCTET}.0.0/16 is free") };
        let made = Self { name, network, nodes: Vec::new() };
        made.bridge()?;
        Ok(made)
    }

    fn bridge(&self) -> Result<()> {
        run("ip", &["link", "add", &self.name, "type", "bridge"])?;
        let address = format!("{}/24", self.host(BRIDGE_HOST));
        run("ip", &["address", "add", &address, "dev", &self.name])?;
        run("ip", &["link", "set", &self.name, "up"]).map(drop)
    }

    /// Whether everything that a cut needs can be done.
    ///
    /// # Errors
    /// What cannot.
    pub(crate) fn try_out(mut self) -> Result<()> {
        self.add(0)?;
        self.cut(&[Cut::Way { from: 1, to: 0 }, Cut::Loss { to: 0, percent: 10 }])
    }

    /// The address of a node.
    pub fn address(&self, index: usize) -> Ipv4Addr {
        // Hosts count from 1; there are fewer nodes in a test than hosts in a network.
        self.host(u8::try_from(index + 1).unwrap_or(u8::MAX))
    }

    /// The bridge's address: where this program is, for the nodes.
    pub fn outside(&self) -> Ipv4Addr {
        self.host(BRIDGE_HOST)
    }

    /// What the programs in a node's namespace find in place of the machine's `/etc`.
    fn own_etc(&self, index: usize) -> PathBuf {
        PathBuf::from(orphans::NAMESPACE_ETC).join(self.namespace(index))
    }

    fn host(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, OCTET, self.network, host)
    }

    /// The name of a node's namespace.
    fn namespace(&self, index: usize) -> String {
        format!("{}n{index}", self.name)
    }

    /// Makes the namespace of one more node.
    ///
    /// # Errors
    /// If the machine does not let us.
    pub fn add(&mut self, index: usize) -> Result<()> {
        ensure!(index + 1 < usize::from(BRIDGE_HOST), "at most {} nodes in one network", BRIDGE_HOST - 1);
        let (namespace, wire) = (self.namespace(index), format!("{}v{index}", self.name));
        run("ip", &["netns", "add", &namespace])?;
        self.nodes.push(index);
        let etc = self.own_etc(index);
        fs::create_dir_all(&etc).with_context(|| etc.display().to_string())?;
        let resolver = format!("nameserver {}\noptions timeout:1 attempts:2\n", self.outside());
        fs::write(etc.join("resolv.conf"), resolver)?;
        let address = format!("{}/24", self.address(index));
        run("ip", &["link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        run("ip", &["link", "set", &wire, "master", &self.name, "up"])?;
        run("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
        run("ip", &["-n", &namespace, "address", "add", &address, "dev", "eth0"])?;
        run("ip", &["-n", &namespace, "link", "set", "eth0", "up"]).map(drop)
    }

    /// The words that start a program in a node's namespace; the program takes their place, so a signal reaches it.
    pub fn launcher(&self, index: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(index)].map(str::to_owned).into()
    }

    /// Makes these cuts, and mends all that were made before.
    ///
    /// # Errors
    /// If the packet filter does not take them.
    pub fn cut(&self, cuts: &[Cut]) -> Result<()> {
        for node in &self.nodes {
            let mut rules = String::new();
            for (to, rule) in cuts.iter().map(|cut| cut.rule(self)) {
                if to == *node {
                    writeln!(rules, "{rule}")?;
                }
            }
            // One transaction: there is no moment with half of the rules.
            let filter = format!(
                "add table inet cut\ndelete table inet cut\ntable inet cut {{\nchain input {{\n\
                 type filter hook input priority 0;\n{rules}}}\n}}\n"
            );
            let words = ["netns", "exec", &self.namespace(*node), "nft", "-f", "-"];
            run_with("ip", &words, &filter).with_context(|| format!("the filter of node {node}"))?;
        }
        Ok(())
    }

    /// Mends all cuts; how many packets were lost in them.
    ///
    /// # Errors
    /// If the packet filter does not answer, or each packet that was to be lost arrived: then nothing was cut.
    pub fn mend(&self) -> Result<u64> {
        let mut lost = 0;
        for node in &self.nodes {
            let namespace = self.namespace(*node);
            let words = ["netns", "exec", &namespace, "nft", "list", "table", "inet", "cut"];
            lost += counted(&run("ip", &words)?);
        }
        self.cut(&[])?;
        ensure!(lost > 0, "no packet was lost");
        Ok(lost)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // A wire goes with either of its ends. There is nobody to tell if something stays.
        for node in &self.nodes {
            let _ = run("ip", &["netns", "delete", &self.namespace(*node)]);
            let _ = fs::remove_dir_all(self.own_etc(*node));
        }
        let _ = run("ip", &["link", "delete", &self.name]);
    }
}

/// The packets that the rules of a table have counted.
fn counted(table: &str) -> u64 {
    let counters = table.split("counter packets ").skip(1);
    counters.filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rules_counted_is_added_up() {
        let table = "ip saddr 10.0.0.1 counter packets 12 bytes 7 drop\nip saddr 10.0.0.2 counter packets 3 bytes 1 drop";
        assert_eq!((counted(table), counted("")), (15, 0));
    }

    #[test]
    fn a_cut_is_a_rule_where_nothing_is_to_be_heard() {
        let network = Namespaces { name: "sl0-0".to_owned(), network: 7, nodes: Vec::new() };
        let way = Cut::Way { from: 0, to: 2 }.rule(&network);
        assert_eq!(way, (2, "ip saddr 10.213.7.1 counter drop".to_owned()));
        let (to, loss) = Cut::Loss { to: 1, percent: 10 }.rule(&network);
        assert!(to == 1 && loss.ends_with("numgen random mod 100 < 10 counter drop"), "{loss}");
    }
}

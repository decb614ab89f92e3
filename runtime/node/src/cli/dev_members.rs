//! Which nodes of `shardloom dev` are members no more. A node that was removed may never hear of it, since nobody sends it the control log any more; the
//! others know.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::client::{Client, Outgoing};
use super::dev_home::Home;
use super::replies::{EndpointReply, typed};

/// How often the members are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often in a row a node must be missing: one that answers may lag behind for a moment.
const MISSED_MAX: u32 = 3;

/// Looks who is a member still.
pub(super) struct Members {
    nodes: BTreeMap<u16, Node>,
    next: Instant,
}

struct Node {
    http: String,
    client: Client,
    /// Whether it was a member: who has yet to join is not missing.
    was_member: bool,
    missed: u32,
}

impl Members {
    /// Nobody yet.
    pub(super) fn new() -> Members {
        Members { nodes: BTreeMap::new(), next: Instant::now() }
    }

    /// Looks out for this node from now on, which was a member before or is to join.
    ///
    /// # Errors
    /// If its address is none.
    pub(super) fn add(
        &mut self,
        home: &Home<'_>,
        index: u16,
        was_member: bool,
        token: &str,
    ) -> anyhow::Result<()> {
        let http = home.config(index).http_address();
        let client = Client::open(&[format!("http://{http}")], Some(token.to_owned()), None)?;
        self.nodes.insert(index, Node { http, client, was_member, missed: 0 });
        Ok(())
    }

    /// All have joined by now: whoever is missing from here on was removed.
    pub(super) fn all_joined(&mut self) {
        self.nodes.values_mut().for_each(|node| node.was_member = true);
    }

    /// The nodes that have been members and are none any more, each once. Asks at most once a second.
    pub(super) fn gone(&mut self) -> Vec<u16> {
        if Instant::now() < self.next {
            return Vec::new();
        }
        self.next = Instant::now() + LOOK_EVERY;
        let Some(listed) = self.nodes.values().find_map(|node| listed(&node.client)) else {
            return Vec::new();
        };
        for node in self.nodes.values_mut() {
            let is_member =
                listed.iter().any(|endpoint| endpoint.name == "http" && endpoint.address == node.http);
            node.was_member |= is_member;
            node.missed = if node.was_member && !is_member { node.missed + 1 } else { 0 };
        }
        self.nodes.extract_if(.., |_, node| node.missed >= MISSED_MAX).map(|(index, _)| index).collect()
    }
}

/// Whom a node lists as members; none if it has no lease, since it may have been left behind then.
fn listed(client: &Client) -> Option<Vec<EndpointReply>> {
    client.send(Outgoing::new(Method::GET, "/readyz").without_token()).ok()?;
    typed(&client.read("/v1/endpoints").ok()?).ok()
}

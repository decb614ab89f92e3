//! What the cluster says before a run: its nodes, who owns what, and whether the workload is there. It takes the admin token; without one, the
//! nodes that were named are all that is known, and answers tell the rest.

use std::net::ToSocketAddrs;

use anyhow::{Context, bail};
use serde_json::Value;
use shardloom_sharding::ids::{NodeId, ShardId};

use super::nodes::{Named, authority, is_reachable};
use crate::cli::client::{Client, ClientError};
use crate::cli::replies::{NodeReply, ShardReply, typed};

/// What is known of a cluster.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where calls may go.
    pub(super) nodes: Vec<Named>,
    /// The owner of each shard; empty where that is not known.
    pub(super) owners: Vec<(ShardId, NodeId)>,
    /// How many shards the built-in function spreads the workload's keys over; none where it has one of its own, or that is not known.
    pub(super) shard_count: Option<u32>,
    /// What is not known, and why.
    pub(super) gap: Option<String>,
}

/// How the workload is to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/v1/call`.
    Handler,
    /// `/w`.
    Http,
}

impl Known {
    /// Asks the cluster.
    ///
    /// # Errors
    /// If no node answers, or the workload is not there or of another kind.
    pub(super) fn of(client: &Client, workload: &str, kind: Kind) -> anyhow::Result<Known> {
        let servers = client.servers().iter().map(|server| Ok((None, authority(server)?)));
        let mut nodes: Vec<Named> = servers.collect::<anyhow::Result<_>>()?;
        let rows = match client.read("/v1/workloads") {
            Ok(rows) => rows,
            Err(ClientError::Refused { problem, .. }) if matches!(problem.status, 401 | 403) => {
                let gap =
                    "without the admin token only the nodes of --server are known (see `shardloom login`)";
                return Ok(Known { nodes, gap: Some(gap.into()), ..Known::default() });
            }
            Err(error) => return Err(error.into()),
        };
        let own_function = check(&rows, workload, kind)?;
        let listed: Vec<NodeReply> = typed(&client.read("/v1/nodes")?)?;
        let listed = listed.into_iter().filter(|node| node.state == "live" && is_reachable(&node.http));
        let listed: Vec<Named> =
            listed.map(|node| Ok((Some(node.id.parse()?), node.http))).collect::<anyhow::Result<_>>()?;
        let gap = recognise(&mut nodes, listed);
        let shards: Vec<ShardReply> = typed(&client.read("/v1/shards")?)?;
        let owner = |shard: &ShardReply| Some((ShardId(shard.shard), shard.owner.as_ref()?.parse().ok()?));
        Ok(Known {
            nodes,
            owners: shards.iter().filter_map(owner).collect(),
            shard_count: u32::try_from(shards.len()).ok().filter(|count| *count > 0 && !own_function),
            gap,
        })
    }
}

/// Gives the named nodes their ids. One server stands for the cluster, so the others join it; several are those that calls are to go to.
/// Returns what calls will therefore not do.
fn recognise(nodes: &mut Vec<Named>, mut listed: Vec<Named>) -> Option<String> {
    let alone = nodes.len() == 1;
    for (id, authority) in nodes.iter_mut() {
        let Some(at) = listed.iter().position(|(_, known)| is_same(authority, known)) else { continue };
        (*id, *authority) = listed.remove(at);
    }
    match nodes.as_slice() {
        [(None, authority)] => Some(format!(
            "{authority} is no address by which a node of this cluster knows itself, so calls go there alone: name nodes by --server"
        )),
        _ => {
            if alone {
                nodes.append(&mut listed);
            }
            None
        }
    }
}

/// Whether two texts lead to the same listener: a host has several names.
fn is_same(one: &str, other: &str) -> bool {
    let addresses = |text: &str| text.to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    one == other || addresses(one).iter().any(|address| addresses(other).contains(address))
}

/// Whether the workload has a shard function of its own.
fn check(rows: &Value, workload: &str, kind: Kind) -> anyhow::Result<bool> {
    let rows = rows.as_array().context("the node's list of workloads cannot be read")?;
    let Some(row) = rows.iter().find(|row| row["name"] == workload) else {
        bail!("there is no workload {workload:?}; `shardloom workloads` lists those that are deployed");
    };
    match (kind, row["http"].is_null()) {
        (Kind::Handler, false) => bail!(
            "{workload} takes HTTP requests: say by --path and --header what is sent, with {{key}} where the key is"
        ),
        (Kind::Http, true) => bail!("{workload} takes calls of a key, not of a path: leave out --path"),
        _ => Ok(!row["shard_function"].is_null()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_that_is_not_there_or_of_another_kind_is_said_before_anything_is_sent() {
        let rows = json!([{ "name": "words", "http": null, "shard_function": null },
                          { "name": "site", "http": {}, "shard_function": null },
                          { "name": "tenants", "http": null, "shard_function": "ab" }]);
        let of = |name, kind| check(&rows, name, kind).map_err(|error| error.to_string());
        assert_eq!(of("words", Kind::Handler), Ok(false));
        assert_eq!(of("tenants", Kind::Handler), Ok(true));
        assert!(of("site", Kind::Handler).unwrap_err().contains("--path"));
        assert!(of("words", Kind::Http).unwrap_err().contains("--path"));
        assert!(of("nobody", Kind::Http).unwrap_err().contains("nobody"));
    }

    #[test]
    fn the_server_that_was_named_comes_first_and_the_others_join_it() {
        let joined = |servers: &[&str]| {
            let listed =
                vec![(Some(NodeId(1)), "127.0.0.1:1".to_owned()), (Some(NodeId(2)), "b:1".to_owned())];
            let mut nodes: Vec<Named> = servers.iter().map(|one| (None, (*one).to_owned())).collect();
            let gap = recognise(&mut nodes, listed);
            (nodes.into_iter().map(|(id, _)| id.map_or(0, |id| id.0)).collect::<Vec<_>>(), gap.is_some())
        };
        assert_eq!(joined(&["b:1"]), (vec![2, 1], false));
        assert_eq!(joined(&["localhost:1"]), (vec![1, 2], false));
        assert_eq!(joined(&["127.0.0.1:9"]), (vec![0], true));
        assert_eq!(joined(&["127.0.0.1:9", "b:1"]), (vec![0, 2], false));
    }
}

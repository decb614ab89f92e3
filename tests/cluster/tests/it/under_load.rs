//! Something happens to a cluster while counters are written and read, and is held against what must hold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shardloom_harness::Cluster;
use shardloom_harness::load::{Load, Tally};

/// The workload of the counters.
const WORKLOAD: &str = "counter";
/// How many clients call at once.
const CLIENTS: usize = 4;
/// How many calls are answered before, and after, something happens.
const CALLS: u64 = 100;
/// How long a cluster may take to be whole again on a machine that does much else.
const WHOLE_MAX: Duration = Duration::from_secs(60);
/// How long these may take.
pub(crate) const CALLS_MAX: Duration = Duration::from_secs(60);

/// Deploys the counters.
pub(crate) fn deploy(cluster: &Cluster) -> Result<()> {
    cluster.deploy(WORKLOAD, WORKLOAD, &[])
}

/// Lets something happen under load through these nodes: before it, after it, and when the cluster is whole again, calls are answered.
pub(crate) fn during(
    cluster: &mut Cluster,
    name: &str,
    nodes: &[usize],
    act: impl FnOnce(&mut Cluster, &Load<'_>) -> Result<()>,
) -> Result<Tally> {
    let urls = nodes.iter().map(|index| cluster.url(*index, "")).collect();
    let load = Load::new(WORKLOAD, urls, CLIENTS, name);
    let ((), tally) = load
        .during(|| {
            load.more(CALLS, CALLS_MAX)?;
            act(cluster, &load)?;
            whole(cluster)?;
            load.more(CALLS, CALLS_MAX)
        })
        .with_context(|| name.to_owned())?;
    println!(
        "{name}: {} calls, {} of them writes, {} failed, the slowest took {:.3?}",
        tally.calls,
        tally.writes,
        tally.failures.len(),
        tally.slowest
    );
    tally.contradictions().with_context(|| name.to_owned())?;
    ensure!(tally.writes > 0, "{name}: nothing was written");
    Ok(tally)
}

/// Waits until every node lives and owns something: so that what each holds is looked at by the calls that follow.
pub(crate) fn whole(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_for_members(cluster.size(), WHOLE_MAX)?;
    cluster.wait("shards on every node", WHOLE_MAX, |cluster| {
        let nodes = cluster.status(cluster.any()?)?.nodes;
        ensure!(nodes.iter().all(|node| node.shards_owned > 0), "{nodes:?}");
        Ok(())
    })?;
    cluster.wait_until_served(WHOLE_MAX)
}

/// The nodes but this one.
pub(crate) fn others(cluster: &Cluster, victim: usize) -> Vec<usize> {
    (0..cluster.size()).filter(|index| *index != victim).collect()
}

/// Calls that are answered while something lasts.
pub(crate) fn some(load: &Load<'_>) -> Result<()> {
    load.more(CALLS, CALLS_MAX)
}

//! The leader's process is killed in the middle of it all, and the others take over.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use shardloom_harness::cluster::Cluster;
use shardloom_harness::http::Shard;

/// How long the survivors may take. Far more than they should.
const HEAL_MAX: Duration = Duration::from_secs(30);
/// How often they are asked.
const POLL: Duration = Duration::from_millis(10);

/// Kills the leader and prints how long until all shards were served again.
pub(crate) fn kill_leader(cluster: &mut Cluster) -> Result<()> {
    let leader = cluster.leader()?;
    let id = cluster.id_of(leader)?;
    println!("kill -9 of the leader, {id}, in mid-stream");
    let begun = Instant::now();
    cluster.kill(leader)?;
    let spinner = ProgressBar::new_spinner().with_message("waiting for its shards");
    let healed = healed(cluster, &id, begun, &spinner);
    spinner.finish_and_clear();
    let healed = healed?;
    println!("all {} shards were served again after {:.2} s", healed.1, healed.0.as_secs_f64());
    Ok(())
}

/// Waits until every survivor says that no shard is left with the victim and all are served.
fn healed(
    cluster: &Cluster,
    victim: &str,
    begun: Instant,
    spinner: &ProgressBar,
) -> Result<(Duration, usize)> {
    loop {
        let asked: Result<Vec<Vec<Shard>>> =
            cluster.running().map(|node| cluster.shards(node.index)).collect();
        if let Ok(views) = asked {
            let waiting = |shards: &Vec<Shard>| {
                let good = |shard: &&Shard| {
                    shard.state == "served" && shard.owner.as_deref().is_some_and(|owner| owner != victim)
                };
                shards.len() - shards.iter().filter(good).count()
            };
            let left = views.iter().map(waiting).max().unwrap_or(usize::MAX);
            let shards = views.first().map_or(0, Vec::len);
            if left == 0 && shards > 0 {
                return Ok((begun.elapsed(), shards));
            }
            spinner.set_message(format!("{left} shards wait for a new owner"));
        }
        spinner.tick();
        if begun.elapsed() > HEAL_MAX {
            bail!("not all shards were served again after {HEAL_MAX:?}");
        }
        thread::sleep(POLL);
    }
}

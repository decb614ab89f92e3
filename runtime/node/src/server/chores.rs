//! What a node's server does unasked: keep up with the view, have the deployed components ready, sample loads, run the weigher,
//! give up backups that nobody reads on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shardloom_protocol::digest::Digest;
use shardloom_protocol::peer::ComponentRole;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::backup;
use super::built_in_weighers::BuiltInWeigher;
use super::loads::SAMPLE_INTERVAL;
use super::node_server::NodeServer;
use super::view::View;
use super::weigh;

/// The first pause before a component that could not be had is tried again; it doubles with each time in vain.
const COMPONENT_RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest such pause.
const COMPONENT_RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the leader runs the weigher: three times the time over which loads are smoothed, so that a shard that was just moved has its load on the new
/// owner again.
const WEIGH_INTERVAL: Duration = Duration::from_secs(30);

/// Does all chores until the server finishes.
pub async fn run(server: Arc<NodeServer>) {
    let chores = async {
        tokio::join!(
            follow(&server),
            have_components(&server),
            sample_loads(&server),
            weigh_now_and_then(&server),
            backup::forget_silent(&server)
        )
    };
    let _ = server.closing().run_until_cancelled(chores).await;
}

/// Drops shard tasks as soon as the view says that they are not this node's any more.
async fn follow(server: &NodeServer) {
    let mut changed = server.fabric.changed();
    loop {
        if let Some(slots) = server.router.started_slots() {
            slots.follow(&server.fabric.view());
            server.router.version_counts.follow(&server.fabric.view());
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Has the components of all versions that are kept here and compiled, and what runs ready before the first call for it comes: a node that comes later fetches them here.
async fn have_components(server: &NodeServer) {
    let mut changed = server.fabric.changed();
    let mut ready = BTreeSet::new();
    let mut pause = COMPONENT_RETRY_MIN;
    loop {
        let wanted = components(&server.fabric.view());
        let at_hand =
            |component: &Digest| wanted.iter().any(|one| one.at_hand && one.component == *component);
        ready.retain(|component| wanted.iter().any(|one| one.component == *component));
        server.guests.forget_all_but(at_hand);
        let mut missing = false;
        for Wanted { component, role, .. } in &wanted {
            if ready.contains(component) {
                continue;
            }
            match server.guests.ready(component, *role).await {
                Ok(()) => missing |= !ready.insert(*component),
                Err(error) => {
                    tracing::warn!(%error, "a deployed component is not ready here yet");
                    missing = true;
                }
            }
        }
        server.guests.forget_all_but(at_hand);
        if missing {
            let _ = timeout(pause, changed.changed()).await;
            // Changes may come in quick succession: no more than one attempt a second.
            sleep(COMPONENT_RETRY_MIN).await;
            pause = (2 * pause).min(COMPONENT_RETRY_MAX);
            continue;
        }
        pause = COMPONENT_RETRY_MIN;
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// A component that is to be here.
struct Wanted {
    component: Digest,
    role: ComponentRole,
    /// In memory, too: it runs, or a rollback goes there first. What else is kept is a file to be mapped.
    at_hand: bool,
}

fn components(view: &View) -> Vec<Wanted> {
    let mut components = Vec::new();
    for workload in view.workloads.values() {
        let canary = workload.canary.as_ref().map(|canary| canary.workload.version);
        let current = workload.kept.iter().find(|kept| kept.version == workload.version);
        let before = current.and_then(|current| current.before);
        for kept in &workload.kept {
            let at_hand = [Some(workload.version), canary, before].contains(&Some(kept.version));
            let wanted = |component, role| Wanted { component, role, at_hand };
            components.push(wanted(kept.spec.component, ComponentRole::Handler));
            let function = kept.spec.shard_function;
            components.extend(function.map(|function| wanted(function, ComponentRole::ShardFunction)));
        }
    }
    let weigher = view.weigher.as_ref().map(|weigher| weigher.component);
    // A built-in one has nothing to be fetched.
    let weigher = weigher.filter(|component| BuiltInWeigher::of(component).is_none());
    let wanted = |component| Wanted { component, role: ComponentRole::Weigher, at_hand: true };
    components.extend(weigher.map(wanted));
    components
}

async fn sample_loads(server: &NodeServer) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        if let Some(slots) = server.router.started_slots() {
            slots.sample_loads(last.elapsed());
        }
        last = Instant::now();
    }
}

async fn weigh_now_and_then(server: &NodeServer) {
    let mut ticks = interval(WEIGH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, when there is no load to weigh yet.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let view = server.fabric.view();
        if view.leader == Some(view.this_node) && view.weigher.is_some() {
            // A failure has become the alarm.
            let _ = weigh::run_here(server).await;
        }
    }
}

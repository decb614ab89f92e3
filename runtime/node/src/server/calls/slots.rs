//! The shard tasks of a node, one slot per shard: made on first use, dropped at hand-over, evicted when there are too many.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shardloom_protocol::peer::ShardLoad;
use shardloom_sharding::ids::{Epoch, ShardId};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::task::{Bench, Job, ShardTask};
use crate::server::loads::{LoadCounter, Rates};
use crate::server::view::View;

/// How much of the bound is cleared at once when it is reached, so that not every new instance looks for a victim.
const EVICTED_PART: usize = 16;

/// What one shard has on this node.
#[derive(Debug, Default)]
pub struct Slot {
    /// How busy the shard is, over all workloads.
    pub load: Arc<LoadCounter>,
    /// Calls that wait for the shard to be served, not yet in a queue.
    pub waiting: AtomicU32,
    tasks: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    workload: String,
    epoch: Epoch,
    jobs: mpsc::Sender<Job>,
    used: u64,
    unfinished: Arc<AtomicU32>,
}

impl Slot {
    fn tasks(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All slots.
pub struct Slots {
    slots: Vec<Arc<Slot>>,
    bench: Arc<Bench>,
    tracker: TaskTracker,
    rates: Rates,
    /// Counts uses, so that entries can be ordered by their last one.
    clock: AtomicU64,
    tasks: AtomicUsize,
    tasks_max: usize,
    queue_max: usize,
}

/// The queue of the shard's task is full.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

impl Slots {
    /// Empty slots, one per shard of `bench`.
    pub fn new(bench: Arc<Bench>, tasks_max: usize, queue_max: usize, tracker: TaskTracker) -> Slots {
        Slots {
            slots: (0..bench.shard_count).map(|_| Arc::default()).collect(),
            bench,
            tracker,
            rates: Rates::default(),
            clock: AtomicU64::new(0),
            tasks: AtomicUsize::new(0),
            tasks_max,
            queue_max,
        }
    }

    /// The slot of a shard; none if the cluster has no such shard.
    pub fn slot(&self, shard: ShardId) -> Option<&Arc<Slot>> {
        self.slots.get(shard.index())
    }

    /// Puts a call into the queue of its shard task, which is made if there is none.
    ///
    /// # Errors
    /// [`QueueFull`]; the call was not run.
    pub fn submit(&self, shard: ShardId, job: Job) -> Result<(), QueueFull> {
        let slot = self.slot(shard).ok_or(QueueFull)?;
        if self.tasks.load(Ordering::Relaxed) >= self.tasks_max {
            self.evict();
        }
        let mut tasks = slot.tasks();
        let name = &job.workload.name;
        let index = match tasks.iter().position(|entry| entry.workload == *name) {
            Some(index) if tasks[index].jobs.is_closed() => {
                // Only a bug can have ended a task that still has its entry: it costs the guest's memory, not the shard.
                tracing::error!(workload = name, %shard, "a shard task had ended by itself");
                self.tasks.fetch_sub(1, Ordering::Relaxed);
                tasks[index] = self.start(shard, slot, name);
                index
            }
            Some(index) => index,
            None => {
                tasks.push(self.start(shard, slot, name));
                tasks.len() - 1
            }
        };
        let entry = &mut tasks[index];
        entry.epoch = entry.epoch.max(job.permit.epoch());
        entry.used = self.clock.fetch_add(1, Ordering::Relaxed);
        // Counted before it is sent, since the task uncounts it as soon as it has it.
        entry.unfinished.fetch_add(1, Ordering::AcqRel);
        slot.load.queued();
        self.bench.metrics.queue_depth.inc();
        entry.jobs.try_send(job).map_err(|_| {
            entry.unfinished.fetch_sub(1, Ordering::AcqRel);
            slot.load.unqueued();
            self.bench.metrics.queue_depth.dec();
            QueueFull
        })
    }

    fn start(&self, shard: ShardId, slot: &Arc<Slot>, workload: &str) -> Entry {
        let (jobs, queue) = mpsc::channel(self.queue_max);
        let unfinished = Arc::new(AtomicU32::new(0));
        let task =
            ShardTask::new(Arc::clone(&self.bench), shard, Arc::clone(&slot.load), Arc::clone(&unfinished));
        self.tracker.spawn(task.run(queue));
        self.tasks.fetch_add(1, Ordering::Relaxed);
        Entry { workload: workload.to_owned(), epoch: Epoch(0), jobs, used: 0, unfinished }
    }

    /// Drops the tasks of shards that this node does not own any more under the epoch they ran, and of workloads that are
    /// gone. What a dropped task has in its queue it still answers: with "not run", since its permits are void.
    pub fn follow(&self, view: &View) {
        for shard in view.map.shards() {
            let Some(slot) = self.slot(shard) else { continue };
            let owned = view.map.owner(shard) == Some(view.this_node);
            let epoch = view.map.epoch(shard);
            self.retain(slot, |entry| {
                owned && entry.epoch >= epoch && view.workloads.contains_key(&entry.workload)
            });
        }
    }

    /// Drops the idle tasks that were not used for longest.
    fn evict(&self) {
        let mut idle: Vec<u64> = Vec::new();
        for slot in &self.slots {
            idle.extend(slot.tasks().iter().filter(|entry| entry.is_idle()).map(|entry| entry.used));
        }
        if idle.is_empty() {
            return;
        }
        let evicted = (self.tasks_max / EVICTED_PART).clamp(1, idle.len());
        let (_, newest_evicted, _) = idle.select_nth_unstable(evicted - 1);
        let newest_evicted = *newest_evicted;
        for slot in &self.slots {
            let dropped = self.retain(slot, |entry| !entry.is_idle() || entry.used > newest_evicted);
            self.bench.metrics.instances_evicted.inc_by(dropped as u64);
        }
    }

    fn retain(&self, slot: &Slot, keep: impl FnMut(&Entry) -> bool) -> usize {
        let mut tasks = slot.tasks();
        let before = tasks.len();
        tasks.retain(keep);
        let dropped = before - tasks.len();
        self.tasks.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }

    /// Takes a sample of all loads, `over` after the last one.
    pub fn sample_loads(&self, over: std::time::Duration) {
        self.rates.sample(self.slots.iter().map(|slot| &*slot.load), over);
    }

    /// The loads of the shards that this node owns.
    pub fn loads(&self, view: &View) -> Vec<ShardLoad> {
        let owned = view.map.shards().filter(|shard| view.map.owner(*shard) == Some(view.this_node));
        let load = |shard: ShardId| {
            let state = self.bench.fabric.state(shard, view.map.epoch(shard));
            let state_bytes = state.map_or(0, |state| state.bytes_of_all());
            Some(self.rates.load(shard, &self.slot(shard)?.load, state_bytes))
        };
        owned.filter_map(load).collect()
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) == 0
    }
}

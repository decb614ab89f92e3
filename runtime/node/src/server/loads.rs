//! How busy each shard of this node is: counted as calls run, and smoothed, once a second, by a moving average in which what is
//! further back weighs exponentially less.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use shardloom_protocol::peer::ShardLoad;
use shardloom_sharding::ids::ShardId;

/// How often rates are taken.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// The time constant of that average: a change shows to two thirds after so long. Short beside the time between two runs of the weigher, so that a
/// shard that has just moved is known on its new owner; long beside a burst, which is no reason to move.
pub const LOAD_TIME_CONSTANT: Duration = Duration::from_secs(10);

/// What a shard has done since the node started. Counted by its tasks.
#[derive(Debug, Default)]
pub struct LoadCounter {
    calls: AtomicU64,
    busy_ns: AtomicU64,
    queued: AtomicU32,
}

impl LoadCounter {
    /// Notes one call that kept a guest busy for so long.
    pub fn ran(&self, busy: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let busy_ns = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
    }

    /// Notes that a call has joined the queue.
    pub fn queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a call has left the queue.
    pub fn unqueued(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    calls_seen: u64,
    busy_ns_seen: u64,
    calls_per_second: f64,
    busy_ms_per_second: f64,
}

impl Rate {
    fn sample(&mut self, calls: u64, busy_ns: u64, over: Duration) {
        let seconds = over.as_secs_f64().max(1e-3);
        let kept = (-seconds / LOAD_TIME_CONSTANT.as_secs_f64()).exp();
        let calls_now = (calls - self.calls_seen) as f64 / seconds;
        let busy_now = (busy_ns - self.busy_ns_seen) as f64 / 1e6 / seconds;
        self.calls_per_second = smooth(self.calls_per_second, calls_now, kept);
        self.busy_ms_per_second = smooth(self.busy_ms_per_second, busy_now, kept);
        (self.calls_seen, self.busy_ns_seen) = (calls, busy_ns);
    }
}

fn smooth(old: f64, new: f64, kept: f64) -> f64 {
    old * kept + new * (1.0 - kept)
}

/// The smoothed rates of all shards.
#[derive(Debug, Default)]
pub struct Rates {
    rates: Mutex<Vec<Rate>>,
}

impl Rates {
    /// Takes a sample of every shard's counter, `over` after the last one.
    pub fn sample<'a>(&self, counters: impl Iterator<Item = &'a LoadCounter>, over: Duration) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, counter) in counters.enumerate() {
            if index == rates.len() {
                rates.push(Rate::default());
            }
            let calls = counter.calls.load(Ordering::Relaxed);
            let busy_ns = counter.busy_ns.load(Ordering::Relaxed);
            rates[index].sample(calls, busy_ns, over);
        }
    }

    /// The load of one shard, which keeps so much state, as of the last sample.
    pub fn load(&self, shard: ShardId, counter: &LoadCounter, state_bytes: u64) -> ShardLoad {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rates.get(shard.index()).copied().unwrap_or_default();
        ShardLoad {
            shard,
            calls_per_second: rate.calls_per_second,
            busy_ms_per_second: rate.busy_ms_per_second,
            queue_depth: counter.queued.load(Ordering::Relaxed),
            state_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_approached_and_a_stopped_one_fades() {
        let counter = LoadCounter::default();
        let rates = Rates::default();
        for _ in 0..60 {
            (0..10).for_each(|_| counter.ran(Duration::from_millis(20)));
            rates.sample([&counter].into_iter(), SAMPLE_INTERVAL);
        }
        let load = rates.load(ShardId(0), &counter, 5);
        assert!((load.calls_per_second - 10.0).abs() < 0.1, "{load:?}");
        assert!((load.busy_ms_per_second - 200.0).abs() < 2.0, "{load:?}");
        for _ in 0..60 {
            rates.sample([&counter].into_iter(), SAMPLE_INTERVAL);
        }
        assert!(rates.load(ShardId(0), &counter, 5).calls_per_second < 0.1);
    }

    #[test]
    fn a_change_shows_to_two_thirds_after_the_time_constant_however_often_samples_are_taken() {
        for interval in [Duration::from_millis(500), SAMPLE_INTERVAL, Duration::from_secs(5)] {
            let (counter, rates) = (LoadCounter::default(), Rates::default());
            let samples = LOAD_TIME_CONSTANT.as_millis() / interval.as_millis();
            for _ in 0..samples {
                (0..interval.as_millis() / 10).for_each(|_| counter.ran(Duration::ZERO));
                rates.sample([&counter].into_iter(), interval);
            }
            let calls = rates.load(ShardId(0), &counter, 0).calls_per_second;
            assert!((62.0..65.0).contains(&calls), "{calls} of 100, sampled each {interval:?}");
        }
    }
}

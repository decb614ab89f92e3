//! A weigher: loads to weights, with fuel, a fresh instance each time.

use std::fmt;

use shardloom_sharding::plan::WEIGHT_MAX;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bindings::shard_weigher as wit;
use crate::bounds::Bounds;
use crate::digest::Digest;
use crate::options::HostOptions;
use crate::pure::{self, PureStop};
use crate::stop::LimitHit;

/// Fuel after which a weigher yields its thread: about a millisecond.
const YIELD_FUEL: u64 = 500_000;

/// A weigher, ready to run; cheap to clone.
#[derive(Clone)]
pub struct Weigher {
    digest: Digest,
    pre: wit::ShardWeigherPre<Bounds>,
    fuel: u64,
}

/// The load of one shard, over all workloads, smoothed over some seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShardLoad {
    /// The shard.
    pub shard: u32,
    /// Calls per second.
    pub calls_per_second: f64,
    /// Milliseconds per second in which a guest of the shard ran.
    pub busy_ms_per_second: f64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Requests that wait now.
    pub queue_depth: u32,
    /// The weight now.
    pub weight: u32,
}

/// The weigher gave no weights: the old ones stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeigherError {
    /// It used up its fuel.
    #[error("the weigher ran out of fuel ({0} units)")]
    Fuel(u64),
    /// It went over a limit.
    #[error("the weigher went over its limit: {0}")]
    Limit(LimitHit),
    /// It trapped.
    #[error("the weigher trapped: {0}")]
    Trap(String),
    /// It refused, in its own words.
    #[error("the weigher refused: {0}")]
    Refused(String),
    /// It gave another number of weights than there are shards.
    #[error("the weigher gave {weights} weights for {shards} shards")]
    Length {
        /// How many it gave.
        weights: usize,
        /// How many were asked for.
        shards: usize,
    },
    /// It gave a shard a weight that the planner does not take.
    #[error("the weigher gave shard {shard} the weight {weight}; at most {WEIGHT_MAX} is taken")]
    Range {
        /// The first such shard.
        shard: u32,
        /// Its weight.
        weight: u32,
    },
}

impl Weigher {
    /// Links a component; fails where its types are not those of the world.
    pub(crate) fn new(
        digest: Digest,
        engine: &Engine,
        component: &Component,
        options: &HostOptions,
    ) -> wasmtime::Result<Weigher> {
        let pre = wit::ShardWeigherPre::new(pure::linker(engine)?.instantiate_pre(component)?)?;
        Ok(Weigher { digest, pre, fuel: options.weigher_fuel })
    }

    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// One weight for each load, in the same order. Yields the thread now and then.
    ///
    /// # Errors
    /// See [`WeigherError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the run.
    pub async fn weigh(&self, loads: &[ShardLoad]) -> Result<Vec<u32>, WeigherError> {
        let mut store = pure::store(self.pre.engine(), self.fuel)
            .and_then(|mut store| store.fuel_async_yield_interval(Some(YIELD_FUEL)).map(|()| store))
            .map_err(|error| WeigherError::Trap(error.to_string()))?;
        let loads: Vec<wit::ShardLoad> = loads.iter().copied().map(Into::into).collect();
        let answer = match self.pre.instantiate_async(&mut store).await {
            Ok(exports) => exports.call_weigh(&mut store, &loads).await,
            Err(error) => Err(error),
        };
        let weights = match answer {
            Ok(answer) => answer.map_err(WeigherError::Refused)?,
            Err(error) => return Err(self.explain(&error, store.data())),
        };
        if weights.len() != loads.len() {
            return Err(WeigherError::Length { weights: weights.len(), shards: loads.len() });
        }
        match loads.iter().zip(&weights).find(|(_, weight)| **weight > WEIGHT_MAX) {
            Some((load, weight)) => Err(WeigherError::Range { shard: load.shard, weight: *weight }),
            None => Ok(weights),
        }
    }

    fn explain(&self, error: &wasmtime::Error, bounds: &Bounds) -> WeigherError {
        match PureStop::of(error, bounds) {
            PureStop::Fuel => WeigherError::Fuel(self.fuel),
            PureStop::Limit(hit) => WeigherError::Limit(hit),
            PureStop::Trap(text) => WeigherError::Trap(text),
        }
    }
}

impl From<ShardLoad> for wit::ShardLoad {
    fn from(load: ShardLoad) -> wit::ShardLoad {
        wit::ShardLoad {
            shard: load.shard,
            calls_per_second: load.calls_per_second,
            busy_ms_per_second: load.busy_ms_per_second,
            state_bytes: load.state_bytes,
            queue_depth: load.queue_depth,
            weight: load.weight,
        }
    }
}

impl fmt::Debug for Weigher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weigher").field("digest", &self.digest).finish_non_exhaustive()
    }
}

//! A shard function: key to shard, with fuel, from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bindings::shard_function as wit;
use crate::bounds::Bounds;
use crate::digest::Digest;
use crate::options::HostOptions;
use crate::pure::{self, PureStop, PureStore};
use crate::stop::LimitHit;

/// A shard function, ready to be asked from any thread; cheap to clone.
///
/// A few instances are kept warm. A function must not answer from what it remembers: [`ShardFunction::check_steady`]
/// finds the plain cases.
#[derive(Clone)]
pub struct ShardFunction(Arc<Inner>);

struct Inner {
    digest: Digest,
    pre: wit::ShardFunctionPre<Bounds>,
    fuel: u64,
    warm: Mutex<Vec<Instance>>,
    warm_max: usize,
}

struct Instance {
    store: PureStore,
    exports: wit::ShardFunction,
}

/// The function gave no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardFunctionError {
    /// It used up its fuel.
    #[error("the shard function ran out of fuel ({0} units)")]
    Fuel(u64),
    /// It went over a limit.
    #[error("the shard function went over its limit: {0}")]
    Limit(LimitHit),
    /// It trapped.
    #[error("the shard function trapped: {0}")]
    Trap(String),
    /// It named a shard that the cluster does not have.
    #[error("the shard function answered {answer}; there are {count} shards")]
    OutOfRange {
        /// What it answered.
        answer: u32,
        /// How many shards there are.
        count: u32,
    },
    /// It gave two answers for one key.
    #[error(
        "the shard function is not steady: key {key:?} of {count} shards is on {first}, then on {second}"
    )]
    Unsteady {
        /// The key.
        key: String,
        /// How many shards.
        count: u32,
        /// What it answered first.
        first: u32,
        /// What it answered later.
        second: u32,
    },
}

impl ShardFunction {
    /// Links a component; fails where its types are not those of the world.
    pub(crate) fn new(
        digest: Digest,
        engine: &Engine,
        component: &Component,
        options: &HostOptions,
    ) -> wasmtime::Result<ShardFunction> {
        let pre = wit::ShardFunctionPre::new(pure::linker(engine)?.instantiate_pre(component)?)?;
        Ok(ShardFunction(Arc::new(Inner {
            digest,
            pre,
            fuel: options.shard_function_fuel,
            warm: Mutex::new(Vec::new()),
            warm_max: options.shard_function_instances,
        })))
    }

    /// The component's digest.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// The shard, below `count`, that the key belongs to.
    ///
    /// # Errors
    /// See [`ShardFunctionError`]; the next call is not affected.
    pub fn shard_of(&self, key: &str, count: u32) -> Result<u32, ShardFunctionError> {
        let warm = self.0.warm.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut instance = match warm {
            Some(instance) => instance,
            None => self.instantiate()?,
        };
        // An instance that fails is dropped here.
        let answer = self.ask(&mut instance, key, count)?;
        let mut warm = self.0.warm.lock().unwrap_or_else(PoisonError::into_inner);
        if warm.len() < self.0.warm_max {
            warm.push(instance);
        }
        Ok(answer)
    }

    /// Asks two instances for the same keys in opposite orders: an answer that depends on earlier questions shows.
    ///
    /// # Errors
    /// The first key with two answers. A key that fails, fails for its callers only.
    pub fn check_steady(&self) -> Result<(), ShardFunctionError> {
        const KEYS: [&str; 8] =
            ["", "a", "b", "tenant:1", "tenant/2", "é", "0123456789abcdef", "key with spaces"];
        const COUNTS: [u32; 3] = [1, 7, 1024];
        let questions: Vec<(&str, u32)> =
            KEYS.iter().flat_map(|key| COUNTS.map(|count| (*key, count))).collect();
        let first = self.ask_all(questions.iter().copied())?;
        let mut second = self.ask_all(questions.iter().rev().copied())?;
        second.reverse();
        for ((key, count), pair) in questions.into_iter().zip(first.into_iter().zip(second)) {
            if let (Some(first), Some(second)) = pair
                && first != second
            {
                return Err(ShardFunctionError::Unsteady { key: key.to_owned(), count, first, second });
            }
        }
        Ok(())
    }

    fn ask_all<'a>(
        &self,
        questions: impl Iterator<Item = (&'a str, u32)>,
    ) -> Result<Vec<Option<u32>>, ShardFunctionError> {
        let mut instance = self.instantiate()?;
        let mut answers = Vec::new();
        for (key, count) in questions {
            let answer = self.ask(&mut instance, key, count);
            if !matches!(answer, Ok(_) | Err(ShardFunctionError::OutOfRange { .. })) {
                instance = self.instantiate()?;
            }
            answers.push(answer.ok());
        }
        Ok(answers)
    }

    fn ask(&self, instance: &mut Instance, key: &str, count: u32) -> Result<u32, ShardFunctionError> {
        let Instance { store, exports } = instance;
        store.data_mut().forget_hit();
        let answer = store
            .set_fuel(self.0.fuel)
            .and_then(|()| exports.call_shard_of(&mut *store, key, count))
            .map_err(|error| self.explain(&error, store.data()))?;
        if answer < count { Ok(answer) } else { Err(ShardFunctionError::OutOfRange { answer, count }) }
    }

    fn instantiate(&self) -> Result<Instance, ShardFunctionError> {
        let engine = self.0.pre.engine();
        let mut store =
            pure::store(engine, self.0.fuel).map_err(|error| ShardFunctionError::Trap(error.to_string()))?;
        match self.0.pre.instantiate(&mut store) {
            Ok(exports) => Ok(Instance { store, exports }),
            Err(error) => Err(self.explain(&error, store.data())),
        }
    }

    fn explain(&self, error: &wasmtime::Error, bounds: &Bounds) -> ShardFunctionError {
        match PureStop::of(error, bounds) {
            PureStop::Fuel => ShardFunctionError::Fuel(self.0.fuel),
            PureStop::Limit(hit) => ShardFunctionError::Limit(hit),
            PureStop::Trap(text) => ShardFunctionError::Trap(text),
        }
    }
}

impl fmt::Debug for ShardFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardFunction").field("digest", &self.0.digest).finish_non_exhaustive()
    }
}

//! What shard functions and weighers have in common: no imports, fuel, and bounds on memory.

use wasmtime::component::Linker;
use wasmtime::{Engine, Store, Trap};

use crate::bounds::{Bounds, CallBounds};
use crate::limits::Limits;
use crate::stop::{LimitHit, trap_words};

/// Bytes that a pure component may hand over: a weight for each of 100,000 shards, or the words of a refusal.
const HAND_OVER_BYTES: usize = 1 << 20;

/// The state of a pure component's store: its bounds.
pub(crate) type PureStore = Store<Bounds>;

/// Why a pure component gave no answer.
#[derive(Debug)]
pub(crate) enum PureStop {
    Fuel,
    Limit(LimitHit),
    Trap(String),
}

/// A linker that grants nothing. `loads` has types only, and types are not linked.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Bounds>> {
    let mut linker = Linker::new(engine);
    linker.instance("shardloom:shard/loads@0.1.0")?;
    Ok(linker)
}

/// A store with that much fuel, and memory as a workload has by default.
pub(crate) fn store(engine: &Engine, fuel: u64) -> wasmtime::Result<PureStore> {
    let limits = Limits::default();
    let mut store = Store::new(engine, Bounds::new(&limits));
    store.limiter(|bounds| bounds);
    store.set_fuel(fuel)?;
    CallBounds { hand_over_bytes: HAND_OVER_BYTES, handles: limits.handles as usize }.apply(&mut store);
    Ok(store)
}

impl PureStop {
    pub(crate) fn of(error: &wasmtime::Error, bounds: &Bounds) -> PureStop {
        match (error.downcast_ref::<Trap>(), bounds.hit()) {
            (Some(Trap::OutOfFuel), _) => PureStop::Fuel,
            (_, Some(hit)) => PureStop::Limit(hit),
            (_, None) => PureStop::Trap(trap_words(error)),
        }
    }
}

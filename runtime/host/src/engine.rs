//! The two engines: one for handlers, which yield by the clock, and one for pure components, which run with fuel.
//!
//! Both allocate on demand. wasmtime's pool halves the cost of a fresh instance (22 instead of 46 us) and leaves a warm call
//! as it is (2.3 us); but instances are kept warm, and a pool reserves its address space for the most instances that there
//! may ever be, per engine: many nodes in one process would not fit.
//!
//! Compiled code fits the engine that it was compiled for: the compile child makes the same engine, and the
//! fingerprint of an engine is part of the name of what is cached.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine, OptLevel};

use crate::world::World;

/// Bytes of a fiber's stack beyond what the guest itself may use: for the host functions that it calls.
const HOST_STACK_BYTES: usize = 256 << 10;

/// Bytes of stack of a pure component. It runs on its caller's stack, of which a tokio worker has 2 MiB.
const PURE_STACK_BYTES: usize = 256 << 10;

/// Which engine a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EngineKind {
    /// Runs on fibers, interrupted by the clock.
    Handler,
    /// Runs with fuel, and answers the same on every machine.
    Pure,
}

impl EngineKind {
    pub(crate) fn of(world: World) -> EngineKind {
        match world {
            World::ShardHandler | World::HttpHandler => EngineKind::Handler,
            World::ShardFunction | World::ShardWeigher => EngineKind::Pure,
        }
    }

    /// Makes the engine; `stack_bytes` is for handlers and does not change compiled code.
    pub(crate) fn open(self, stack_bytes: usize) -> wasmtime::Result<Engine> {
        let mut config = Config::new();
        config.wasm_component_model(true);
        // The same bits on every machine.
        config.relaxed_simd_deterministic(true);
        // Frames are named by the name section alone: debug information of a hostile guest is not parsed here.
        config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
        config.cranelift_opt_level(OptLevel::Speed);
        match self {
            EngineKind::Handler => {
                config.epoch_interruption(true);
                // What wasi:http 0.3 is made of.
                config.wasm_component_model_async(true);
                config.max_wasm_stack(stack_bytes);
                config.async_stack_size(stack_bytes + HOST_STACK_BYTES);
            }
            EngineKind::Pure => {
                config.consume_fuel(true);
                config.cranelift_nan_canonicalization(true);
                config.max_wasm_stack(PURE_STACK_BYTES);
                config.async_stack_size(PURE_STACK_BYTES + HOST_STACK_BYTES);
            }
        }
        Engine::new(&config)
    }
}

/// Sums up what compiled code depends on: wasmtime's version, its settings, the processor's features.
pub(crate) fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

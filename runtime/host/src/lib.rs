//! Runs other people's WebAssembly: admits components, compiles them apart, makes instances, calls them, bounds them.
//!
//! This crate owns wasmtime; no other crate names it. It must never know who owns a shard, what the cluster agreed on,
//! or how a request came in: it is handed bytes, a place, a deadline and a view of the shard's state, and hands back a reply
//! with what the call changes, or says what went wrong. It writes no state itself.
//!
//! A guest can hurt nobody but its own requests. Its bytes are parsed and compiled in a child process with bounds of its
//! own; its calls run on fibers that yield at every tick of the clock; memory, tables, stack, output and log have limits.
//!
//! In reading order:
//! - what bounds what: [`options`] (a host), [`limits`] (a workload);
//! - what comes in: [`digest`], [`world`], [`refusal`], `outline`;
//! - admission: [`host`], over `artifacts` (the disk), `compile` and `compile_child`, `engine`, `loader`;
//! - workloads: [`handler`], [`call`], [`stop`], and for components of wasi:http `http`, `streams`, `wasi` and [`outgoing`]; over `guest`, `imports`, `bounds`, `run_time`, `slots`, `ticker`, [`logs`], `bindings`;
//! - a call's state: [`state`], [`key_layout`], `transaction`, `stage`, [`scan`]; `plain_store`, `buckets` and `keyvalue` over them;
//! - plug-ins: [`shard_function`], [`weigher`], over `pure`.

pub mod call;
pub mod digest;
pub mod handler;
pub mod host;
pub mod key_layout;
pub mod limits;
pub mod logs;
pub mod options;
pub mod outgoing;
pub mod refusal;
pub mod scan;
pub mod shard_function;
pub mod state;
pub mod stop;
pub mod weigher;
pub mod world;

mod artifacts;
mod bindings;
mod bounds;
mod buckets;
mod compile;
mod compile_child;
mod engine;
mod guest;
mod http;
mod imports;
mod keyvalue;
mod loader;
mod outline;
mod plain_store;
mod pure;
mod run_time;
mod slots;
mod stage;
mod streams;
mod ticker;
mod transaction;
mod wasi;

pub use call::{CallEnd, CallError, Failure, HttpTarget, Reply, Request};
pub use compile::CompileError;
pub use compile_child::compile_child_main;
pub use digest::Digest;
pub use guest::Place;
pub use handler::{HandlerInstance, InstantiateError, PreparedHandler, Setting};
pub use host::{AdmitError, Admitted, Host, HostError, LoadError};
pub use limits::{Limits, LimitsError};
pub use logs::{GuestLine, LogLevel, LogSink, SharedLog};
pub use options::{CompileBounds, Compiler, HostOptions};
pub use outgoing::{Outgoing, OutgoingBody, OutgoingError, Patience, Sent};
pub use outline::{Inspection, Standing, inspect};
pub use refusal::Refusal;
pub use scan::{SCAN_BYTES_MAX, SCAN_ROWS_MAX};
pub use shard_function::{ShardFunction, ShardFunctionError};
pub use slots::instances_max;
pub use state::{StateError, StateView, Write};
pub use stop::{GuestTrap, LimitHit, TimeoutKind};
pub use streams::{BodyError, Broken, IncomingBody, Part, Streams};
pub use weigher::{ShardLoad, Weigher, WeigherError};
pub use world::{World, outgoing_http};

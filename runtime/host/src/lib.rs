//! Runs other people's WebAssembly: admits components, compiles them apart, makes instances, calls them, bounds them.
//!
//! This crate owns wasmtime; no other crate names it. It must never know who owns a shard, what the cluster agreed on,
//! or how a request came in: it is handed bytes, a place and a deadline, and hands back a reply or says what went wrong.
//!
//! A guest can hurt nobody but its own requests. Its bytes are parsed and compiled in a child process with bounds of its
//! own; its calls run on fibers that yield at every tick of the clock; memory, tables, stack, output and log have limits.
//!
//! In reading order: [`options`] and [`limits`] (what bounds what), [`digest`], [`world`] (what a component may be),
//! [`refusal`], [`host`] (the way in, with
//! `artifacts`, `compile`, `compile_child`, `engine`, `loader` behind it), [`call`], [`handler`] (with `guest`, `bounds`,
//! `run_time`, `ticker`, [`logs`]), [`shard_function`], [`weigher`] (with `pure`).

pub mod call;
pub mod digest;
pub mod handler;
pub mod host;
pub mod limits;
pub mod logs;
pub mod options;
pub mod refusal;
pub mod shard_function;
pub mod weigher;
pub mod world;

mod artifacts;
mod bindings;
mod bounds;
mod compile;
mod compile_child;
mod engine;
mod guest;
mod loader;
mod pure;
mod run_time;
mod ticker;

pub use call::{CallError, Failure, GuestTrap, LimitHit, Reply, Request, TimeoutKind};
pub use compile::CompileError;
pub use compile_child::compile_child_main;
pub use digest::Digest;
pub use handler::{HandlerInstance, InstantiateError, Place, PreparedHandler};
pub use host::{AdmitError, Admitted, Host, HostError, LoadError};
pub use limits::{Limits, LimitsError};
pub use logs::{GuestLine, LogLevel, LogSink};
pub use options::{CompileBounds, Compiler, HostOptions};
pub use refusal::Refusal;
pub use shard_function::{ShardFunction, ShardFunctionError};
pub use weigher::{ShardLoad, Weigher, WeigherError};
pub use world::World;

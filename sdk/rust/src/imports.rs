//! The component's side of a cluster: imports and exports as `wit/` has them. Only a guest has this module.

use std::rc::Rc;
use std::sync::Once;

use crate::call::Request;
use crate::host::{Host, Level, Place, Row};
use crate::state_error::StateError;
use crate::{Call, Failure, Handler, State};

/// What wit-bindgen makes of `wit/`.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "shard-handler",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "shardloom_guest::imports::bindings",
    });
}

use bindings::exports::shardloom::shard::handler;
use bindings::shardloom::shard::{shard_info, store};
use bindings::wasi::{config, logging::logging};

/// Answers one request by a handler.
///
/// # Errors
/// The handler's own failure.
pub fn answer(request: handler::Request, handler: Handler) -> Result<handler::Reply, handler::Failure> {
    log_panics();
    let host: Rc<dyn Host> = Rc::new(Imports);
    let handler::Request { key, method, headers, body } = request;
    let call = Call::new(Request { key, method, headers, body }, Rc::clone(&host));
    match handler(&call, &mut State::new(host)) {
        Ok(reply) => Ok(handler::Reply { headers: reply.headers, body: reply.body }),
        Err(failure) => Err(match failure {
            Failure::Invalid(text) => handler::Failure::Invalid(text),
            Failure::NotFound(text) => handler::Failure::NotFound(text),
            Failure::Conflict(text) => handler::Failure::Conflict(text),
            Failure::Failed(text) => handler::Failure::Failed(text),
        }),
    }
}

/// A panic ends in a trap, which says where and not why: what it says goes to the log first. A guest has no standard error.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            logging::log(logging::Level::Critical, "panic", &panic.to_string().replace('\n', " "));
        }));
    });
}

/// The imports of the component.
struct Imports;

impl Host for Imports {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        store::get(key)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        store::set(key, value).map_err(refused)
    }

    fn delete(&self, key: &[u8]) -> Result<(), StateError> {
        store::delete(key).map_err(refused)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, rows_max: u32) -> Vec<Row> {
        store::scan(start, end, rows_max)
    }

    fn place(&self) -> Place {
        let shard_info::Place { shard, shard_count, epoch, node, workload, version } = shard_info::current();
        Place { shard, shard_count, epoch, node, workload, version }
    }

    fn config(&self, key: &str) -> Option<String> {
        // A node reads settings from its memory: there is no source behind it that could fail.
        config::store::get(key).ok().flatten()
    }

    fn log(&self, level: Level, context: &str, message: &str) {
        let level = match level {
            Level::Trace => logging::Level::Trace,
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
            Level::Critical => logging::Level::Critical,
        };
        logging::log(level, context, message);
    }
}

fn refused(error: store::StoreError) -> StateError {
    match error {
        store::StoreError::TooLarge(words) => StateError::TooLarge(words),
        store::StoreError::QuotaExceeded => StateError::QuotaExceeded,
        store::StoreError::Closed => StateError::Closed,
    }
}

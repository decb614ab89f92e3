//! What the host keeps beside a handler's instance, and the imports that it serves from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::shard_handler as wit;
use crate::bounds::Bounds;
use crate::handler::Place;
use crate::logs::{GuestLog, LogLevel};
use crate::run_time::RunTime;
use wit::shardloom::shard::shard_info;
use wit::wasi::config::store as config;
use wit::wasi::logging::logging;

/// The state of one handler's store.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) place: Place,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) log: GuestLog,
    pub(crate) bounds: Bounds,
    pub(crate) run_time: RunTime,
}

/// Links everything that a handler is granted, and nothing else.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    shard_info::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    config::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl shard_info::Host for Guest {
    fn current(&mut self) -> shard_info::Place {
        let place = &self.place;
        shard_info::Place {
            shard: place.shard.0,
            shard_count: place.shard_count,
            epoch: place.epoch.0,
            node: place.node.to_string(),
            workload: place.workload.to_string(),
            version: place.version,
        }
    }
}

impl logging::Host for Guest {
    fn log(&mut self, level: logging::Level, context: String, message: String) {
        let level = match level {
            logging::Level::Trace => LogLevel::Trace,
            logging::Level::Debug => LogLevel::Debug,
            logging::Level::Info => LogLevel::Info,
            logging::Level::Warn => LogLevel::Warn,
            logging::Level::Error => LogLevel::Error,
            logging::Level::Critical => LogLevel::Critical,
        };
        self.log.write(Instant::now(), level, &context, &message);
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        Ok(self.config.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(self.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

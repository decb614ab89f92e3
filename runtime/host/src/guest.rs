//! What the host keeps beside a handler's instance, and the imports that need nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use shardloom_sharding::ids::{Epoch, NodeId, ShardId};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::bindings::shard_handler as wit;
use crate::bounds::Bounds;
use crate::buckets::Buckets;
use crate::limits::Limits;
use crate::logs::{LogLevel, SharedLog};
use crate::outgoing::{Hooks, Outgoing};
use crate::run_time::RunTime;
use crate::stage::Stage;
use crate::state::StateError;
use crate::stop::StopReason;
use crate::wasi::Wasi;
use wit::shardloom::shard::shard_info;
use wit::wasi::config::store as config;
use wit::wasi::logging::logging;

/// Where and as what an instance runs: what `shard-info` tells the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The shard whose requests the instance gets.
    pub shard: ShardId,
    /// How many shards the cluster has.
    pub shard_count: u32,
    /// The epoch under which the node owns the shard.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeId,
    /// The workload's name.
    pub workload: Arc<str>,
    /// The workload's version.
    pub version: u64,
}

/// The state of one workload's store.
pub(crate) struct Guest {
    pub(crate) place: Place,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) log: SharedLog,
    pub(crate) bounds: Bounds,
    pub(crate) run_time: RunTime,
    /// The state as the call under way sees it.
    pub(crate) stage: Stage,
    pub(crate) buckets: Buckets,
    /// What belongs to WASI, once the guest has asked for any of it: most never do.
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) limits: Limits,
    /// By whom it may send requests.
    pub(crate) outgoing: Option<Arc<dyn Outgoing>>,
}

impl Guest {
    /// What belongs to WASI.
    pub(crate) fn wasi(&mut self) -> &mut Wasi {
        let Guest { wasi, log, limits, outgoing, .. } = self;
        wasi.get_or_insert_with(|| Box::new(Wasi::new(log, limits, Hooks::new(outgoing.clone()))))
    }

    /// Why wasmtime ended this guest: what it met before the error counts first.
    pub(crate) fn stop_reason(
        &self,
        error: &wasmtime::Error,
        stack_bytes: u64,
        reply_bytes: u64,
    ) -> StopReason {
        if let Some(kind) = self.run_time.expired() {
            return StopReason::Timeout(kind);
        }
        if let Some(error) = error.downcast_ref::<StateError>() {
            return StopReason::Host(format!("the shard's state cannot be read: {error}"));
        }
        match (StopReason::of(error, stack_bytes, reply_bytes), self.bounds.hit()) {
            // A guest that was refused memory and then trapped did so for want of it.
            (StopReason::Trap(_) | StopReason::Host(_), Some(hit)) => StopReason::Limit(hit),
            (reason, _) => reason,
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi().http()
    }
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

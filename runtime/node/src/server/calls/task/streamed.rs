//! Calls whose bodies are not held whole. The shard is theirs until the head of the response; from then on the guest goes on by itself,
//! without any state, and the shard's next call gets another instance.

use std::sync::Arc;
use std::time::Instant;

use shardloom_host::{Broken, CallEnd, CallError, HandlerInstance, Request, StateView, Streams};
use shardloom_sharding::ids::ShardId;
use tokio::sync::oneshot;

use super::{CALL_HOLDS_SHARD_MAX, Ended, Job, NotWritten, ShardTask, Warm, Wrote, outcome, to_host, write};
use crate::server::guest_lines::GuestLines;
use crate::server::metrics::Metrics;
use crate::server::state::ShardState;
use crate::server::view::Workload;

/// A guest that passes bodies on.
struct Streaming {
    instance: HandlerInstance,
    metrics: Arc<Metrics>,
    lines: Arc<GuestLines>,
    workload: String,
    shard: ShardId,
}

impl ShardTask {
    /// Runs one call up to the head of its response. Its caller is whom the guest ends with.
    pub(super) async fn stream(
        &mut self,
        (job, workload): (&Job, &Workload),
        warm: Warm,
        streams: Streams,
        (state, view): (&Arc<dyn ShardState>, Arc<dyn StateView>),
    ) -> Ended {
        let (epoch, version) = (warm.epoch, warm.version);
        let started = Instant::now();
        let until = job.deadline.min(started + CALL_HOLDS_SHARD_MAX);
        let guest = Streaming {
            instance: warm.instance,
            metrics: Arc::clone(&self.bench.metrics),
            lines: Arc::clone(self.bench.guests.lines()),
            workload: workload.name.clone(),
            shard: self.shard,
        };
        let (head, at_head) = oneshot::channel();
        self.bench.streams.spawn(guest.run(to_host(&job.request), streams, until, view, head));
        let CallEnd { result, writes } = at_head.await.unwrap_or_else(|_| CallEnd {
            result: Err(CallError::Host("the node is ending".into())),
            writes: Vec::new(),
        });
        self.load.ran(started.elapsed());
        let answer = outcome::sort(result);
        let written = match &answer {
            Ok(Ok(_)) if !writes.is_empty() && self.is_misplaced(job) => Err(NotWritten::NotServed),
            Ok(Ok(head)) if !writes.is_empty() => {
                let none_kept = started.elapsed();
                write(job, &**state, (writes, None), (version, head), none_kept)
                    .await
                    .map(|()| Wrote::Something)
            }
            _ => Ok(Wrote::Nothing),
        };
        self.ended(workload, written, answer, (epoch, version), state.last())
    }
}

impl Streaming {
    async fn run(
        mut self,
        request: Request,
        streams: Streams,
        until: Instant,
        view: Arc<dyn StateView>,
        head: oneshot::Sender<CallEnd>,
    ) {
        let ended = Box::pin(self.instance.stream(request, streams, until, view, head)).await;
        self.metrics.instances.dec();
        let Streaming { lines, workload, shard, .. } = self;
        match ended {
            Err(Broken::Call(CallError::Trap(trap))) => lines.trapped(&workload, shard, &trap),
            Err(broken) => tracing::debug!(workload, %shard, %broken, "a streamed response has broken off"),
            Ok(()) => {}
        }
    }
}

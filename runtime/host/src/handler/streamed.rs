//! Calls whose bodies are not held whole.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::{Exports, HandlerInstance};
use crate::call::{CallEnd, CallError, Request};
use crate::http::Passage;
use crate::state::StateView;
use crate::stop::TimeoutKind;
use crate::streams::{Broken, Streams};
use crate::transaction::Transaction;

impl HandlerInstance {
    /// Runs one call of a component of wasi:http whose bodies are passed on as they come; the request's own is not looked at. It is the
    /// instance's last.
    ///
    /// `head` gets what there is to say of the call as such: at the head of the response, which comes without a body and with what the call has
    /// written, or when it has ended without one. The deadline is the head's. From the head on there is no state, and `streams` says how long the
    /// body may stand still. Returns when the guest has ended.
    ///
    /// # Errors
    /// Why the response has not come to its end.
    ///
    /// # Cancel safety
    /// Dropping the future unwinds the guest.
    pub async fn stream(
        &mut self,
        request: Request,
        streams: Streams,
        deadline: Instant,
        state: Arc<dyn StateView>,
        head: oneshot::Sender<CallEnd>,
    ) -> Result<(), Broken> {
        let mut head = Some(head);
        let result = self.run_streamed(request, streams, deadline, state, &mut head).await;
        self.store.data().stage.end();
        if let Some(head) = head {
            let error = match &result {
                Err(Broken::Call(error)) => error.clone(),
                Err(other) => CallError::NoResponse(other.to_string()),
                Ok(()) => CallError::NoResponse("the response has no head".into()),
            };
            // Whoever does not wait for it any more need not know.
            let _ = head.send(CallEnd { result: Err(error), writes: Vec::new() });
        }
        result
    }

    async fn run_streamed(
        &mut self,
        request: Request,
        streams: Streams,
        deadline: Instant,
        state: Arc<dyn StateView>,
        head: &mut Option<oneshot::Sender<CallEnd>>,
    ) -> Result<(), Broken> {
        if self.dead {
            return Err(CallError::Dead.into());
        }
        let Exports::Http(exports) = &self.exports else {
            return Err(CallError::Host("only a component of wasi:http has bodies to stream".into()).into());
        };
        let ticker = Arc::clone(&self.ticker);
        let _ticking = ticker.keep_ticking();
        self.dead = true;
        let guest = self.store.data_mut();
        guest.bounds.forget_hit();
        guest.stage.open(Transaction::new(state, self.write_bounds));
        guest.buckets.start();
        let stage = guest.stage.clone();
        let clock = guest.run_time.start(Some(deadline));
        let Streams { body, parts, idle_max } = streams;
        let mut passage = Passage {
            stage: stage.clone(),
            clock: clock.clone(),
            bounds: self.reply_bounds,
            parts,
            idle_max,
            head: head.take(),
        };
        self.store.set_epoch_deadline(1);
        let late = async {
            sleep_until(deadline.into()).await;
            if stage.is_closed() {
                pending::<()>().await;
            }
        };
        let outcome = {
            let called = exports.stream(&mut self.store, request, body, &mut passage);
            // Boxed, since it holds the room for either version's whole call.
            let called = clock.count(Box::pin(called));
            tokio::select! {
                outcome = called => Some(outcome),
                () = late => None,
            }
        };
        *head = passage.head.take();
        match outcome {
            None => Err(CallError::Timeout(TimeoutKind::Deadline).into()),
            Some(Ok(passed)) => passed,
            Some(Err(error)) => {
                let guest = self.store.data();
                let reason = guest.stop_reason(&error, self.stack_bytes, self.reply_bounds.reply_bytes);
                Err(CallError::from(reason).into())
            }
        }
    }
}

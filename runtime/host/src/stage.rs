//! The transaction of the call under way. It is shared with whoever ends it: that of a streamed call is over before its guest is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::state::StateError;
use crate::transaction::Transaction;

/// What a guest's state is at this moment; a clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<Act>>);

#[derive(Default)]
enum Act {
    /// No call is under way.
    #[default]
    NoCall,
    /// One is, and its transaction.
    Open(Transaction),
    /// One is, and its transaction is over.
    Closed,
}

/// The guest asked for state where there is none to give.
#[derive(Debug, thiserror::Error)]
#[error("the shard's state can be used within a call only")]
struct NoCall;

/// The guest asked for state after its streamed response had begun.
#[derive(Debug, thiserror::Error)]
#[error("the response has begun, and with its head the call's transaction has ended: use state before it")]
pub(crate) struct Closed;

impl Stage {
    fn act(&self) -> MutexGuard<'_, Act> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a call's transaction.
    pub(crate) fn open(&self, transaction: Transaction) {
        *self.act() = Act::Open(transaction);
    }

    /// Ends the transaction of a call that goes on.
    pub(crate) fn close(&self) -> Option<Transaction> {
        Self::opened(std::mem::replace(&mut *self.act(), Act::Closed))
    }

    /// Whether the transaction of the call under way is over.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.act(), Act::Closed)
    }

    /// Ends the call, and its transaction if that is still open.
    pub(crate) fn end(&self) -> Option<Transaction> {
        Self::opened(std::mem::take(&mut *self.act()))
    }

    fn opened(act: Act) -> Option<Transaction> {
        match act {
            Act::Open(transaction) => Some(transaction),
            Act::NoCall | Act::Closed => None,
        }
    }

    /// Does something to the state as the call under way sees it.
    ///
    /// # Errors
    /// Inside, if the transaction is over; outside, if there is no call, or the state cannot be read.
    pub(crate) fn within<T>(
        &self,
        act: impl FnOnce(&mut Transaction) -> Result<T, StateError>,
    ) -> wasmtime::Result<Result<T, Closed>> {
        match &mut *self.act() {
            Act::Open(transaction) => Ok(Ok(act(transaction)?)),
            Act::Closed => Ok(Err(Closed)),
            Act::NoCall => Err(NoCall.into()),
        }
    }
}

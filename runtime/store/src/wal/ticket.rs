//! Waiting until what was submitted is on the disk.

use tokio::sync::watch;

use super::error::WalError;

/// The number of a submission, counted from 1 since the log was opened; what is durable is always a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WriteSeq(pub u64);

/// How far the log is durable, or why it will never be again.
#[derive(Clone, Debug)]
pub(crate) enum Reached {
    Durable(WriteSeq),
    /// The writer ended: all before `WriteSeq` inclusive is durable, nothing after it ever will be.
    Ended(WriteSeq, WalError),
}

/// A view of how far the log is durable; cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    reached: watch::Receiver<Reached>,
}

impl Progress {
    pub(crate) fn new(reached: watch::Receiver<Reached>) -> Progress {
        Progress { reached }
    }

    /// The newest submission that is durable; all before it are too.
    pub fn durable(&self) -> WriteSeq {
        match &*self.reached.borrow() {
            Reached::Durable(seq) | Reached::Ended(seq, _) => *seq,
        }
    }

    /// Waits until `seq` is durable.
    ///
    /// # Errors
    /// The error that ended the log, if it ended before `seq` was durable.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped; the submission goes on.
    pub async fn wait_for(&mut self, seq: WriteSeq) -> Result<(), WalError> {
        let done = |reached: &Reached| match reached {
            Reached::Durable(durable) => *durable >= seq,
            Reached::Ended(..) => true,
        };
        match self.reached.wait_for(done).await {
            Ok(reached) => match &*reached {
                Reached::Ended(durable, why) if *durable < seq => Err(why.clone()),
                _ => Ok(()),
            },
            Err(_) => Err(WalError::Closed),
        }
    }

    /// Waits until more is durable than was last seen through this view, and returns how far.
    ///
    /// # Errors
    /// The error that ended the log ([`WalError::Closed`] after an orderly close).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Result<WriteSeq, WalError> {
        if let Reached::Ended(_, why) = &*self.reached.borrow() {
            return Err(why.clone());
        }
        self.reached.changed().await.map_err(|_| WalError::Closed)?;
        match &*self.reached.borrow_and_update() {
            Reached::Durable(seq) => Ok(*seq),
            Reached::Ended(_, why) => Err(why.clone()),
        }
    }
}

/// A submission on its way to the disk. Dropping it does not withdraw the submission.
#[derive(Clone, Debug)]
pub struct Ticket {
    seq: WriteSeq,
    progress: Progress,
}

impl Ticket {
    pub(crate) fn new(seq: WriteSeq, progress: Progress) -> Ticket {
        Ticket { seq, progress }
    }

    /// The submission's place in the order of all submissions.
    pub fn seq(&self) -> WriteSeq {
        self.seq
    }

    /// Waits until the submission, and with it every earlier one, is durable.
    ///
    /// # Errors
    /// The error that ended the log, if it ended before.
    ///
    /// # Cancel safety
    /// The submission goes on when the future is dropped.
    pub async fn durable(mut self) -> Result<(), WalError> {
        self.progress.wait_for(self.seq).await
    }
}

//! What the handles and the writer share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::entries::Place;
use super::error::WalError;
use super::index::Index;
use super::record::{Line, Record};
use super::segment::Segment;
use super::ticket::{Progress, Reached, Ticket, WriteSeq};
use super::{WalOptions, WalStats};

/// A record that is on its way to the disk, and where the index says that it is.
pub(crate) type Moving = (Line, Place);

/// Where a submission may go when there is no room for the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Nowhere, if it holds entries.
    Ample,
    /// Into the rest of the current segment.
    Reserve,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) dir: Arc<Path>,
    pub(crate) options: WalOptions,
    /// Bytes that may still be queued.
    pub(crate) room: Semaphore,
    pub(crate) reached: watch::Sender<Reached>,
    /// The writer waits here for work.
    pub(crate) wake: Condvar,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) segments: BTreeMap<u32, Arc<Segment>>,
    pub(crate) queue: Vec<Moving>,
    pub(crate) queue_cost: usize,
    pub(crate) submitted: WriteSeq,
    pub(crate) closing: bool,
    pub(crate) ended: Option<WalError>,
    /// There is no room for the next segment: entries are refused, what may free room is not.
    pub(crate) disk_full: bool,
    pub(crate) stats: WalStats,
    /// The writer wants to be woken when this many records are queued.
    pub(crate) wake_at: usize,
    next_number: u64,
}

impl State {
    /// Applies a record and queues it.
    pub(crate) fn queue(&mut self, line: Line) {
        self.next_number += 1;
        let place = Place::Queued(self.next_number);
        let applied = self.index.apply(&line, place);
        debug_assert!(applied, "the record was checked before");
        self.queue.push((line, place));
    }
}

impl Core {
    pub(crate) fn new(
        dir: &Path,
        options: WalOptions,
        index: Index,
        segments: BTreeMap<u32, Arc<Segment>>,
    ) -> Core {
        let state = State {
            index,
            segments,
            queue: Vec::new(),
            queue_cost: 0,
            submitted: WriteSeq(0),
            closing: false,
            ended: None,
            disk_full: false,
            stats: WalStats::default(),
            wake_at: usize::MAX,
            next_number: 0,
        };
        Core {
            dir: Arc::from(dir),
            room: Semaphore::new(options.queue_bytes_max),
            reached: watch::Sender::new(Reached::Durable(WriteSeq(0))),
            wake: Condvar::new(),
            state: Mutex::new(state),
            options,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the log's state")
    }

    /// Lets the writer sleep until so many records are queued, the log is to close, or the time is up.
    pub(crate) fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        records: usize,
        time: Duration,
    ) -> MutexGuard<'a, State> {
        state.wake_at = records;
        let (mut state, _) =
            self.wake.wait_timeout(state, time).expect("no code panics while it holds the log's state");
        // Awake, it looks for itself.
        state.wake_at = usize::MAX;
        state
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.reached.subscribe())
    }

    /// The cost of a submission, if it is within the limit.
    pub(crate) fn cost(&self, records: &[Record]) -> Result<u32, WalError> {
        let (bytes, bytes_max) = (records.iter().map(Record::cost).sum(), self.options.queue_bytes_max);
        match u32::try_from(bytes) {
            Ok(cost) if bytes <= bytes_max => Ok(cost),
            _ => Err(WalError::TooLarge { bytes, bytes_max }),
        }
    }

    /// Queues records for which there is room.
    pub(crate) fn enqueue(&self, records: Vec<Record>, cost: u32, room: Room) -> Result<Ticket, WalError> {
        let mut state = self.lock();
        if let Some(why) = &state.ended {
            return Err(why.clone());
        }
        if state.closing {
            return Err(WalError::Closed);
        }
        let refusing = state.disk_full && room == Room::Ample;
        if refusing && records.iter().any(|record| matches!(record, Record::Append { .. })) {
            return Err(WalError::DiskFull { dir: self.dir.to_path_buf(), fatal: false });
        }
        state.index.check(&records)?;
        if !records.is_empty() {
            state.submitted.0 += 1;
            state.queue_cost += cost as usize;
        }
        for record in records {
            state.queue(Line::from(record));
        }
        let (seq, wake) = (state.submitted, state.queue.len() >= state.wake_at);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(Ticket::new(seq, self.progress()))
    }

    /// Why nothing more can be submitted.
    pub(crate) fn why_ended(&self) -> WalError {
        self.lock().ended.clone().unwrap_or(WalError::Closed)
    }

    /// Ends the log: whoever waits gets `why`, and so does whoever comes later.
    pub(crate) fn end(&self, why: WalError) {
        let mut state = self.lock();
        state.queue.clear();
        state.ended = Some(why.clone());
        drop(state);
        self.room.close();
        self.reached.send_modify(|reached| {
            if let Reached::Durable(seq) = *reached {
                *reached = Reached::Ended(seq, why);
            }
        });
    }
}

//! The one writer: everything that is queued goes into one batch, one write, one fdatasync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clean::{Cleaner, Due};
use super::core::{Core, Moving, State};
use super::entries::DiskPlace;
use super::error::WalError;
use super::format::{FRAME_ALIGN, FRAME_HEAD, FRAMES_START, Header, mark, seal_batch};
use super::segment::{Preparation, Segment};
use super::ticket::{Reached, WriteSeq};

/// Whether this build acknowledges what no disk has, so that a fault test can prove that it would see that: built with
/// `SHARDLOOM_BREAK=fdatasync` in the compiler's environment, and never otherwise.
pub const SKIPS_FDATASYNC: bool = match option_env!("SHARDLOOM_BREAK") {
    Some(broken) => matches!(broken.as_bytes(), b"fdatasync"),
    None => false,
};

/// How long after the disk was found full it is tried again.
const DISK_FULL_RETRY: Duration = Duration::from_secs(1);
/// The next segment is prepared when this part of the current one is used; the rest is the reserve for what frees room
/// when the disk is full.
const PREPARE_AT_FRACTION: u64 = 4;
/// This part of the time of the last fdatasync is worth waiting for more to put into the next.
const GATHER_FRACTION: u32 = 4;
/// But no longer than this.
const GATHER_MAX: Duration = Duration::from_micros(500);
/// A buffer that a large batch has grown beyond this is not kept.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// The next segment.
#[derive(Debug)]
enum Next {
    Unprepared { not_before: Option<Instant> },
    Preparing(Preparation),
    Ready(File),
}

#[derive(Debug)]
pub(crate) struct Writer {
    core: Arc<Core>,
    segment: Arc<Segment>,
    end: u64,
    next_sequence: u64,
    next: Next,
    cleaner: Cleaner,
    buffer: Vec<u8>,
    gather: Gather,
}

/// Waiting a moment for more. Callers whose batch is durable often submit again at once; a writer that does not wait for
/// them falls into two groups of callers that take turns, and syncs twice as often as it must.
#[derive(Debug)]
struct Gather {
    /// Until then it pays to wait.
    until: Instant,
    /// For so many records: those of the last batch, and those that came while it was written.
    records: usize,
}

/// One batch: what was queued, and what is carried over.
#[derive(Debug)]
struct Taken {
    lines: Vec<Moving>,
    cost: usize,
    upto: WriteSeq,
    carried: u64,
    /// Segments below this are given up once the batch is durable.
    floor: Option<u32>,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>, segment: Arc<Segment>, end: u64, next_sequence: u64) -> Writer {
        let next = Next::Unprepared { not_before: None };
        let gather = Gather { until: Instant::now(), records: 1 };
        let (cleaner, buffer) = (Cleaner::default(), Vec::new());
        Writer { core, segment, end, next_sequence, next, cleaner, buffer, gather }
    }

    /// Writes until the log is closed or fails.
    pub(crate) fn run(mut self) {
        let guard = EndGuard { core: self.core.clone() };
        let why = match self.write_all() {
            Ok(()) => WalError::Closed,
            Err(why) => why,
        };
        if let Next::Preparing(preparation) = self.next {
            // Whoever opens the directory next finds no thread of ours in it.
            let _ = preparation.finish();
        }
        if why.is_fatal() {
            tracing::error!(error = %why, "the write-ahead log ended");
        }
        guard.core.end(why);
    }

    fn write_all(&mut self) -> Result<(), WalError> {
        while let Some(taken) = self.take()? {
            self.commit(taken)?;
        }
        self.mark()?;
        self.sync()
    }

    /// Writes what is queued now, without a thread: for what must be durable before anybody else may write.
    pub(crate) fn flush(&mut self) -> Result<(), WalError> {
        let core = self.core.clone();
        let taken = self.compose(&mut core.lock(), Due::Nothing);
        self.commit(taken)
    }

    /// Waits for work; nothing, when the log is to close and all is written.
    fn take(&mut self) -> Result<Option<Taken>, WalError> {
        let core = self.core.clone();
        let mut state = core.lock();
        loop {
            self.look_after_next(&mut state)?;
            let room = self.segment.header.file_bytes.saturating_sub(self.end);
            let due = Cleaner::due(&state, core.options.segment_bytes, room);
            if due == Due::Carry && !self.cleaner.is_loaded() {
                let oldest = state.segments.first_key_value().map(|(_, oldest)| oldest.clone());
                drop(state);
                if let Some(oldest) = oldest {
                    self.cleaner.load(&oldest)?;
                }
                state = core.lock();
            }
            let wait = self.gather.until.saturating_duration_since(Instant::now());
            if !state.queue.is_empty()
                && state.queue.len() < self.gather.records
                && !wait.is_zero()
                && !state.closing
            {
                state = core.sleep(state, self.gather.records, wait);
                continue;
            }
            if !state.queue.is_empty() || (due != Due::Nothing && !state.closing) {
                return Ok(Some(self.compose(&mut state, due)));
            }
            if state.closing {
                return Ok(None);
            }
            state = core.sleep(state, 1, self.wait_max());
        }
    }

    /// How long to sleep while nobody submits anything.
    fn wait_max(&self) -> Duration {
        match &self.next {
            Next::Unprepared { not_before: Some(_) } | Next::Preparing(_) => DISK_FULL_RETRY,
            _ => Duration::from_secs(3600),
        }
    }

    fn compose(&mut self, state: &mut State, due: Due) -> Taken {
        let (mut carry, mut floor) = (Vec::new(), None);
        match due {
            Due::Carry => carry = self.cleaner.carry(state, self.core.options.queue_bytes_max),
            Due::Retire => floor = self.cleaner.retire(state),
            Due::Nothing => {}
        }
        let mut lines = std::mem::take(&mut state.queue);
        let carried = carry.len() as u64;
        lines.extend(carry);
        Taken { lines, cost: std::mem::take(&mut state.queue_cost), upto: state.submitted, carried, floor }
    }

    fn commit(&mut self, taken: Taken) -> Result<(), WalError> {
        if taken.lines.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let places = self.write_batch(&taken.lines)?;
        let synced = Instant::now();
        self.sync()?;
        let sync = synced.elapsed();
        tracing::trace!(records = taken.lines.len(), micros = started.elapsed().as_micros() as u64, "batch");
        self.end += self.buffer.len() as u64;
        self.next_sequence += 1;
        self.settle(&taken, &places, sync)?;
        self.buffer.shrink_to(BUFFER_BYTES_MAX);
        Ok(())
    }

    fn sync(&self) -> Result<(), WalError> {
        if SKIPS_FDATASYNC {
            return Ok(());
        }
        self.segment.file.sync_data().map_err(WalError::failed("fdatasync of", &self.segment.path))
    }

    /// Writes the records as one batch; where each of them lies.
    fn write_batch(&mut self, lines: &[Moving]) -> Result<Vec<DiskPlace>, WalError> {
        let records = u32::try_from(lines.len()).expect("the queue is bounded");
        self.buffer.clear();
        self.buffer.resize(FRAME_HEAD, 0);
        let mut places = Vec::with_capacity(lines.len());
        for (line, _) in lines {
            places.push((self.buffer.len(), line.disk_bytes()));
            line.encode(&mut self.buffer);
        }
        let bytes = self.buffer.len().next_multiple_of(FRAME_ALIGN) as u64;
        if self.end + bytes + FRAME_HEAD as u64 > self.segment.header.file_bytes {
            self.roll_over()?;
        }
        seal_batch(self.segment.place(self.end), self.next_sequence, records, &mut self.buffer);
        let write = self.segment.file.write_all_at(&self.buffer, self.end);
        write.map_err(WalError::failed("writing", &self.segment.path))?;
        let (segment, end) = (self.segment.header.number, self.end);
        let place = |(at, bytes): (usize, usize)| DiskPlace {
            segment,
            offset: u32::try_from(end + at as u64).expect("a segment is smaller than 4 GiB"),
            bytes: u32::try_from(bytes).expect("a record is smaller than its segment"),
        };
        Ok(places.into_iter().map(place).collect())
    }

    /// Tells everybody that a batch is durable, and deletes what it gave up.
    fn settle(&mut self, taken: &Taken, places: &[DiskPlace], sync: Duration) -> Result<(), WalError> {
        let core = self.core.clone();
        let mut state = core.lock();
        for ((line, was), now) in taken.lines.iter().zip(places) {
            state.index.settle(line, *was, *now);
        }
        state.index.evict(core.options.cache_bytes_max);
        let mut retired = Vec::new();
        while let Some(oldest) =
            state.segments.first_entry().filter(|oldest| Some(*oldest.key()) < taken.floor)
        {
            retired.push(oldest.remove());
        }
        state.stats.commits += 1;
        state.stats.records += taken.lines.len() as u64 - taken.carried;
        state.stats.carried += taken.carried;
        state.stats.written_bytes += self.buffer.len() as u64;
        state.stats.sync_us += sync.as_micros() as u64;
        let until = Instant::now() + (sync / GATHER_FRACTION).min(GATHER_MAX);
        self.gather = Gather { until, records: taken.lines.len() + state.queue.len() };
        let idle = state.queue.is_empty();
        drop(state);
        core.room.add_permits(taken.cost);
        core.reached.send_replace(Reached::Durable(taken.upto));
        if idle {
            self.mark()?;
        }
        for segment in retired {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                // It is given up: the next start tries again.
                tracing::warn!(file = %segment.path.display(), %error, "cannot delete an old segment");
            }
        }
        Ok(())
    }

    /// Leaves a sign behind the last batch that it is durable.
    fn mark(&mut self) -> Result<(), WalError> {
        if self.next_sequence == 1 || self.end + FRAME_HEAD as u64 > self.segment.header.file_bytes {
            return Ok(());
        }
        let mark = mark(self.segment.place(self.end), self.next_sequence - 1);
        let write = self.segment.file.write_all_at(&mark, self.end);
        write.map_err(WalError::failed("writing", &self.segment.path))
    }

    fn roll_over(&mut self) -> Result<(), WalError> {
        let options = &self.core.options;
        let prepared = match std::mem::replace(&mut self.next, Next::Unprepared { not_before: None }) {
            Next::Ready(file) => Ok(file),
            Next::Preparing(preparation) => preparation.finish(),
            Next::Unprepared { .. } => super::segment::prepare(&self.core.dir, options.segment_bytes),
        };
        let header = Header {
            number: self.segment.header.number + 1,
            disk: self.segment.header.disk,
            file_bytes: options.segment_bytes,
            first_sequence: self.next_sequence,
        };
        let prepared = prepared.map_err(WalError::failed("preparing a segment after", &self.segment.path))?;
        let segment = Arc::new(Segment::activate(&self.core.dir, prepared, header)?);
        self.core.lock().segments.insert(header.number, segment.clone());
        self.segment = segment;
        self.end = FRAMES_START;
        Ok(())
    }

    /// Has the next segment prepared in time, and notes whether the disk has room for it.
    fn look_after_next(&mut self, state: &mut State) -> Result<(), WalError> {
        let failed = WalError::failed("preparing a segment after", &self.segment.path);
        if let Next::Preparing(preparation) = &self.next
            && preparation.is_finished()
        {
            let unprepared = Next::Unprepared { not_before: Some(Instant::now() + DISK_FULL_RETRY) };
            let Next::Preparing(preparation) = std::mem::replace(&mut self.next, unprepared) else {
                return Ok(());
            };
            match preparation.finish().map_err(&failed) {
                Ok(file) => {
                    self.next = Next::Ready(file);
                    state.disk_full = false;
                }
                Err(WalError::DiskFull { dir, .. }) => {
                    if !state.disk_full {
                        tracing::warn!(dir = %dir.display(), "the disk is full: entries are refused");
                    }
                    state.disk_full = true;
                }
                Err(error) => return Err(error),
            }
        }
        let due = self.end > self.segment.header.file_bytes / PREPARE_AT_FRACTION;
        if let Next::Unprepared { not_before } = &self.next
            && due
            && not_before.is_none_or(|at| Instant::now() >= at)
        {
            let start = Preparation::start(self.core.dir.clone(), self.core.options.segment_bytes);
            self.next = Next::Preparing(start.map_err(&failed)?);
        }
        Ok(())
    }
}

/// Ends the log should the writer panic, so that nobody waits for ever.
struct EndGuard {
    core: Arc<Core>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = Arc::new(std::io::Error::other("the writer panicked"));
            self.core.end(WalError::Failed { step: "writing", file: self.core.dir.to_path_buf(), source });
        }
    }
}

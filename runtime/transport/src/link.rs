//! The dialling side of one connection: requests and one-way messages go out, replies come back.
//!
//! Each class has one shared stream, opened when first used. A single task per stream writes what is queued, many frames
//! to a write, and hands replies to those who wait. Large bodies take a stream of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::SendStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::class::Class;
use crate::error::{Delivery, TransportError};
use crate::frame::{Batch, FrameError, Kind, Use, encode_stream_head};
use crate::options::PeerOptions;
use crate::own_stream::request_on_own_stream;
use crate::reader::{FrameReader, ReadFailure};
use crate::wire::{Wire, close_code, left_ms, outcome};

/// Frames taken from the queue for one write.
const FRAMES_PER_WRITE_MAX: usize = 256;

/// How long a connection that was replaced stays for one-way messages that are queued or on their way: many round trips.
const LINGER: Duration = Duration::from_secs(1);
/// How long after that it may still wait for replies: as long as a forwarded call may take.
const RETIRED_MAX: Duration = Duration::from_secs(300);

/// A wire to a peer, made by dialling, and the streams on it.
pub(crate) struct Link {
    pub(crate) wire: Wire,
    /// The SHA-256 of the certificate that this node has shown there.
    pub(crate) shown: [u8; 32],
    shared: [OnceLock<Queue>; Class::ALL.len()],
    tasks: Mutex<JoinSet<()>>,
    options: Arc<PeerOptions>,
}

/// The way to a shared stream.
struct Queue {
    frames: mpsc::Sender<Outgoing>,
    /// Room for one-way messages, in KiB. Requests need none: their callers hold their bodies anyway.
    room_kib: Arc<Semaphore>,
}

/// A frame on its way to the wire.
struct Outgoing {
    body: Bytes,
    deadline: Instant,
    whose: Whose,
}

enum Whose {
    /// A request, and who waits for its reply.
    Asked(Waiter),
    /// A one-way message, and its room in the queue.
    OneWay { _room: OwnedSemaphorePermit },
}

/// Who waits for a reply. The place in flight is given back when the reply comes, not when the caller stops waiting: the
/// peer is busy until then.
struct Waiter {
    reply: oneshot::Sender<Result<Bytes, TransportError>>,
    sent: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

/// Who waits, by frame id; none once the stream has ended.
type Waiting = Mutex<Option<HashMap<u64, Waiter>>>;

impl Link {
    pub(crate) fn new(wire: Wire, shown: [u8; 32], options: Arc<PeerOptions>) -> Link {
        Link { wire, shown, shared: Default::default(), tasks: Mutex::default(), options }
    }

    pub(crate) async fn request(
        &self,
        class: Class,
        body: Bytes,
        deadline: Instant,
        place: OwnedSemaphorePermit,
    ) -> Result<Bytes, TransportError> {
        if class == Class::Bulk || class == Class::Join || body.len() > self.options.shared_body_bytes_max {
            return request_on_own_stream(&self.wire, &self.options, class, body, deadline).await;
        }
        let (reply, mut replied) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let waiter = Waiter { reply, sent: Arc::clone(&sent), _place: place };
        self.put(class, Outgoing { body, deadline, whose: Whose::Asked(waiter) }).await?;
        match timeout_at(deadline.into(), &mut replied).await {
            Ok(Ok(result)) => result,
            // The stream's task has dropped the message unsent.
            Ok(Err(_)) => Err(self.wire.lost(Delivery::NotSent)),
            Err(_) => {
                // Either the writer sees that nobody waits any more and does not send, or we see that it has sent.
                replied.close();
                fence(Ordering::SeqCst);
                let delivery =
                    if sent.load(Ordering::SeqCst) { Delivery::Unknown } else { Delivery::NotSent };
                Err(TransportError::Deadline { delivery })
            }
        }
    }

    pub(crate) async fn send(
        &self,
        class: Class,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(), TransportError> {
        let room = Arc::clone(&self.queue(class).room_kib);
        let kib = body.len().clamp(1, self.options.queued_bytes_max).div_ceil(1024);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        match timeout_at(deadline.into(), room.acquire_many_owned(kib)).await {
            Ok(Ok(room)) => {
                self.put(class, Outgoing { body, deadline, whose: Whose::OneWay { _room: room } }).await
            }
            Ok(Err(_)) => Err(self.wire.lost(Delivery::NotSent)),
            Err(_) => Err(TransportError::Deadline { delivery: Delivery::NotSent }),
        }
    }

    async fn put(&self, class: Class, outgoing: Outgoing) -> Result<(), TransportError> {
        let deadline = outgoing.deadline;
        let queue = &self.queue(class).frames;
        match queue.try_send(outgoing) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.wire.lost(Delivery::NotSent)),
            Err(mpsc::error::TrySendError::Full(outgoing)) => {
                match timeout_at(deadline.into(), queue.send(outgoing)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(self.wire.lost(Delivery::NotSent)),
                    Err(_) => Err(TransportError::Deadline { delivery: Delivery::NotSent }),
                }
            }
        }
    }

    fn queue(&self, class: Class) -> &Queue {
        self.shared[class.index()].get_or_init(|| self.open_shared(class))
    }

    fn open_shared(&self, class: Class) -> Queue {
        let limits = self.options.limits(class);
        let (frames, queued) = mpsc::channel(limits.in_flight_max);
        let room_kib = Arc::new(Semaphore::new(self.options.queued_bytes_max.div_ceil(1024)));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(run_shared(self.wire.clone(), class, queued, limits.body_bytes_max));
        Queue { frames, room_kib }
    }
}

/// Lets a connection end for which there is another now: what is queued is still sent, and who waits for a reply gets it.
pub(crate) async fn retire(link: Arc<Link>) {
    let connection = link.wire.connection.clone();
    // It closes when the last who uses it is done.
    if timeout_at((Instant::now() + LINGER).into(), connection.closed()).await.is_err() {
        drop(link);
        if timeout_at((Instant::now() + RETIRED_MAX).into(), connection.closed()).await.is_err() {
            connection.close(close_code::ORDERLY, b"replaced by another connection");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wire.connection.close(close_code::ORDERLY, b"no longer used");
    }
}

/// Runs a shared stream to its end, then tells all who wait.
async fn run_shared(wire: Wire, class: Class, mut queued: mpsc::Receiver<Outgoing>, body_bytes_max: usize) {
    let waiting: Waiting = Mutex::new(Some(HashMap::new()));
    let ended = async {
        let (mut send, receive) = wire.connection.open_bi().await.map_err(|_| None)?;
        // Fails only when the connection is gone, which the next step notices.
        let _ = send.set_priority(class.priority());
        send.write_all(&encode_stream_head(class, Use::Shared)).await.map_err(|_| None)?;
        let reader = FrameReader::new(receive, body_bytes_max);
        tokio::select! {
            ended = write_queued(&mut queued, &waiting, send) => ended,
            ended = read_replies(class, &waiting, reader) => ended,
        }
    };
    let failure: Result<(), Option<FrameError>> = ended.await;
    // A connection that is gone already keeps its reason.
    if let (Err(failure), None) = (failure, wire.connection.close_reason()) {
        let reason = failure.map_or_else(|| "a shared stream ended".to_owned(), |error| error.to_string());
        wire.connection.close(close_code::PROTOCOL, reason.as_bytes());
    }
    queued.close();
    let left = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    for waiter in left.into_iter().flatten().map(|(_, waiter)| waiter) {
        // A caller that has stopped waiting needs no answer.
        let _ = waiter.reply.send(Err(wire.lost(Delivery::Unknown)));
    }
}

/// Writes what is queued until the link is dropped.
async fn write_queued(
    queued: &mut mpsc::Receiver<Outgoing>,
    waiting: &Waiting,
    mut send: SendStream,
) -> Result<(), Option<FrameError>> {
    let mut next_id = 0;
    let mut taken = Vec::new();
    let mut batch = Batch::default();
    loop {
        if queued.recv_many(&mut taken, FRAMES_PER_WRITE_MAX).await == 0 {
            return Ok(());
        }
        // Who is about to queue more is let go first: packets and system calls are what a write costs, not bytes.
        tokio::task::yield_now().await;
        while taken.len() < FRAMES_PER_WRITE_MAX
            && let Ok(outgoing) = queued.try_recv()
        {
            taken.push(outgoing);
        }
        let now = Instant::now();
        {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(waiting) = waiting.as_mut() else { return Err(None) };
            for Outgoing { body, deadline, whose } in taken.drain(..) {
                let deadline_ms = left_ms(deadline, now);
                let Whose::Asked(waiter) = whose else {
                    batch.push(next_id, Kind::OneWay, deadline_ms, body);
                    continue;
                };
                waiter.sent.store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                if waiter.reply.is_closed() {
                    continue;
                }
                batch.push(next_id, Kind::Request, deadline_ms, body);
                waiting.insert(next_id, waiter);
                next_id += 1;
            }
        }
        let writes = batch.writes();
        send.write_all_chunks(writes).await.map_err(|_| None)?;
        writes.clear();
    }
}

/// Hands replies to those who wait for them.
async fn read_replies(
    class: Class,
    waiting: &Waiting,
    mut reader: FrameReader,
) -> Result<(), Option<FrameError>> {
    let mut arrived = Vec::new();
    loop {
        match reader.frame().await {
            Ok(Some(frame)) => arrived.push(frame),
            Ok(None) | Err(ReadFailure::Stream(_) | ReadFailure::CutOff) => return Err(None),
            Err(ReadFailure::Frame(error)) => return Err(Some(error)),
        }
        while let Some(frame) = reader.frame_at_hand().map_err(Some)? {
            arrived.push(frame);
        }
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = waiting.as_mut() else { return Err(None) };
        for (head, body) in arrived.drain(..) {
            if let Some(waiter) = waiting.remove(&head.id) {
                // A late reply, whose caller has stopped waiting, is dropped here.
                let _ = waiter.reply.send(outcome(class, head, body).map_err(Some)?);
            }
        }
    }
}

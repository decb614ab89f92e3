//! One stream of a peer's: its frames go to the handler, and what the handler says goes back.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use quinn::{RecvStream, SendStream};
use shardloom_sharding::ids::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::class::Class;
use crate::frame::{Batch, FrameError, FrameHead, Kind};
use crate::gate::Gate;
use crate::handler::Incoming;
use crate::reader::{FrameReader, ReadFailure};

/// Replies taken together for one write.
const REPLIES_PER_WRITE_MAX: usize = 256;
/// Frames handled before what they yielded is written: a peer that sends without end must still be answered.
const FRAMES_PER_TURN_MAX: usize = 256;

/// The far end of a connection.
pub(crate) struct Caller {
    pub(crate) from: Option<NodeId>,
    pub(crate) address: SocketAddr,
    in_flight: [Arc<Semaphore>; Class::ALL.len()],
    /// One shared stream per class is all that a connection needs, and bounds the memory that it can claim.
    shared: [AtomicBool; Class::ALL.len()],
}

/// A request's place among those under way, of its peer and of all.
struct Place {
    _of_peer: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// What goes back. The place is given back before the answer is written, so that whoever has an answer also has its place.
struct Answer {
    id: u64,
    kind: Kind,
    body: Bytes,
    _place: Option<Place>,
}

impl Answer {
    fn empty(id: u64, kind: Kind) -> Answer {
        Answer { id, kind, body: Bytes::new(), _place: None }
    }
}

impl Caller {
    pub(crate) fn new(from: Option<NodeId>, address: SocketAddr, options: &crate::PeerOptions) -> Caller {
        let in_flight = Class::ALL.map(|class| Arc::new(Semaphore::new(options.limits(class).in_flight_max)));
        Caller { from, address, in_flight, shared: Default::default() }
    }

    fn place(&self, gate: &Gate, class: Class) -> Option<Place> {
        let of_peer = Arc::clone(&self.in_flight[class.index()]).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&gate.handled[class.index()]).try_acquire_owned().ok()?;
        Some(Place { _of_peer: of_peer, _of_all: of_all })
    }

    fn incoming(&self, class: Class, deadline: Instant, body: Bytes) -> Incoming {
        Incoming { from: self.from, address: self.address, class, deadline, body }
    }
}

/// Serves a shared stream until the peer ends it.
pub(crate) async fn serve_shared(
    gate: &Gate,
    caller: &Caller,
    class: Class,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), FrameError> {
    if caller.shared[class.index()].swap(true, Ordering::Relaxed) {
        return Err(FrameError::Second(class));
    }
    // Fails only when the connection is gone, which the next step notices.
    let _ = send.set_priority(class.priority());
    let limits = gate.options.limits(class);
    let mut reader = FrameReader::new(receive, limits.body_bytes_max);
    let (answers, mut answered) = mpsc::channel(limits.in_flight_max);
    let mut stream =
        Shared { gate, caller, class, answers, handlers: JoinSet::new(), batch: Batch::default() };
    let mut taken = Vec::new();
    let ended = loop {
        tokio::select! {
            _ = answered.recv_many(&mut taken, REPLIES_PER_WRITE_MAX) => {
                for answer in taken.drain(..) {
                    stream.put(answer);
                }
            }
            frame = reader.frame() => match frame {
                Ok(Some((head, body))) => {
                    let first = stream.take(head, body).await;
                    let mut turn = first;
                    for _ in 1..FRAMES_PER_TURN_MAX {
                        if turn.is_err() {
                            break;
                        }
                        match reader.frame_at_hand() {
                            Ok(Some((head, body))) => turn = stream.take(head, body).await,
                            Ok(None) => break,
                            Err(error) => turn = Err(error),
                        }
                    }
                    if let Err(error) = turn {
                        break Err(error);
                    }
                }
                Ok(None) | Err(ReadFailure::Stream(_) | ReadFailure::CutOff) => break Ok(()),
                Err(ReadFailure::Frame(error)) => break Err(error),
            },
            Some(_) = stream.handlers.join_next() => {}
        }
        if stream.batch.len() > 0 {
            // As on the other side: more may be ready by then, and goes in the same packets.
            tokio::task::yield_now().await;
        }
        while stream.batch_has_room()
            && let Ok(answer) = answered.try_recv()
        {
            stream.put(answer);
        }
        if stream.batch.len() > 0 {
            let writes = stream.batch.writes();
            if send.write_all_chunks(writes).await.is_err() {
                break Ok(());
            }
            writes.clear();
        }
    };
    drop(answered);
    // Handlers that are under way go on, each until its deadline at most; nobody hears their answers.
    let mut handlers = stream.handlers;
    while handlers.join_next().await.is_some() {}
    ended
}

struct Shared<'a> {
    gate: &'a Gate,
    caller: &'a Caller,
    class: Class,
    answers: mpsc::Sender<Answer>,
    handlers: JoinSet<()>,
    batch: Batch,
}

impl Shared<'_> {
    async fn take(&mut self, head: FrameHead, body: Bytes) -> Result<(), FrameError> {
        let deadline = deadline_of(self.gate, self.class, &head);
        let incoming = self.caller.incoming(self.class, deadline, body);
        match head.kind {
            Kind::OneWay => {
                let handler = &self.gate.handler;
                let delivered = AssertUnwindSafe(async { handler.deliver(incoming).await }).catch_unwind();
                match timeout_at(deadline_of_delivery(self.gate, self.class).into(), delivered).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        tracing::error!(class = %self.class, "the handler of a one-way message panicked")
                    }
                    Err(_) => {
                        tracing::error!(class = %self.class, "the handler of a one-way message is stuck")
                    }
                }
            }
            Kind::Request => self.begin(head.id, deadline, incoming),
            other => return Err(FrameError::Misplaced(other)),
        }
        Ok(())
    }

    /// Starts a handler. One that answers at once needs no task of its own.
    fn begin(&mut self, id: u64, deadline: Instant, incoming: Incoming) {
        let Some(place) = self.caller.place(self.gate, self.class) else {
            return self.put(Answer::empty(id, Kind::Overloaded));
        };
        let handler = &self.gate.handler;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut handling = handler.handle(incoming);
            let poll = handling.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            (handling, poll)
        }));
        match polled {
            Ok((_, Poll::Ready(body))) => {
                self.put(Answer { id, kind: Kind::Reply, body, _place: Some(place) });
            }
            Ok((handling, Poll::Pending)) => {
                let answers = self.answers.clone();
                self.handlers.spawn(async move {
                    let (kind, body) = finish(handling, deadline).await;
                    // There is room for as many answers as can be in flight; it fails only when the stream has ended.
                    let _ = answers.send(Answer { id, kind, body, _place: Some(place) }).await;
                });
            }
            Err(_) => {
                tracing::error!(class = %self.class, "a handler panicked");
                self.put(Answer::empty(id, Kind::Failed));
            }
        }
    }

    fn put(&mut self, mut answer: Answer) {
        check_size(self.gate, self.class, &mut answer);
        self.batch.push(answer.id, answer.kind, 0, answer.body);
    }

    fn batch_has_room(&self) -> bool {
        self.batch.len() < REPLIES_PER_WRITE_MAX
    }
}

/// Serves a stream that carries one request.
pub(crate) async fn serve_own(
    gate: &Gate,
    caller: &Caller,
    class: Class,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), FrameError> {
    // Fails only when the connection is gone, which the next step notices.
    let _ = send.set_priority(class.priority());
    let mut reader = FrameReader::new(receive, gate.options.limits(class).body_bytes_max);
    let latest = Instant::now() + gate.options.limits(class).handling_max;
    let head = match timeout_at(latest.into(), reader.head()).await {
        Ok(Ok(Some(head))) if head.kind == Kind::Request => head,
        Ok(Ok(Some(head))) => return Err(FrameError::Misplaced(head.kind)),
        Ok(Err(ReadFailure::Frame(error))) => return Err(error),
        Ok(Ok(None) | Err(ReadFailure::Stream(_) | ReadFailure::CutOff)) | Err(_) => return Ok(()),
    };
    let deadline = deadline_of(gate, class, &head);
    let answered = async {
        let Some(_place) = caller.place(gate, class) else {
            return Ok(Some((Kind::Overloaded, Bytes::new())));
        };
        let kib = head.body_bytes.div_ceil(1024).min(gate.options.incoming_bytes_max.div_ceil(1024));
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let Ok(_memory) = gate.incoming_kib.acquire_many(kib).await else { return Ok(None) };
        let body = match reader.body().await {
            Ok(body) => body,
            Err(ReadFailure::Frame(error)) => return Err(error),
            // The peer gave up: it does not want an answer either.
            Err(ReadFailure::Stream(_) | ReadFailure::CutOff) => return Ok(None),
        };
        let handler = &gate.handler;
        let incoming = caller.incoming(class, deadline, body);
        let handling = AssertUnwindSafe(async { handler.handle(incoming).await }).catch_unwind();
        Ok(Some(handling.await.map_or_else(|_| failed(), |body| (Kind::Reply, body))))
    };
    let answered = timeout_at(deadline.into(), answered)
        .await
        .unwrap_or_else(|_| Ok(Some((Kind::Expired, Bytes::new()))));
    let Some((kind, body)) = answered? else { return Ok(()) };
    let mut answer = Answer { id: head.id, kind, body, _place: None };
    check_size(gate, class, &mut answer);
    let mut batch = Batch::default();
    batch.push(answer.id, answer.kind, 0, answer.body);
    // A reply is given as long again as its request had; nobody waits for it after that.
    let patience = deadline.saturating_duration_since(Instant::now()).max(REPLY_WRITE_MIN);
    let written = timeout_at((Instant::now() + patience).into(), send.write_all_chunks(batch.writes())).await;
    if matches!(written, Ok(Ok(()))) {
        // Fails only when the peer has stopped reading.
        let _ = send.finish();
    }
    Ok(())
}

/// How long writing a reply is tried at least: also an `Expired` one is worth telling.
const REPLY_WRITE_MIN: Duration = Duration::from_secs(1);

async fn finish(handling: BoxFuture<'static, Bytes>, deadline: Instant) -> (Kind, Bytes) {
    match timeout_at(deadline.into(), AssertUnwindSafe(handling).catch_unwind()).await {
        Ok(Ok(body)) => (Kind::Reply, body),
        Ok(Err(_)) => failed(),
        Err(_) => (Kind::Expired, Bytes::new()),
    }
}

fn failed() -> (Kind, Bytes) {
    tracing::error!("a handler panicked");
    (Kind::Failed, Bytes::new())
}

/// A reply too large for its class is the handler's fault, and its caller must hear of it.
fn check_size(gate: &Gate, class: Class, answer: &mut Answer) {
    let bytes_max = gate.options.limits(class).body_bytes_max;
    if answer.body.len() > bytes_max {
        tracing::error!(%class, bytes = answer.body.len(), bytes_max, "a handler's reply is too large");
        *answer = Answer::empty(answer.id, Kind::Failed);
    }
}

fn deadline_of(gate: &Gate, class: Class, head: &FrameHead) -> Instant {
    let asked = Duration::from_millis(u64::from(head.deadline_ms));
    Instant::now() + asked.min(gate.options.limits(class).handling_max)
}

/// A one-way message is delivered however late it comes, for the order's sake; a stuck handler must not hold the stream.
fn deadline_of_delivery(gate: &Gate, class: Class) -> Instant {
    Instant::now() + gate.options.limits(class).handling_max
}

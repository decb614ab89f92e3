//! The clients: each makes one call after the other, as soon as it is free in a closed loop, when the schedule says so in an open one.
//!
//! All of them run in one thread. A connection is a descriptor and a buffer, so thousands of clients cost little, and what one thread does not get
//! done shows as its own figure beside the cluster's.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use super::answer::{Failure, Head};
use super::connection::Connection;
use super::draw::{Draw, Drawn};
use super::nodes::Nodes;
use super::owners::Owners;
use super::requests::Requests;
use super::schedule::Schedule;
use super::tally::{Ended, Part, Tally};

/// How much longer than its time a call is waited for: the node's own word on it comes just after.
const ANSWER_SLACK: Duration = Duration::from_secs(3);
/// How late a call of an open loop begins that counts as late.
const LATE: Duration = Duration::from_millis(1);
/// How long a client of a closed loop rests when no node can be reached: failures at the speed of the processor say no more.
const PAUSE: Duration = Duration::from_millis(100);

/// Where calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Through {
    /// Any node at random.
    All,
    /// Always the first of --server.
    One,
    /// The owner of the key's shard, as far as it is known.
    Owner,
}

/// When calls begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loop {
    /// So many clients, each without pause.
    Closed {
        /// Clients.
        clients: usize,
    },
    /// At a steady rate.
    Open {
        /// Calls a second.
        per_second: f64,
        /// Calls at once at most.
        outstanding: usize,
    },
}

/// What all clients share.
pub(super) struct Load {
    pub(super) requests: Requests,
    pub(super) nodes: RefCell<Nodes>,
    pub(super) owners: RefCell<Owners>,
    pub(super) draw: RefCell<Draw>,
    /// How long a call may take.
    pub(super) time: Duration,
    /// What was seen since somebody looked last.
    pub(super) recent: RefCell<Part>,
    /// When no more calls were to begin, if that came before its time.
    pub(super) stopped: Cell<Option<Instant>>,
    /// Wakes those that wait to begin a call.
    pub(super) stop: CancellationToken,
    /// Calls that are under way are given up.
    pub(super) give_up: CancellationToken,
}

/// A stretch of time in which calls are made in one way.
struct Slice<'a> {
    through: Through,
    end: Instant,
    /// None in a closed loop.
    pace: Option<Pace>,
    tally: &'a RefCell<Tally>,
}

/// Whoever is free waits here in line, the first one for the clock.
struct Pace {
    schedule: Mutex<Schedule>,
    alarm: Alarm,
}

/// What a call has come to, before it is counted.
struct Came {
    outcome: Result<(), Failure>,
    /// The node that ran it.
    ran_on: Option<usize>,
    /// Nothing was sent, since nobody was there.
    unreachable: bool,
}

impl Load {
    /// Makes calls for so long, and waits until the last of them has ended.
    ///
    /// # Errors
    /// If the system gives no clock.
    pub(super) async fn run(
        &self,
        through: Through,
        pattern: Loop,
        time: Duration,
        tally: &RefCell<Tally>,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        let (clients, pace) = match pattern {
            Loop::Closed { clients } => (clients, None),
            Loop::Open { per_second, outstanding } => {
                let schedule = Mutex::new(Schedule::new(begin, per_second));
                (outstanding, Some(Pace { schedule, alarm: Alarm::new()? }))
            }
        };
        let slice = Slice { through, end: begin + time, pace, tally };
        let mut running: FuturesUnordered<_> = (0..clients).map(|_| self.client(&slice)).collect();
        while let Some(ended) = running.next().await {
            ended?;
        }
        drop(running);
        let end = self.stopped.get().map_or(slice.end, |stopped| stopped.clamp(begin, slice.end));
        let mut tally = tally.borrow_mut();
        tally.time += end - begin;
        if let Some(pace) = slice.pace {
            tally.not_started += pace.schedule.into_inner().missed(end);
        }
        Ok(())
    }

    /// No more calls begin.
    pub(super) fn stop(&self) {
        self.stopped.set(Some(Instant::now()));
        self.stop.cancel();
    }

    async fn client(&self, slice: &Slice<'_>) -> anyhow::Result<()> {
        let mut request = Vec::new();
        while let Some(due) = self.next(slice).await? {
            let drawn = self.draw.borrow_mut().call();
            let begun = Instant::now();
            let asked = self.choose(slice.through, drawn.key, begun);
            let came = self.call(asked, drawn, &mut request).await;
            if came.unreachable && slice.through == Through::Owner {
                self.owners.borrow_mut().forget(drawn.key);
            }
            let ended = Ended {
                node: came.ran_on.unwrap_or(asked),
                method: drawn.method,
                outcome: came.outcome.map(|()| due.elapsed()),
                direct: came.ran_on == Some(asked),
                late: begun.saturating_duration_since(due) > LATE,
            };
            self.recent.borrow_mut().note(ended.outcome.as_ref().ok().copied());
            slice.tally.borrow_mut().note(ended);
            let nobody = came.unreachable && self.nodes.borrow().all_rest(Instant::now());
            if nobody && slice.pace.is_none() {
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// When the next call is to begin, once it is; none if no more calls are to begin.
    async fn next(&self, slice: &Slice<'_>) -> anyhow::Result<Option<Instant>> {
        let Some(pace) = &slice.pace else {
            let now = Instant::now();
            return Ok((now < slice.end && self.stopped.get().is_none()).then_some(now));
        };
        let mut schedule = pace.schedule.lock().await;
        let due = schedule.due();
        if due >= slice.end || self.stopped.get().is_some() || Instant::now() >= slice.end {
            return Ok(None);
        }
        tokio::select! {
            biased;
            rung = pace.alarm.sleep_until(due) => rung?,
            () = self.stop.cancelled() => return Ok(None),
        }
        schedule.advance();
        Ok(Some(due))
    }

    fn choose(&self, through: Through, key: u32, now: Instant) -> usize {
        let nodes = self.nodes.borrow();
        let owner = || self.owners.borrow().of(key).filter(|owner| nodes.is_usable(*owner, now));
        let chosen = match through {
            Through::One => Some(0),
            Through::Owner => owner(),
            Through::All => None,
        };
        chosen.unwrap_or_else(|| nodes.any(now, |count| self.draw.borrow_mut().one_of(count)))
    }

    /// Makes one call.
    async fn call(&self, asked: usize, drawn: Drawn, request: &mut Vec<u8>) -> Came {
        let sent = Cell::new(false);
        let exchange = timeout(self.time + ANSWER_SLACK, self.exchange(asked, drawn, request, &sent));
        let failure = tokio::select! {
            biased;
            came = exchange => match came {
                Ok(Ok((connection, head))) => return self.answered(asked, drawn.key, connection, &head),
                Ok(Err(words)) if sent.get() => Failure::own("connection-lost", "unknown", words),
                Ok(Err(words)) => Failure::own("unreachable", "no", words),
                Err(_) if sent.get() => Failure::own("no-answer", "unknown", "the node did not answer in time"),
                Err(_) => Failure::own("unreachable", "no", "no connection in time"),
            },
            () = self.give_up.cancelled() => {
                let executed = if sent.get() { "unknown" } else { "no" };
                Failure::own("given-up", executed, "the run was ended before the node had answered")
            }
        };
        let unreachable = failure.code == "unreachable";
        if unreachable {
            self.nodes.borrow_mut().unreachable(asked, Instant::now());
        }
        Came { outcome: Err(failure), ran_on: None, unreachable }
    }

    async fn exchange(
        &self,
        asked: usize,
        drawn: Drawn,
        request: &mut Vec<u8>,
        sent: &Cell<bool>,
    ) -> Result<(Connection, Head), String> {
        let kept = self.nodes.borrow_mut().take(asked, Instant::now());
        let target = {
            let nodes = self.nodes.borrow();
            self.requests.write(drawn.method, drawn.key, nodes.name(asked).1, request);
            if kept.is_some() { None } else { nodes.target(asked).cloned() }
        };
        let mut connection = match (kept, target) {
            (Some(connection), _) => connection,
            (None, Some(target)) => Connection::open(&target).await?,
            (None, None) => return Err("it does not say where it can be reached".into()),
        };
        sent.set(true);
        let head = connection.exchange(request, self.requests.head_only(drawn.method)).await?;
        Ok((connection, head))
    }

    fn answered(&self, asked: usize, key: u32, connection: Connection, head: &Head) -> Came {
        let mut nodes = self.nodes.borrow_mut();
        let ran_on = head.node.and_then(|id| nodes.answered(id, connection.told_address(head)));
        if let (Some(node), Some(shard)) = (ran_on, head.shard) {
            self.owners.borrow_mut().note(key, shard, node);
        }
        let outcome = if head.status < 400 { Ok(()) } else { Err(connection.failure(head)) };
        if head.stays {
            nodes.keep(asked, connection);
        }
        Came { outcome, ran_on, unreachable: false }
    }
}

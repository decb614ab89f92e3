//! Clients that read and write shared objects while something happens to the nodes.
//!
//! Some clients talk to nodes that nothing happens to, and every call of theirs must be answered. The others talk to the nodes that are hurt: they
//! wait a short time, and go on with another call, so that some of their calls are carried out long after they have given up. Only an addition is
//! made again, under the same idempotency key and through any node, until it has an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::attempt::{Attempt, End};
use super::record::Record;
use super::subject::Subject;
use crate::history::{AppendList, Counter, History, Operation, Register};
use crate::history::{append_list, counter, register};
use crate::http::{Http, Reply};
use crate::random::Random;

/// The most clients: each is a source of operations without an answer, and the search for an order grows with those.
pub const CLIENTS_MAX: usize = 8;
/// Keys of each kind: few enough that the clients meet, and enough to be on shards of every node.
const KEYS: usize = 16;
/// Lines of a list; then its place is taken by a new one, so that answers stay small.
const LINES_MAX: usize = 300;
/// How long a node that must answer keeps a call, whatever happens to the owner.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one that is hurt is given.
const PATIENCE_HURT: Duration = Duration::from_secs(3);
/// How long an addition is made again.
const AGAIN_MAX: Duration = Duration::from_secs(90);
/// How long a client rests when a call has failed: a dead node fails calls faster than they are worth writing down.
const REST: Duration = Duration::from_millis(20);

/// How the load is made.
pub struct SharedLoad {
    /// Nodes through which every call must be answered; unless [`SharedLoad::hurt`] lists all.
    pub steady: Vec<String>,
    /// Nodes to which something happens.
    pub hurt: Vec<String>,
    /// How many clients, at most [`CLIENTS_MAX`]. A quarter of them talk to the hurt nodes, if there are any.
    pub clients: usize,
    /// Decides what is called.
    pub seed: u64,
    /// Tells the keys of this load from those of others.
    pub name: String,
    /// How many calls have been answered so far.
    pub made: AtomicU64,
}

impl SharedLoad {
    /// The workloads that must be deployed, each under the name of its guest.
    pub const WORKLOADS: [&str; 3] = [Register::WORKLOAD, AppendList::WORKLOAD, Counter::WORKLOAD];

    /// Makes the load while `act` runs, then looks at every object once more.
    ///
    /// # Errors
    /// As `act`; a client could not go on.
    pub fn during<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Record)> {
        ensure!((1..=CLIENTS_MAX).contains(&self.clients), "there must be 1 to {CLIENTS_MAX} clients");
        let shared = Shared { load: self, origin: Instant::now(), values: AtomicU64::new(0), lists: lists() };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients)
                .map(|number| {
                    let (done, shared) = (&done, &shared);
                    scope.spawn(move || {
                        let mut client = Client::new(shared, number);
                        while !done.load(Ordering::Relaxed) {
                            client.act();
                        }
                        client.record
                    })
                })
                .collect();
            let acted = act();
            done.store(true, Ordering::Relaxed);
            let mut record = Record::default();
            for client in clients {
                record.join(client.join().map_err(|_| anyhow!("a client panicked"))?);
            }
            let acted = acted?;
            let mut last = Client::new(&shared, self.clients);
            last.must_answer = true;
            last.look_at_all(&record)?;
            record.join(last.record);
            Ok((acted, record))
        })
    }
}

fn lists() -> Vec<AtomicU64> {
    (0..KEYS).map(|_| AtomicU64::new(0)).collect()
}

/// What the clients of one load share.
struct Shared<'a> {
    load: &'a SharedLoad,
    /// The zero of all times.
    origin: Instant,
    /// Counts values and lines, so that no two are alike.
    values: AtomicU64,
    /// Which list stands in each place.
    lists: Vec<AtomicU64>,
}

/// What is known of a call in the end.
enum Known<A> {
    /// Its answer, and when it was there.
    Answered(u64, A),
    /// Nothing: it may have been carried out.
    Nothing,
    /// That it was not.
    NotExecuted,
}

struct Client<'a> {
    shared: &'a Shared<'a>,
    number: usize,
    http: Http,
    random: Random,
    /// Where it calls, in turn; and where an addition is made again.
    nodes: &'a [String],
    others: &'a [String],
    must_answer: bool,
    turn: usize,
    /// What registers were seen to hold.
    seen: BTreeMap<usize, Option<u64>>,
    record: Record,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared<'a>, number: usize) -> Self {
        let load = shared.load;
        let hurt = !load.hurt.is_empty() && number < load.clients.div_ceil(4) || load.steady.is_empty();
        let (nodes, others) =
            if hurt { (&load.hurt[..], &load.steady[..]) } else { (&load.steady[..], &load.hurt[..0]) };
        Self {
            shared,
            number,
            http: Http::with_connections(1),
            random: Random::new(load.seed, number as u64),
            nodes,
            others,
            must_answer: !hurt,
            turn: number,
            seen: BTreeMap::new(),
            record: Record::default(),
        }
    }

    fn act(&mut self) {
        let place = self.random.below(KEYS);
        match self.random.below(3) {
            0 => self.register(place),
            1 => self.list(place),
            _ => self.counter(place),
        }
    }

    fn value(&self) -> u64 {
        self.shared.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn register(&mut self, place: usize) {
        use register::{Answer, Call};
        let expected = self.seen.get(&place).copied().flatten();
        let call = match self.random.below(20) {
            0..10 => Call::Get,
            10..14 => Call::Put(self.value()),
            14 => Call::Delete,
            _ => Call::Cas(expected, self.value()),
        };
        let key = format!("{}-{place}", self.shared.load.name);
        let answer = self.operate::<Register>(&key, call.clone(), |record| &mut record.registers);
        match (answer, call) {
            (Some(Answer::Value(value)), _) => drop(self.seen.insert(place, value)),
            (Some(Answer::Done), Call::Put(value) | Call::Cas(_, value)) => {
                self.seen.insert(place, Some(value));
            }
            (Some(Answer::Done), _) => drop(self.seen.insert(place, None)),
            _ => {}
        }
    }

    fn list(&mut self, place: usize) {
        use append_list::{Answer, Call};
        let newest = self.shared.lists[place].load(Ordering::Relaxed);
        let call = if self.random.percent(50) { Call::Append(self.value()) } else { Call::Get };
        // Full lists are read now and then: what was in them must stay.
        let old = call == Call::Get && self.random.percent(10);
        let list = if old { self.random.below(newest as usize + 1) as u64 } else { newest };
        let key = format!("{}-{place}-{list}", self.shared.load.name);
        let answer = self.operate::<AppendList>(&key, call, |record| &mut record.lists);
        if let Some(Answer::Length(LINES_MAX)) = answer {
            self.shared.lists[place].fetch_max(list + 1, Ordering::Relaxed);
        }
    }

    fn counter(&mut self, place: usize) {
        use counter::Call;
        let add = self.random.percent(50);
        let call = if add { Call::Add(1 + self.random.below(1_000) as u64) } else { Call::Get };
        let key = format!("{}-{place}", self.shared.load.name);
        self.operate::<Counter>(&key, call, |record| &mut record.counters);
    }

    /// One operation: sent, and noted unless it is known that it was not carried out.
    fn operate<S: Subject>(
        &mut self,
        key: &str,
        call: S::Call,
        history: fn(&mut Record) -> &mut History<S>,
    ) -> Option<S::Answer> {
        let invoked = self.nanoseconds(Instant::now());
        let end = match self.send::<S>(key, &call) {
            Known::Answered(at, answer) => Some((at, answer)),
            Known::Nothing => None,
            Known::NotExecuted => return None,
        };
        let answer = end.as_ref().map(|(_, answer)| answer.clone());
        if answer.is_some() {
            self.shared.load.made.fetch_add(1, Ordering::Relaxed);
            self.record.writes += u64::from(!S::is_read(&call));
        }
        let operation = Operation { client: self.number, invoked, call, end };
        history(&mut self.record).note(key, operation);
        answer
    }

    fn send<S: Subject>(&mut self, key: &str, call: &S::Call) -> Known<S::Answer> {
        let (method, body) = S::request(call);
        let again = S::WORKLOAD == Counter::WORKLOAD && !S::is_read(call);
        let idempotency = again.then(|| format!("{}-{}-{}", self.shared.load.name, self.number, self.turn));
        let attempt = Attempt {
            workload: S::WORKLOAD,
            key,
            method,
            body: &body,
            idempotency: idempotency.as_deref(),
            patience: if self.must_answer { PATIENCE } else { PATIENCE_HURT },
        };
        let begun = Instant::now();
        let mut known = Known::NotExecuted;
        let mut nodes = self.nodes;
        loop {
            self.turn += 1;
            match attempt.send(&self.http, &nodes[self.turn % nodes.len()]) {
                End::Answered(reply) => {
                    if self.must_answer {
                        self.record.slowest = self.record.slowest.max(begun.elapsed());
                    }
                    return self.answered::<S>(key, call, &reply);
                }
                End::NotExecuted(words) => self.failed(words),
                End::Unknown(words) => {
                    known = Known::Nothing;
                    self.failed(words);
                }
            }
            if !again || begun.elapsed() > AGAIN_MAX {
                return known;
            }
            nodes = if self.others.is_empty() { self.nodes } else { self.others };
        }
    }

    fn answered<S: Subject>(&mut self, key: &str, call: &S::Call, reply: &Reply) -> Known<S::Answer> {
        if let Err(error) = self.record.witness.note(reply) {
            self.record.wrong.push(format!("{error:#}"));
        }
        self.record.replayed += u64::from(!reply.header("idempotent-replayed").is_empty());
        match S::read(call, reply) {
            Ok(answer) => Known::Answered(self.nanoseconds(reply.answered), answer),
            Err(error) => {
                self.record.wrong.push(format!("{call:?} of {} {key}: {error:#}", S::WORKLOAD));
                Known::Nothing
            }
        }
    }

    fn failed(&mut self, words: String) {
        if self.must_answer {
            self.record.failures.push(words);
        }
        thread::sleep(REST);
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.shared.origin).as_nanos() as u64
    }

    /// Reads every object once more: an acknowledged write that is lost shows at the latest now.
    fn look_at_all(&mut self, record: &Record) -> Result<()> {
        let unread = |key: &str| format!("{key} could not be read at the end");
        for key in record.registers.keys() {
            let call = register::Call::Get;
            self.operate::<Register>(key, call, |record| &mut record.registers)
                .with_context(|| unread(key))?;
        }
        for key in record.lists.keys() {
            let call = append_list::Call::Get;
            self.operate::<AppendList>(key, call, |record| &mut record.lists).with_context(|| unread(key))?;
        }
        for key in record.counters.keys() {
            let call = counter::Call::Get;
            self.operate::<Counter>(key, call, |record| &mut record.counters).with_context(|| unread(key))?;
        }
        Ok(())
    }
}

//! Money that is moved between accounts while something happens to the nodes: none may be made, none lost, and every transfer that was
//! acknowledged counts once.
//!
//! A transfer carries an idempotency key, and is made again through the next node until it has an answer. So in the end the books of the clients
//! say what each account must hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;

use crate::http::{Http, Reply};
use crate::random::Random;
use crate::shared::attempt::{Attempt, End};

/// The guest, and the name it is deployed under.
pub const WORKLOAD: &str = "bank";
/// Tenants: so many that a shard does not forget the replies of transfers that may still be made again.
const TENANTS: usize = 48;
/// Accounts of each.
const ACCOUNTS: usize = 20;
/// What each account begins with: so much that no transfer is ever refused.
const OPENING: u64 = 1_000_000_000;
/// The most that one transfer moves.
const AMOUNT_MAX: usize = 1_000;
/// How long a node is given for a call, before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a call is made again.
const AGAIN_MAX: Duration = Duration::from_secs(120);
/// How long a client rests when a call has failed.
const REST: Duration = Duration::from_millis(20);

/// How the load is made.
pub struct BankLoad {
    /// The nodes that are called, in turn.
    pub nodes: Vec<String>,
    /// How many clients.
    pub clients: usize,
    /// Decides who pays whom how much.
    pub seed: u64,
    /// Tells the tenants of this load from those of others.
    pub name: String,
    /// How many calls have been answered so far.
    pub made: AtomicU64,
}

/// What the clients have done and seen.
#[derive(Default)]
pub struct Books {
    /// By how much each account must have changed: by tenant and account.
    changes: BTreeMap<(usize, usize), i64>,
    /// Acknowledged transfers.
    pub transfers: u64,
    /// How often all accounts of a tenant were added up.
    pub checks: u64,
    /// Attempts that failed, and were made again.
    pub again: u64,
    /// Transfers that were answered from an earlier attempt.
    pub replayed: u64,
    /// The longest that a call took, all attempts counted.
    pub slowest: Duration,
}

impl Books {
    fn join(&mut self, other: Books) {
        for (account, change) in other.changes {
            *self.changes.entry(account).or_default() += change;
        }
        self.transfers += other.transfers;
        self.checks += other.checks;
        self.again += other.again;
        self.replayed += other.replayed;
        self.slowest = self.slowest.max(other.slowest);
    }
}

impl BankLoad {
    /// Opens the accounts, moves money while `act` runs, and holds every account against the books in the end.
    ///
    /// # Errors
    /// As `act`; money was made or lost; a call was not answered, however often it was made.
    pub fn during<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Books)> {
        let mut teller = Teller::new(self, self.clients);
        (0..TENANTS)
            .try_for_each(|tenant| (0..ACCOUNTS).try_for_each(|account| teller.open(tenant, account)))?;
        let done = AtomicBool::new(false);
        let (acted, mut books) = thread::scope(|scope| {
            let tellers: Vec<_> = (0..self.clients)
                .map(|number| {
                    let done = &done;
                    scope.spawn(move || {
                        let mut teller = Teller::new(self, number);
                        while !done.load(Ordering::Relaxed) {
                            teller.act()?;
                        }
                        Ok::<_, anyhow::Error>(teller.books)
                    })
                })
                .collect();
            let acted = act();
            done.store(true, Ordering::Relaxed);
            let mut books = Books::default();
            for teller in tellers {
                books.join(teller.join().map_err(|_| anyhow!("a client panicked"))??);
            }
            Ok::<_, anyhow::Error>((acted?, books))
        })?;
        for tenant in 0..TENANTS {
            let found = teller.balances(tenant)?;
            for account in 0..ACCOUNTS {
                let change = books.changes.get(&(tenant, account)).copied().unwrap_or_default();
                let (must, holds) = (OPENING.checked_add_signed(change), found.get(&name(account)).copied());
                ensure!(
                    must == holds,
                    "account {account} of tenant {tenant} holds {holds:?}; by what was acknowledged it must be {must:?}"
                );
            }
        }
        books.join(teller.books);
        Ok((acted, books))
    }
}

fn name(account: usize) -> String {
    format!("a{account}")
}

struct Teller<'a> {
    load: &'a BankLoad,
    number: usize,
    http: Http,
    random: Random,
    turn: usize,
    books: Books,
}

impl<'a> Teller<'a> {
    fn new(load: &'a BankLoad, number: usize) -> Self {
        let random = Random::new(load.seed, number as u64);
        Self { load, number, http: Http::with_connections(1), random, turn: number, books: Books::default() }
    }

    fn act(&mut self) -> Result<()> {
        let tenant = self.random.below(TENANTS);
        if self.random.percent(50) { self.transfer(tenant) } else { self.balances(tenant).map(drop) }
    }

    fn open(&mut self, tenant: usize, account: usize) -> Result<()> {
        let body = json!({ "account": name(account), "amount": OPENING }).to_string();
        self.ask(tenant, "open", body.as_bytes()).map(drop)
    }

    fn transfer(&mut self, tenant: usize) -> Result<()> {
        let from = self.random.below(ACCOUNTS);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = 1 + self.random.below(AMOUNT_MAX);
        let body = json!({ "from": name(from), "to": name(to), "amount": amount }).to_string();
        let reply = self.ask(tenant, "transfer", body.as_bytes())?;
        self.books.replayed += u64::from(!reply.header("idempotent-replayed").is_empty());
        self.books.transfers += 1;
        *self.books.changes.entry((tenant, from)).or_default() -= amount as i64;
        *self.books.changes.entry((tenant, to)).or_default() += amount as i64;
        Ok(())
    }

    /// All accounts of a tenant, which together hold what they began with.
    fn balances(&mut self, tenant: usize) -> Result<BTreeMap<String, u64>> {
        let balances: BTreeMap<String, u64> = self.ask(tenant, "balances", b"")?.json()?;
        let (sum, must): (u64, u64) = (balances.values().sum(), OPENING * ACCOUNTS as u64);
        ensure!(
            balances.len() == ACCOUNTS && sum == must,
            "the {} accounts of tenant {tenant} hold {sum}, must hold {must}: {balances:?}",
            balances.len()
        );
        self.books.checks += 1;
        Ok(balances)
    }

    /// Makes a call until it is answered.
    fn ask(&mut self, tenant: usize, method: &str, body: &[u8]) -> Result<Reply> {
        let key = format!("{}-{tenant}", self.load.name);
        let idempotency = format!("{}-{}-{}", self.load.name, self.number, self.turn);
        let writes = method != "balances";
        let attempt = Attempt {
            workload: WORKLOAD,
            key: &key,
            method,
            body,
            idempotency: writes.then_some(idempotency.as_str()),
            patience: PATIENCE,
        };
        let begun = Instant::now();
        loop {
            self.turn += 1;
            let node = &self.load.nodes[self.turn % self.load.nodes.len()];
            let words = match attempt.send(&self.http, node) {
                End::Answered(reply) => {
                    self.books.slowest = self.books.slowest.max(begun.elapsed());
                    self.load.made.fetch_add(1, Ordering::Relaxed);
                    return reply.good().with_context(|| format!("{method} for tenant {tenant}"));
                }
                End::NotExecuted(words) | End::Unknown(words) => words,
            };
            self.books.again += 1;
            if begun.elapsed() > AGAIN_MAX {
                bail!(
                    "{method} for tenant {tenant} was not answered within {AGAIN_MAX:?}; the last: {words}"
                );
            }
            thread::sleep(REST);
        }
    }
}

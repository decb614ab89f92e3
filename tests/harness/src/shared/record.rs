//! What the clients of shared objects have seen, and the verdict on it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::history::{AppendList, Counter, History, Model, Operation, Register};
use crate::witness::Witness;

/// Everything that one or several clients have seen.
#[derive(Default)]
pub struct Record {
    /// What registers were asked and have said.
    pub registers: History<Register>,
    /// What lists were asked and have said.
    pub lists: History<AppendList>,
    /// What counters were asked and have said.
    pub counters: History<Counter>,
    /// Attempts through nodes that must answer, and did not, in words.
    pub failures: Vec<String>,
    /// Answers that no such object gives, in words.
    pub wrong: Vec<String>,
    /// Answered operations that wrote.
    pub writes: u64,
    /// Answers that were made for an earlier attempt under the same idempotency key.
    pub replayed: u64,
    /// The longest that an operation took through nodes that must answer.
    pub slowest: Duration,
    /// Who answered under which epoch.
    pub witness: Witness,
}

/// The figures of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answered operations.
    pub operations: u64,
    /// Those of them that wrote.
    pub writes: u64,
    /// Operations of which nobody knows whether they were carried out.
    pub pending: u64,
    /// Keys.
    pub keys: u64,
    /// The longest time in which no operation was answered.
    pub gap: Duration,
}

impl Record {
    /// Adds what another client has seen.
    pub fn join(&mut self, other: Record) {
        self.registers.join(other.registers);
        self.lists.join(other.lists);
        self.counters.join(other.counters);
        self.failures.extend(other.failures);
        self.wrong.extend(other.wrong);
        self.writes += other.writes;
        self.replayed += other.replayed;
        self.slowest = self.slowest.max(other.slowest);
        if let Err(error) = self.witness.join(other.witness) {
            self.wrong.push(format!("{error:#}"));
        }
    }

    /// Whether every object's operations have an order.
    ///
    /// # Errors
    /// The first object whose operations have none.
    pub fn histories(&self) -> Result<()> {
        self.registers.verdict().context("a register")?;
        self.lists.verdict().context("a list")?;
        self.counters.verdict().context("a counter")
    }

    /// Whether besides every answer is one that such objects give, and none came under an epoch that was over. Calls may have failed.
    ///
    /// # Errors
    /// The first that is not.
    pub fn contradictions(&self) -> Result<()> {
        self.histories()?;
        let wrong = self.wrong.len();
        ensure!(wrong == 0, "{wrong} answers that cannot be, the first: {}", self.wrong[0]);
        self.witness.verdict()
    }

    /// Whether besides every call was answered through the nodes that must answer.
    ///
    /// # Errors
    /// The first that was not.
    pub fn verdict(&self) -> Result<()> {
        self.contradictions()?;
        let failed = self.failures.len();
        ensure!(failed == 0, "{failed} calls failed, the first: {}", self.failures[0]);
        Ok(())
    }

    /// Counts.
    pub fn figures(&self) -> Figures {
        let mut times = Times::default();
        times.of(&self.registers);
        times.of(&self.lists);
        times.of(&self.counters);
        Figures {
            operations: times.answered.len() as u64,
            writes: self.writes,
            pending: times.pending,
            keys: times.keys,
            gap: times.gap(),
        }
    }
}

#[derive(Default)]
struct Times {
    answered: Vec<u64>,
    pending: u64,
    keys: u64,
}

impl Times {
    fn of<M: Model>(&mut self, history: &History<M>) {
        self.keys += history.keys().count() as u64;
        let end = |one: &Operation<M>| one.end.as_ref().map(|(at, _)| *at);
        for end in history.operations().map(end) {
            match end {
                Some(at) => self.answered.push(at),
                None => self.pending += 1,
            }
        }
    }

    fn gap(mut self) -> Duration {
        self.answered.sort_unstable();
        let gap = self.answered.windows(2).map(|pair| pair[1] - pair[0]).max();
        Duration::from_nanos(gap.unwrap_or_default())
    }
}

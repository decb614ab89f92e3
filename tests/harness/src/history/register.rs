//! A register with compare-and-set, as the guest `kv` has one per key.

use super::model::Model;

/// A value, or none. Every write has a value of its own, so that a read tells which one it saw.
#[derive(Debug)]
pub struct Register;

/// What a client asks of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The value.
    Get,
    /// To hold this.
    Put(u64),
    /// To hold nothing.
    Delete,
    /// To hold the second, if it holds the first.
    Cas(Option<u64>, u64),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is the value, or there is none.
    Value(Option<u64>),
    /// It is done.
    Done,
    /// The value is another than was expected.
    Conflict,
}

impl Model for Register {
    type State = Option<u64>;
    type Call = Call;
    type Answer = Answer;

    fn is_read(call: &Call) -> bool {
        *call == Call::Get
    }

    fn may_reach(_: &Option<u64>, _: &Answer) -> bool {
        true
    }

    fn apply(state: &Option<u64>, call: &Call) -> (Option<u64>, Answer) {
        match *call {
            Call::Get => (*state, Answer::Value(*state)),
            Call::Put(value) => (Some(value), Answer::Done),
            Call::Delete => (None, Answer::Done),
            Call::Cas(expected, value) if expected == *state => (Some(value), Answer::Done),
            Call::Cas(..) => (*state, Answer::Conflict),
        }
    }
}

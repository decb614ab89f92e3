//! A total, as the guest `counter` has one per key.

use super::model::Model;

/// A total that grows by what is added. An addition that is made again under the same idempotency key is one operation.
#[derive(Debug)]
pub struct Counter;

/// What a client asks of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The total.
    Get,
    /// So much more.
    Add(u64),
}

/// The total, after the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total(pub u64);

impl Model for Counter {
    type State = u64;
    type Call = Call;
    type Answer = Total;

    fn is_read(call: &Call) -> bool {
        *call == Call::Get
    }

    fn may_reach(state: &u64, total: &Total) -> bool {
        total.0 >= *state
    }

    fn apply(state: &u64, call: &Call) -> (u64, Total) {
        let total = match *call {
            Call::Get => *state,
            Call::Add(amount) => state + amount,
        };
        (total, Total(total))
    }
}

//! An object as a pure function, and one operation on it as a client saw it.

use std::fmt::Debug;
use std::hash::Hash;

/// A kind of object: what a call does to its state, and what it is answered.
pub trait Model: Debug {
    /// What the object holds; the default is what it holds at first.
    type State: Clone + Debug + Default + Eq + Hash;
    /// What a client asks.
    type Call: Clone + Debug;
    /// What it is told.
    type Answer: Clone + Debug + PartialEq;

    /// Whether a call never changes anything.
    fn is_read(call: &Self::Call) -> bool;

    /// Whether an answer can still be given some time after this state; true where that is not known. It spares the search guesses.
    fn may_reach(state: &Self::State, answer: &Self::Answer) -> bool;

    /// Carries out a call: the state after it, and its answer.
    fn apply(state: &Self::State, call: &Self::Call) -> (Self::State, Self::Answer);
}

/// One operation. Times are nanoseconds on one monotonic clock.
#[derive(Debug)]
pub struct Operation<M: Model> {
    /// Which client.
    pub client: usize,
    /// When it was asked.
    pub invoked: u64,
    /// What was asked.
    pub call: M::Call,
    /// When the answer was there, and what it was. Without one, the operation is pending: it takes effect at any time after it was asked, or
    /// never. One that is known not to have been carried out does not belong into a history.
    pub end: Option<(u64, M::Answer)>,
}

impl<M: Model> Clone for Operation<M> {
    fn clone(&self) -> Self {
        Self { client: self.client, invoked: self.invoked, call: self.call.clone(), end: self.end.clone() }
    }
}

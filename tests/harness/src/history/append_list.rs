//! A list that only grows, as the guest `log` has one per key.

use super::model::Model;

/// Lines in order. Every line is another one, so that a duplicate shows.
#[derive(Debug)]
pub struct AppendList;

/// What a client asks of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// All lines.
    Get,
    /// One line more.
    Append(u64),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These are the lines.
    Lines(Vec<u64>),
    /// So many lines there are now.
    Length(usize),
}

impl Model for AppendList {
    type State = Vec<u64>;
    type Call = Call;
    type Answer = Answer;

    fn is_read(call: &Call) -> bool {
        *call == Call::Get
    }

    fn may_reach(state: &Vec<u64>, answer: &Answer) -> bool {
        match answer {
            Answer::Lines(lines) => lines.starts_with(state),
            Answer::Length(length) => *length > state.len(),
        }
    }

    fn apply(state: &Vec<u64>, call: &Call) -> (Vec<u64>, Answer) {
        match *call {
            Call::Get => (state.clone(), Answer::Lines(state.clone())),
            Call::Append(line) => {
                let lines = [state.as_slice(), &[line]].concat();
                let length = lines.len();
                (lines, Answer::Length(length))
            }
        }
    }
}

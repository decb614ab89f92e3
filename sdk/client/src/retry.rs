//! Whether a call that met something else than an answer is sent again, and when: pure, with time and dice as arguments.

use std::time::Duration;

use crate::error::Executed;

/// The first pause, after all nodes were tried once: a connection that was lost is back by then, or it takes longer.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause of the client's own: about an election.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How an attempt ended that has not brought an answer of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing was sent.
    NotSent,
    /// It was sent, and nobody said what became of it.
    Lost,
    /// A node did not carry it out, and it may go better elsewhere, or a little later.
    Refused {
        /// How long the node asks to be left alone.
        retry_after: Duration,
        /// Whether another node would answer otherwise.
        scope: Scope,
    },
    /// Nothing that another attempt could change.
    Final(Executed),
}

/// Whose refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// That of the node that was asked.
    Node,
    /// That of the shard: all nodes lead to it.
    Shard,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask the next node at once.
    Elsewhere,
    /// Pause, and then begin anew.
    Pause(Duration),
    /// Give up; this became of the call, all attempts together.
    Stop(Executed),
}

/// Whether a call may be carried out by an attempt after one that may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Yes: under its idempotency key it has one effect.
    Safe,
    /// No.
    Unsafe,
}

/// What is remembered of one call's attempts.
#[derive(Debug)]
pub(crate) struct Retry {
    repeat: Repeat,
    attempts_left: u32,
    /// The longest that one attempt may take where there can be another.
    attempt_time_max: Duration,
    rounds: u32,
    /// The longest that a node has asked to be left alone in this round.
    retry_after: Duration,
    /// An earlier attempt may have run.
    doubt: bool,
}

/// What an attempt's end is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Nodes that were not asked in this round.
    pub(crate) nodes_left: usize,
    /// Time until the deadline.
    pub(crate) time_left: Duration,
    /// A random number.
    pub(crate) dice: u32,
}

impl Retry {
    pub(crate) fn new(repeat: Repeat, attempts_max: u32, attempt_time_max: Duration) -> Retry {
        let attempts_left = attempts_max;
        Retry {
            repeat,
            attempts_left,
            attempt_time_max,
            rounds: 0,
            retry_after: Duration::ZERO,
            doubt: false,
        }
    }

    /// How long the next attempt may take. A call that may be repeated does not wait to the end for a node that hangs, and leaves at least the
    /// half of its time to another.
    pub(crate) fn attempt_time(&self, time_left: Duration) -> Duration {
        match (self.repeat, self.attempts_left) {
            (Repeat::Safe, 2..) => self.attempt_time_max.min(time_left / 2),
            _ => time_left,
        }
    }

    /// Decides what comes after an attempt.
    pub(crate) fn after(&mut self, ended: Ended, moment: Moment) -> Next {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        match ended {
            Ended::Final(executed) => return Next::Stop(self.sum_up(executed)),
            Ended::Lost => {
                self.doubt = true;
                if self.repeat == Repeat::Unsafe {
                    return Next::Stop(Executed::Unknown);
                }
            }
            Ended::Refused { retry_after, .. } => self.retry_after = self.retry_after.max(retry_after),
            Ended::NotSent => {}
        }
        if self.attempts_left == 0 {
            return Next::Stop(self.sum_up(Executed::No));
        }
        let elsewhere = !matches!(ended, Ended::Refused { scope: Scope::Shard, .. });
        if elsewhere && moment.nodes_left > 0 {
            return Next::Elsewhere;
        }
        let pause = self.pause(moment.dice);
        if pause >= moment.time_left {
            return Next::Stop(self.sum_up(Executed::No));
        }
        self.rounds += 1;
        self.retry_after = Duration::ZERO;
        Next::Pause(pause)
    }

    /// What became of the call where nobody answered in time: the last attempt ended as told.
    pub(crate) fn sum_up(&self, last: Executed) -> Executed {
        if self.doubt { Executed::Unknown } else { last }
    }

    /// What a node asks for, or twice as long as the last time; and up to half of that more, so that clients do not come back all at once.
    fn pause(&self, dice: u32) -> Duration {
        let own = PAUSE_MIN.saturating_mul(1 << self.rounds.min(10)).min(PAUSE_MAX);
        let least = own.max(self.retry_after);
        least + (least / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Moment = Moment { nodes_left: 1, time_left: Duration::from_secs(60), dice: 0 };
    const ALONE: Moment = Moment { nodes_left: 0, ..MOMENT };

    fn retry(repeat: Repeat, attempts_max: u32) -> Retry {
        Retry::new(repeat, attempts_max, Duration::from_secs(3))
    }

    fn refused(scope: Scope) -> Ended {
        Ended::Refused { retry_after: Duration::from_secs(1), scope }
    }

    #[test]
    fn what_may_have_run_is_not_repeated_but_under_an_idempotency_key() {
        let mut call = retry(Repeat::Unsafe, 5);
        assert_eq!(call.after(Ended::Lost, MOMENT), Next::Stop(Executed::Unknown));
        let mut call = retry(Repeat::Safe, 5);
        assert_eq!(call.after(Ended::Lost, MOMENT), Next::Elsewhere);
    }

    #[test]
    fn a_doubt_stays_whatever_later_attempts_meet() {
        let mut call = retry(Repeat::Safe, 5);
        call.after(Ended::Lost, MOMENT);
        assert_eq!(call.after(Ended::Final(Executed::No), MOMENT), Next::Stop(Executed::Unknown));
        let mut call = retry(Repeat::Safe, 2);
        call.after(Ended::Lost, MOMENT);
        assert_eq!(call.after(Ended::NotSent, MOMENT), Next::Stop(Executed::Unknown));
    }

    #[test]
    fn attempts_are_bounded() {
        let mut call = retry(Repeat::Unsafe, 3);
        assert_eq!(call.after(Ended::NotSent, MOMENT), Next::Elsewhere);
        assert_eq!(call.after(Ended::NotSent, MOMENT), Next::Elsewhere);
        assert_eq!(call.after(Ended::NotSent, MOMENT), Next::Stop(Executed::No));
    }

    #[test]
    fn a_node_that_refuses_is_passed_over_and_a_shard_that_refuses_is_waited_for() {
        let mut call = retry(Repeat::Unsafe, 5);
        assert_eq!(call.after(refused(Scope::Node), MOMENT), Next::Elsewhere);
        assert_eq!(call.after(refused(Scope::Shard), MOMENT), Next::Pause(Duration::from_secs(1)));
    }

    #[test]
    fn pauses_grow_and_jitter_and_end_with_the_deadline() {
        let mut call = retry(Repeat::Unsafe, 20);
        assert_eq!(call.after(Ended::NotSent, ALONE), Next::Pause(PAUSE_MIN));
        assert_eq!(call.after(Ended::NotSent, ALONE), Next::Pause(PAUSE_MIN * 2));
        let most = Moment { dice: u32::MAX, ..ALONE };
        assert_eq!(call.after(Ended::NotSent, most), Next::Pause(PAUSE_MIN * 6));
        for _ in 0..10 {
            assert!(matches!(call.after(Ended::NotSent, ALONE), Next::Pause(pause) if pause <= PAUSE_MAX));
        }
        let late = Moment { time_left: PAUSE_MAX, ..ALONE };
        assert_eq!(call.after(Ended::NotSent, late), Next::Stop(Executed::No));
    }

    #[test]
    fn a_repeatable_call_leaves_time_for_another_node() {
        let time = Duration::from_secs(5);
        assert_eq!(retry(Repeat::Safe, 2).attempt_time(time), time / 2);
        assert_eq!(retry(Repeat::Safe, 2).attempt_time(time * 4), Duration::from_secs(3));
        assert_eq!(retry(Repeat::Safe, 1).attempt_time(time), time);
        assert_eq!(retry(Repeat::Unsafe, 2).attempt_time(time), time);
    }
}

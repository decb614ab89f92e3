//! Moments of a node's own clock, and the spans of time that the protocol rests on.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of one node's monotonic clock that counts suspended time, in nanoseconds; never compared between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The time that has passed since an earlier moment; zero if that is not earlier.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

/// The spans of time of the protocol. All nodes of a cluster must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a node may serve after it sent a renewal that was granted.
    pub lease: Duration,
    /// How often a node renews its lease: four tries in a lease.
    pub renew_every: Duration,
    /// How much longer than `lease` the leader waits, for clocks that run at unequal rates.
    pub drift: Duration,
    /// W: the leader grants only within this span after sending a heartbeat that a quorum has acknowledged.
    pub quorum_window: Duration,
    /// How long the leader waits for the seals of all live nodes before it goes on with a quorum.
    pub ack_wait: Duration,
    /// How long an owner lets calls under way commit before a planned change is proposed without them.
    pub hold: Duration,
    /// How long an owner keeps holding when no proposal follows; then it starts calls again.
    pub hold_max: Duration,
    /// How often the shell must call `step` with a tick.
    pub tick: Duration,
    /// How long a message stays unanswered before it is sent again.
    pub resend: Duration,
    /// How long an owner's appends may lack a quorum, or a source be silent, before the leader is told.
    pub stuck: Duration,
    /// How long a recovery, a proposal or a commit may take before the leader tries anew; doubles with each try.
    pub retry: Duration,
    /// The longest that `retry` grows to.
    pub retry_max: Duration,
    /// How long a silent node stays a replica before its replicas are made anew elsewhere.
    pub replica_grace: Duration,
    /// How long a shard that was moved for the sake of balance is not moved again for it.
    pub cool_down: Duration,
}

impl Timing {
    /// The spans that a cluster uses unless told otherwise.
    pub const DEFAULT: Timing = Timing {
        lease: Duration::from_millis(1000),
        renew_every: Duration::from_millis(250),
        drift: Duration::from_millis(20),
        quorum_window: Duration::from_millis(300),
        ack_wait: Duration::from_millis(500),
        hold: Duration::from_millis(100),
        hold_max: Duration::from_millis(1000),
        tick: Duration::from_millis(50),
        resend: Duration::from_millis(200),
        stuck: Duration::from_millis(1000),
        retry: Duration::from_millis(2000),
        retry_max: Duration::from_secs(60),
        replica_grace: Duration::from_secs(600),
        cool_down: Duration::from_secs(300),
    };
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::DEFAULT
    }
}

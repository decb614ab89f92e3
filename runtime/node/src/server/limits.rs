//! The named maxima and intervals of a node: every queue, size and wait, with its unit and its reason.

use serde::{Deserialize, Serialize};
use shardloom_store::SpaceMarks;

use super::config_error::{ConfigError, within};

/// The least that a disk may be told to keep free: the write-ahead log's next segment, and one step of the database of states.
const DISK_LOW_BYTES_MIN: u64 = 64 * MIB;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Sizes and counts that bound what a node holds at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a key. Keys travel in a request line, and with every forwarded call.
    pub key_bytes_max: u64,
    /// Bytes of a call's body. Bodies are buffered whole, on two nodes when a call is forwarded.
    pub body_bytes_max: u64,
    /// Bytes of all headers of a request. More is a mistake or an attack.
    pub header_bytes_max: u64,
    /// Bytes of an uploaded component. Python and JavaScript guests are about 20 MB.
    pub component_bytes_max: u64,
    /// Open HTTP connections. Each costs buffers and a descriptor.
    pub connections_max: u64,
    /// Calls that wait for one shard. Beyond it a caller is better off hearing `overloaded` at once.
    pub shard_queue_calls_max: u64,
    /// Calls that the node has taken and not answered. Bounds memory: each may hold a whole body.
    pub calls_in_flight_max: u64,
    /// Bytes of the bodies of all calls in flight.
    pub calls_in_flight_bytes_max: u64,
    /// Warm guest instances. Beyond it the least recently used one goes (and a cache in its memory with it). Each takes some six
    /// memory mappings, of which a Linux process has 65,530: the host refuses more than a tenth of them.
    pub instances_max: u64,
    /// Components compiled at once, each in a child process of its own.
    pub compilations_max: u64,
    /// Bytes of address space of one compiling child. A hostile component fails there, not here.
    pub compile_memory_bytes_max: u64,
    /// With fewer free bytes under the data directory the disk counts as full: what is below is for what is under way, the logs and the databases.
    pub disk_low_bytes: u64,
    /// Once full, the disk counts as full until so many bytes are free: apart from the low mark, so that shards do not go to and fro.
    pub disk_high_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes_max: 4 * KIB,
            body_bytes_max: 8 * MIB,
            header_bytes_max: 32 * KIB,
            component_bytes_max: 64 * MIB,
            connections_max: 4096,
            shard_queue_calls_max: 1024,
            calls_in_flight_max: 16_384,
            calls_in_flight_bytes_max: 512 * MIB,
            instances_max: 5_000,
            compilations_max: 1,
            compile_memory_bytes_max: 4096 * MIB,
            disk_low_bytes: SpaceMarks::default().low_bytes,
            disk_high_bytes: SpaceMarks::default().high_bytes,
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("limits.key_bytes_max", self.key_bytes_max, 1, 64 * KIB)?;
        within("limits.body_bytes_max", self.body_bytes_max, 1, 8 * MIB)?;
        within("limits.header_bytes_max", self.header_bytes_max, 4 * KIB, MIB)?;
        within("limits.component_bytes_max", self.component_bytes_max, 1, 1024 * MIB)?;
        within("limits.connections_max", self.connections_max, 1, 1_000_000)?;
        within("limits.shard_queue_calls_max", self.shard_queue_calls_max, 1, 1_000_000)?;
        within("limits.calls_in_flight_max", self.calls_in_flight_max, 1, 10_000_000)?;
        within("limits.calls_in_flight_bytes_max", self.calls_in_flight_bytes_max, MIB, u64::MAX)?;
        within("limits.instances_max", self.instances_max, 1, 10_000_000)?;
        within("limits.compilations_max", self.compilations_max, 1, 1024)?;
        within("limits.compile_memory_bytes_max", self.compile_memory_bytes_max, 256 * MIB, u64::MAX)?;
        within("limits.disk_low_bytes", self.disk_low_bytes, DISK_LOW_BYTES_MIN, 1 << 50)?;
        within("limits.disk_high_bytes", self.disk_high_bytes, self.disk_low_bytes, 1 << 50)
    }
}

/// Deadlines, leases and intervals. All on monotonic clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timings {
    /// How long a call may take where the caller says nothing.
    pub call_default_ms: u64,
    /// The longest that a caller may ask for, so that nothing waits for ever.
    pub call_max_ms: u64,
    /// How long a streamed body may stand still, on either side, before it is broken off: who is gone, or hangs, does not keep an instance.
    pub body_idle_ms: u64,
    /// How long a client may take to send a request's head. Slower is an idle or hostile connection.
    pub header_read_ms: u64,
    /// How long a deploy waits for all live nodes to compile and instantiate.
    pub deploy_confirm_ms: u64,
    /// How long one compilation may take before its child is ended.
    pub compile_ms: u64,
    /// How long a node may serve after a renewal was sent. Short: a dead owner's shards wait for it.
    pub lease_ms: u64,
    /// How long the leader waits for all live nodes to seal before it goes on without the silent ones.
    pub ack_wait_ms: u64,
    /// How long a planned change lets calls under way finish first. A courtesy, not a promise.
    pub hold_ms: u64,
    /// The control group's heartbeat interval.
    pub heartbeat_ms: u64,
    /// The shortest time without a leader before a voter stands for election.
    pub election_min_ms: u64,
    /// The longest such time.
    pub election_max_ms: u64,
    /// The gossip interval.
    pub gossip_ms: u64,
    /// The first pause between attempts to join.
    pub join_retry_min_ms: u64,
    /// The longest pause between attempts to join.
    pub join_retry_max_ms: u64,
    /// How long a join token can be used.
    pub token_ms: u64,
    /// How long a node that was told to end hands over and finishes calls before it ends anyway.
    pub shutdown_ms: u64,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            call_default_ms: 10_000,
            call_max_ms: 60_000,
            body_idle_ms: 30_000,
            header_read_ms: 10_000,
            deploy_confirm_ms: 180_000,
            compile_ms: 120_000,
            lease_ms: 1_000,
            ack_wait_ms: 500,
            hold_ms: 100,
            heartbeat_ms: 100,
            election_min_ms: 300,
            election_max_ms: 500,
            gossip_ms: 1_000,
            join_retry_min_ms: 1_000,
            join_retry_max_ms: 120_000,
            token_ms: 900_000,
            shutdown_ms: 10_000,
        }
    }
}

impl Timings {
    /// How often a lease is renewed: four chances before it runs out.
    pub fn renew_ms(&self) -> u64 {
        self.lease_ms / 4
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("timings.call_default_ms", self.call_default_ms, 1, self.call_max_ms)?;
        within("timings.call_max_ms", self.call_max_ms, 1, 3_600_000)?;
        within("timings.body_idle_ms", self.body_idle_ms, 100, 3_600_000)?;
        within("timings.lease_ms", self.lease_ms, 200, 60_000)?;
        within("timings.ack_wait_ms", self.ack_wait_ms, 10, 60_000)?;
        within("timings.hold_ms", self.hold_ms, 0, 10_000)?;
        within("timings.heartbeat_ms", self.heartbeat_ms, 10, 10_000)?;
        within("timings.gossip_ms", self.gossip_ms, 20, 60_000)?;
        within("timings.token_ms", self.token_ms, 1, 86_400_000)?;
        if self.election_min_ms < 2 * self.heartbeat_ms {
            return Err(ConfigError::Timing(
                "timings.election_min_ms must be at least twice timings.heartbeat_ms, \
                 or one late heartbeat starts an election",
            ));
        }
        if self.election_max_ms <= self.election_min_ms {
            return Err(ConfigError::Timing(
                "timings.election_max_ms must be above timings.election_min_ms, or votes split",
            ));
        }
        if self.join_retry_min_ms == 0 || self.join_retry_max_ms < self.join_retry_min_ms {
            return Err(ConfigError::Timing(
                "timings.join_retry_max_ms must be at least timings.join_retry_min_ms, and that above 0",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_own_bounds() {
        assert_eq!(Limits::default().validate(), Ok(()));
        assert_eq!(Timings::default().validate(), Ok(()));
    }

    #[test]
    fn an_election_timeout_near_the_heartbeat_is_refused() {
        let timings = Timings { heartbeat_ms: 200, ..Timings::default() };
        assert!(matches!(timings.validate(), Err(ConfigError::Timing(_))));
    }

    #[test]
    fn a_default_deadline_above_the_longest_is_refused() {
        let timings = Timings { call_default_ms: 61_000, ..Timings::default() };
        assert!(matches!(timings.validate(), Err(ConfigError::OutOfRange { .. })));
    }
}

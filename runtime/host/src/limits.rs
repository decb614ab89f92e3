//! What one workload's guest may use; each deploy may set it, within what a host allows at most.

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The bounds of one warm instance and its calls.
///
/// The stack is bounded too, but for all guests of a host alike: see [`HostOptions::stack_bytes`](crate::HostOptions).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Milliseconds of the guest's own run time per call; time that it waits for a thread does not count.
    pub deadline_ms: u32,
    /// Bytes of linear memory, all memories of the instance together.
    pub memory_bytes: u64,
    /// Elements of tables, all tables of the instance together.
    pub table_elements: u32,
    /// Core instances within the component.
    pub instances: u32,
    /// Tables within the component, and memories.
    pub tables: u32,
    /// Bytes of a reply's body; also of anything else that the guest hands to the host in one call.
    pub reply_bytes: u64,
    /// Headers of a reply.
    pub reply_headers: u32,
    /// Bytes of all header names and values of a reply.
    pub reply_header_bytes: u32,
    /// Bytes of log per second, of all instances on one shard together; what is over it is dropped and counted. A burst of one second's worth is let through.
    pub log_bytes_per_s: u32,
    /// Bytes of one log line; a longer one is cut.
    pub log_line_bytes: u32,
    /// Live component-model handles.
    pub handles: u32,
    /// Bytes of a key of the workload's state, as the guest knows it.
    pub key_bytes: u32,
    /// Bytes of a value of the workload's state.
    pub value_bytes: u32,
    /// Keys that one call may change.
    pub changes: u32,
    /// Bytes of keys and values that one call may change, all together.
    pub batch_bytes: u64,
    /// Bytes of keys and values that the workload may keep on one shard.
    pub state_bytes: u64,
}

/// A limit is outside what a host allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit {name} is {value}; it must be at least {min} and at most {max}")]
pub struct LimitsError {
    /// The limit's name.
    pub name: &'static str,
    /// What was asked for.
    pub value: u64,
    /// The least that makes sense.
    pub min: u64,
    /// The most that a host allows.
    pub max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            deadline_ms: 1_000,
            memory_bytes: 64 * MIB,
            // JavaScript engines need about 20,000.
            table_elements: 100_000,
            // A component made of a Python interpreter has some 60.
            instances: 100,
            tables: 100,
            reply_bytes: 8 * MIB,
            reply_headers: 64,
            reply_header_bytes: 16 * KIB as u32,
            log_bytes_per_s: 64 * KIB as u32,
            log_line_bytes: 8 * KIB as u32,
            handles: 10_000,
            // The database keeps keys whole in its nodes, and pays for long ones with each look-up.
            key_bytes: Self::KEY_BYTES_MAX,
            // The database takes values of 60 KiB; the rest is for what is kept beside them.
            value_bytes: Self::VALUE_BYTES_MAX,
            // What a replica applies in one go, before the next call's batch has its turn.
            changes: 1_000,
            // One entry of the log, and one message to each replica.
            batch_bytes: Self::BATCH_BYTES_MAX,
            // What moves to another node within seconds when the shard does.
            state_bytes: 256 * MIB,
        }
    }
}

impl Limits {
    /// The most memory that a workload may ask for.
    pub const MEMORY_BYTES_MAX: u64 = 1024 * MIB;

    /// The longest key of state, in bytes.
    pub const KEY_BYTES_MAX: u32 = KIB as u32;

    /// The longest value of state, in bytes.
    pub const VALUE_BYTES_MAX: u32 = 48 * KIB as u32;

    /// The most bytes that one call may change: a batch is one entry of the log.
    pub const BATCH_BYTES_MAX: u64 = MIB;

    /// Checks each limit against what a host allows.
    ///
    /// # Errors
    /// Names the first limit that is outside.
    pub fn check(&self) -> Result<(), LimitsError> {
        let rows: [(&'static str, u64, u64, u64); 16] = [
            ("deadline_ms", self.deadline_ms.into(), 1, 600_000),
            ("memory_bytes", self.memory_bytes, 64 * KIB, Self::MEMORY_BYTES_MAX),
            ("table_elements", self.table_elements.into(), 0, 1_000_000),
            ("instances", self.instances.into(), 1, 1_000),
            ("tables", self.tables.into(), 1, 1_000),
            ("reply_bytes", self.reply_bytes, 0, 64 * MIB),
            ("reply_headers", self.reply_headers.into(), 0, 1_000),
            ("reply_header_bytes", self.reply_header_bytes.into(), 0, 256 * KIB),
            ("log_bytes_per_s", self.log_bytes_per_s.into(), 0, 16 * MIB),
            ("log_line_bytes", self.log_line_bytes.into(), 0, 64 * KIB),
            ("handles", self.handles.into(), 0, 100_000),
            ("key_bytes", self.key_bytes.into(), 1, Self::KEY_BYTES_MAX.into()),
            ("value_bytes", self.value_bytes.into(), 0, Self::VALUE_BYTES_MAX.into()),
            ("changes", self.changes.into(), 0, 10_000),
            ("batch_bytes", self.batch_bytes, 0, Self::BATCH_BYTES_MAX),
            ("state_bytes", self.state_bytes, 0, 64 * 1024 * MIB),
        ];
        match rows.into_iter().find(|(_, value, min, max)| value < min || value > max) {
            Some((name, value, min, max)) => Err(LimitsError { name, value, min, max }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_are_within_what_a_host_allows() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn a_limit_outside_is_named() {
        let greedy = Limits { memory_bytes: 1 << 40, ..Limits::default() };
        assert_eq!(
            greedy.check().unwrap_err().to_string(),
            "limit memory_bytes is 1099511627776; it must be at least 65536 and at most 1073741824"
        );
    }
}

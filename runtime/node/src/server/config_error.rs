//! What can be wrong with a configuration, said so that whoever wrote it knows what to change.

use std::net::SocketAddr;

/// Why a configuration cannot be used. The text says what to change.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Neither or both ways to begin were given.
    #[error("a node either makes a cluster or joins one: give --bootstrap or --join, not both")]
    BothStarts,
    /// A join without somewhere to go.
    #[error("--join needs at least one host:port")]
    JoinNowhere,
    /// An address that does not read as `host:port`.
    #[error("{address:?} ({field}) is not host:port")]
    BadAddress {
        /// The setting.
        field: &'static str,
        /// What was given.
        address: String,
    },
    /// A number outside its bounds.
    #[error("{field} must be between {min} and {max}, not {value}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// The value given.
        value: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// Half of an HTTPS configuration.
    #[error("--http-cert and --http-key belong together")]
    HalfHttps,
    /// Plain HTTP reachable from elsewhere, not asked for.
    #[error(
        "HTTP on {0} would be readable on the way: give --http-cert and --http-key, or say --insecure-http"
    )]
    PlainHttp(SocketAddr),
    /// An address that nobody can dial.
    #[error("{listen} listens on every address: say with --advertise-{name} what others should dial")]
    NothingToDial {
        /// The address bound.
        listen: SocketAddr,
        /// Which of the three.
        name: &'static str,
    },
    /// Intervals that contradict each other.
    #[error("{0}")]
    Timing(&'static str),
}

/// Refuses a number outside its bounds.
pub(super) fn within(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange { field, value, min, max })
    }
}

/// Refuses what does not read as `host:port`.
pub(super) fn host_port(field: &'static str, address: &str) -> Result<(), ConfigError> {
    let good = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
    if good { Ok(()) } else { Err(ConfigError::BadAddress { field, address: address.to_owned() }) }
}

//! What a workload may reach beyond its own state: said at its deploy, and nothing by default.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a host's name, as the domain name system has it.
const HOST_BYTES_MAX: usize = 253;

/// One grant. Written `http:HOST` or `http:HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Grant {
    /// Requests by HTTP, with or without TLS, to one host.
    Http {
        /// Its name, in lower case, or its address; an IPv6 address without brackets.
        host: String,
        /// One port; any where none is named.
        port: Option<u16>,
    },
}

/// What was written is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no grant: write http:HOST or http:HOST:PORT, with the name of one host")]
pub struct GrantError(String);

impl Grant {
    /// Whether it lets a request go to that port of that host.
    pub fn allows_http(&self, host: &str, port: u16) -> bool {
        let Grant::Http { host: granted, port: only } = self;
        bare(host).eq_ignore_ascii_case(granted) && only.is_none_or(|only| only == port)
    }
}

/// A host without the brackets of an IPv6 address and the dot at the end of a whole name.
pub fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).trim_end_matches('.')
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Grant, GrantError> {
        let error = || GrantError(text.to_owned());
        let place = text.strip_prefix("http:").ok_or_else(error)?;
        let (host, port) = match place.rsplit_once(':') {
            // The colons of a bare IPv6 address are not a port's.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port > 0).ok_or_else(error)?))
            }
            _ => (place, None),
        };
        let host = bare(host).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(plain) {
            return Err(error());
        }
        Ok(Grant::Http { host, port })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant::Http { host, port } = self;
        match (host.contains(':'), port) {
            (false, None) => write!(f, "http:{host}"),
            (true, None) => write!(f, "http:[{host}]"),
            (false, Some(port)) => write!(f, "http:{host}:{port}"),
            (true, Some(port)) => write!(f, "http:[{host}]:{port}"),
        }
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> String {
        grant.to_string()
    }
}

impl TryFrom<String> for Grant {
    type Error = GrantError;

    fn try_from(text: String) -> Result<Grant, GrantError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(grant: &str, host: &str, port: u16) -> bool {
        grant.parse::<Grant>().unwrap().allows_http(host, port)
    }

    #[test]
    fn a_grant_is_for_its_host_alone() {
        assert!(allows("http:example.com", "Example.COM", 443));
        assert!(allows("http:example.com", "example.com.", 8080));
        assert!(!allows("http:example.com", "www.example.com", 80));
        assert!(!allows("http:example.com", "example.com.evil.org", 80));
        assert!(!allows("http:example.com:443", "example.com", 80));
        assert!(allows("http:[2001:db8::1]:80", "[2001:db8::1]", 80));
        assert!(allows("http:2001:db8::1", "[2001:db8::1]", 80));
    }

    #[test]
    fn what_is_written_comes_back_and_nonsense_is_refused() {
        for text in ["http:example.com", "http:example.com:443", "http:10.0.0.7", "http:[2001:db8::1]:80"] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        for text in
            ["", "http:", "http:*", "http:a/b", "http:a:0", "http:a:x", "https:a", "tcp:a", "http:user@a"]
        {
            assert!(text.parse::<Grant>().is_err(), "{text:?}");
        }
    }
}

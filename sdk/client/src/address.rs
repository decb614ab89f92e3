//! Where a node answers clients: a scheme, a host and a port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// The base URL of a node. Without a scheme it is `http`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: Scheme,
    authority: Authority,
}

/// A text is not the base URL of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the address of a node: http://HOST:PORT is expected")]
pub struct AddressError {
    text: String,
}

impl Address {
    /// Whether it is reached without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// The URL of a path on the node.
    pub(crate) fn at(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("scheme, authority and path make a URL")
    }

    /// The address of another node, which this one's node has told as `host:port`; none where nobody can be reached there.
    pub(crate) fn of_peer(&self, told: &str) -> Option<Address> {
        let authority = Authority::from_str(told).ok().filter(|authority| authority.port_u16().is_some())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // A node that listens on all its addresses may not know by which of them it is reached.
        let everywhere = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        (!everywhere).then(|| Address { scheme: self.scheme.clone(), authority })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let parts = whole.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if path == "/" && !authority.as_str().contains('@') => {
                Ok(Address { scheme, authority })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_a_base_url_or_a_host_and_port() {
        assert_eq!(address("127.0.0.1:7080").to_string(), "http://127.0.0.1:7080");
        assert_eq!(address("https://node.example:443/").to_string(), "https://node.example:443");
        for wrong in ["", "http://", "http://host/path", "http://user@host:1", "a b"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_peer_is_reached_by_the_same_scheme_and_never_at_an_unspecified_address() {
        let told = |text| address("https://a:1").of_peer(text).map(|address| address.to_string());
        assert_eq!(told("10.0.0.2:7080").as_deref(), Some("https://10.0.0.2:7080"));
        assert_eq!(told("[::1]:7080").as_deref(), Some("https://[::1]:7080"));
        for wrong in ["0.0.0.0:7080", "[::]:7080", "host", ""] {
            assert_eq!(told(wrong), None, "{wrong:?}");
        }
    }
}

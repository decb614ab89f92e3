//! A call before it is made, and its reply.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::address::Address;
use crate::error::CallError;

/// What is percent-encoded in a path. Dots are, too, so that no proxy takes a key for a way up.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Who asks twice under the same key is answered once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How long the node may take, in milliseconds.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("shardloom-timeout-ms");

/// A call of a workload's handler.
///
/// It may be made any number of times; all of them are under the same idempotency key, if it has one.
///
/// ```
/// use std::time::Duration;
/// use shardloom_client::Call;
///
/// let call = Call::new("inventory", "berlin")
///     .method("stock")
///     .body(r#"{"item": "tea", "count": 10}"#)
///     .idempotent()
///     .deadline(Duration::from_secs(5));
/// assert!(call.idempotency_key().is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) workload: String,
    pub(crate) key: String,
    method: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    idempotency_key: Option<String>,
    pub(crate) deadline: Option<Duration>,
}

impl Call {
    /// A call of a workload for a key: no method, no body.
    pub fn new(workload: impl Into<String>, key: impl Into<String>) -> Call {
        Call {
            workload: workload.into(),
            key: key.into(),
            method: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            idempotency_key: None,
            deadline: None,
        }
    }

    /// Asks for this operation.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Call {
        self.method = method.into();
        self
    }

    /// Sends these bytes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = body.into();
        self
    }

    /// Sends this header too.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Call {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Makes the call at most once, however often it is sent: under a new random idempotency key. Only such a call is sent again where an
    /// earlier attempt may have run.
    #[must_use]
    pub fn idempotent(self) -> Call {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        let mut key = String::with_capacity(32);
        for byte in bytes {
            write!(key, "{byte:02x}").expect("a string takes all that is written");
        }
        self.idempotent_under(key)
    }

    /// Makes the call at most once, under a key of the caller's own: 1 to 255 bytes, which no other request for the same workload and key
    /// may have.
    #[must_use]
    pub fn idempotent_under(mut self, key: impl Into<String>) -> Call {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Gives the call so much time, all attempts together; the client's own default otherwise.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Call {
        self.deadline = Some(deadline);
        self
    }

    /// The idempotency key, if there is one.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// The call as it is sent, without an address and a time.
    pub(crate) fn form(&self) -> Result<Form, CallError> {
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        let mut path = format!("/v1/call/{}/{}", encoded(&self.workload), encoded(&self.key));
        if !self.method.is_empty() {
            write!(path, "?method={}", encoded(&self.method)).map_err(CallError::unfit)?;
        }
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(CallError::unfit)?;
            headers.append(name, HeaderValue::try_from(value).map_err(CallError::unfit)?);
        }
        if let Some(key) = &self.idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(key).map_err(CallError::unfit)?);
        }
        let path = PathAndQuery::try_from(path).map_err(CallError::unfit)?;
        Ok(Form { path, headers, body: self.body.clone() })
    }
}

/// A call as it is sent, to whomever.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Form {
    /// The request to one node, which may take so long.
    pub(crate) fn request(&self, address: &Address, time: Duration) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address.at(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        request.headers_mut().insert(TIMEOUT_MS, HeaderValue::from(ms));
        request
    }
}

/// What the workload has answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// Its headers, and those of the node.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
    /// Where it ran.
    pub place: Place,
    /// Whether the reply was made for an earlier request under the same idempotency key.
    pub replayed: bool,
    /// The node that was asked; another one than that which ran it, if the call was forwarded.
    pub asked: Address,
    /// How many attempts it took.
    pub attempts: u32,
}

/// Where a call ran.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The node: 16 hexadecimal digits.
    pub node: String,
    /// The shard.
    pub shard: u32,
    /// The epoch under which the node owned it.
    pub epoch: u64,
    /// The version of the workload.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(call: &Call) -> Request<Full<Bytes>> {
        let address = "http://127.0.0.1:1".parse().unwrap();
        call.form().unwrap().request(&address, Duration::from_millis(1_500))
    }

    #[test]
    fn a_key_of_any_characters_stays_one_segment_of_the_path() {
        let call = Call::new("w", "a/b?c d%é..").method("get it");
        let uri = request(&call).uri().to_string();
        assert_eq!(uri, "http://127.0.0.1:1/v1/call/w/a%2Fb%3Fc%20d%25%C3%A9%2E%2E?method=get%20it");
        assert_eq!(request(&Call::new("w", "")).uri().path(), "/v1/call/w/");
    }

    #[test]
    fn the_node_is_told_how_long_it_may_take() {
        assert_eq!(request(&Call::new("w", "k")).headers()[TIMEOUT_MS], "1500");
    }

    #[test]
    fn an_idempotent_call_keeps_its_key_and_another_has_another() {
        let call = Call::new("w", "k").idempotent();
        let key = call.idempotency_key().unwrap();
        assert_eq!(key.len(), 32);
        assert_eq!(request(&call).headers()[IDEMPOTENCY_KEY], key);
        assert_eq!(request(&call.clone()).headers()[IDEMPOTENCY_KEY], key);
        assert_ne!(Call::new("w", "k").idempotent().idempotency_key(), Some(key));
        assert!(!request(&Call::new("w", "k")).headers().contains_key(IDEMPOTENCY_KEY));
    }

    #[test]
    fn what_is_no_header_is_not_sent() {
        let wrong = Call::new("w", "k").header("bad name", "x");
        assert_eq!(wrong.form().unwrap_err().executed, crate::Executed::No);
        assert!(Call::new("w", "k").idempotent_under("line\nfeed").form().is_err());
    }
}

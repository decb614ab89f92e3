//! One call: a key, what to do with it, the caller's bytes, and what surrounds it.

use std::fmt;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::host::{Host, Level, Place};

/// What came with a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A call to answer, and where it runs: the place, the settings and the log.
pub struct Call {
    request: Request,
    host: Rc<dyn Host>,
}

impl Call {
    pub(crate) fn new(request: Request, host: Rc<dyn Host>) -> Call {
        Call { request, host }
    }

    /// The key that picked the shard.
    pub fn key(&self) -> &str {
        &self.request.key
    }

    /// Which operation is asked for; empty where the caller named none.
    pub fn method(&self) -> &str {
        &self.request.method
    }

    /// The caller's headers, in order, names in lower case; hop-by-hop and `shardloom-*` ones are left out.
    pub fn headers(&self) -> &[(String, String)] {
        &self.request.headers
    }

    /// The first header of a name, which is written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The caller's bytes, whole.
    pub fn body(&self) -> &[u8] {
        &self.request.body
    }

    /// The caller's bytes as text.
    ///
    /// # Errors
    /// `invalid` where they are not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        str::from_utf8(self.body()).map_err(|_| Failure::invalid("the body must be UTF-8"))
    }

    /// The caller's bytes as what JSON says.
    ///
    /// # Errors
    /// `invalid` where they are not JSON of that form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.body())
            .map_err(|error| Failure::Invalid(format!("the body does not fit: {error}")))
    }

    /// The refusal of a method that the handler does not have, which it names in JSON, with those that it has.
    pub fn no_such_method(&self, methods: &[&str]) -> Failure {
        let method = serde_json::Value::from(self.method());
        Failure::Invalid(format!("there is no method {method}; there are: {}", methods.join(", ")))
    }

    /// Where and as what the handler runs now.
    pub fn place(&self) -> Place {
        self.host.place()
    }

    /// A setting that was given with the deploy; none where there is none of that name.
    pub fn config(&self, key: &str) -> Option<String> {
        self.host.config(key)
    }

    /// Writes a line to the node's log; `context` is any text that groups lines. Lines over the workload's rate are dropped
    /// and counted.
    pub fn log(&self, level: Level, context: &str, message: &str) {
        self.host.log(level, context, message);
    }

    /// Writes a line for whoever debugs the handler.
    pub fn debug(&self, message: &str) {
        self.log(Level::Debug, self.method(), message);
    }

    /// Writes a line for whoever watches the handler.
    pub fn info(&self, message: &str) {
        self.log(Level::Info, self.method(), message);
    }

    /// Writes a line about a hazard.
    pub fn warn(&self, message: &str) {
        self.log(Level::Warn, self.method(), message);
    }

    /// Writes a line about a serious error.
    pub fn error(&self, message: &str) {
        self.log(Level::Error, self.method(), message);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("key", &self.request.key)
            .field("method", &self.request.method)
            .field("body_bytes", &self.request.body.len())
            .finish_non_exhaustive()
    }
}

//! A handler's test without a cluster: one shard in memory, with the semantics of a node.
//!
//! In reading order: [`Shard`], what a test speaks to; [`Bounds`], what a call may write; `memory`, the rows.

mod bounds;
mod memory;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub use bounds::Bounds;

use crate::call::Request;
use crate::host::{Host, Level, Place, Row};
use crate::state_error::StateError;
use crate::{Call, Failure, Handler, Reply, State};
use memory::Memory;

/// A line that a handler has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What groups lines.
    pub context: String,
    /// The text.
    pub message: String,
}

/// A shard that runs one handler.
///
/// As on a node, a call is a transaction, a scan is ordered and comes in pages, and writes and replies have bounds. What is
/// not as on a node: run time, memory and the rate of the log have none here.
///
/// ```
/// use shardloom_guest::testing::Shard;
/// use shardloom_guest::{Call, Failure, Reply, State};
///
/// fn greet(call: &Call, state: &mut State) -> Result<Reply, Failure> {
///     state.set(call.key(), "greeted")?;
///     let greeting = call.config("greeting").ok_or_else(|| Failure::failed("no greeting is set"))?;
///     Ok(Reply::text(format!("{greeting}, {}", call.key())))
/// }
///
/// let mut shard = Shard::new(greet);
/// assert_eq!(shard.call("Ada", "", ""), Err(Failure::failed("no greeting is set")));
/// assert_eq!(shard.value("Ada"), None); // a failed call leaves nothing
///
/// let mut shard = Shard::new(greet).with_config("greeting", "Hello");
/// assert_eq!(shard.call("Ada", "", "").unwrap().body, b"Hello, Ada");
/// assert_eq!(shard.value("Ada").as_deref(), Some(&b"greeted"[..]));
/// ```
#[derive(Debug)]
pub struct Shard {
    handler: Handler,
    desk: Rc<Desk>,
}

/// The host's side of a test.
#[derive(Debug, Default)]
struct Desk {
    memory: RefCell<Memory>,
    config: RefCell<BTreeMap<String, String>>,
    place: RefCell<Place>,
    lines: RefCell<Vec<Line>>,
}

impl Shard {
    /// An empty shard.
    pub fn new(handler: Handler) -> Shard {
        Shard { handler, desk: Rc::new(Desk::default()) }
    }

    /// The same with a setting, as `shardloom deploy --config` gives it.
    #[must_use]
    pub fn with_config(self, key: &str, value: &str) -> Shard {
        self.desk.config.borrow_mut().insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same at another place.
    #[must_use]
    pub fn at(self, change: impl FnOnce(&mut Place)) -> Shard {
        change(&mut self.desk.place.borrow_mut());
        self
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_bounds(self, bounds: Bounds) -> Shard {
        self.desk.memory.borrow_mut().set_bounds(bounds);
        self
    }

    /// The same with a row in its state.
    #[must_use]
    pub fn with_row(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Shard {
        self.desk.memory.borrow_mut().place(key.as_ref(), value.as_ref());
        self
    }

    /// Calls the handler.
    ///
    /// # Errors
    /// Its own failure; nothing that the call wrote remains.
    ///
    /// # Panics
    /// Where the handler does (a guest would trap), and if the reply is over a bound, where a node answers `guest-limit`.
    /// Nothing that the call wrote remains then, too.
    pub fn call(&mut self, key: &str, method: &str, body: impl AsRef<[u8]>) -> Result<Reply, Failure> {
        self.call_with(key, method, &[], body)
    }

    /// Calls the handler with headers, whose names are in lower case.
    ///
    /// # Errors
    /// As [`Shard::call`].
    ///
    /// # Panics
    /// As [`Shard::call`].
    pub fn call_with(
        &mut self,
        key: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Reply, Failure> {
        let request = Request {
            key: key.to_owned(),
            method: method.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.as_ref().to_vec(),
        };
        // What a call that panicked has left.
        self.desk.memory.borrow_mut().roll_back();
        let host: Rc<dyn Host> = Rc::clone(&self.desk) as Rc<dyn Host>;
        let result = (self.handler)(&Call::new(request, Rc::clone(&host)), &mut State::new(host));
        if let Ok(reply) = &result {
            self.desk.memory.borrow().bounds().check(reply);
        }
        let mut memory = self.desk.memory.borrow_mut();
        match result {
            Ok(_) => memory.commit(),
            Err(_) => memory.roll_back(),
        }
        result
    }

    /// What the state keeps for a key.
    pub fn value(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let memory = self.desk.memory.borrow();
        memory.committed().find(|(found, _)| found.as_slice() == key.as_ref()).map(|(_, value)| value.clone())
    }

    /// All that the state keeps, in the order of the keys.
    pub fn rows(&self) -> impl Iterator<Item = Row> + use<> {
        let memory = self.desk.memory.borrow();
        let rows: Vec<Row> = memory.committed().map(|(key, value)| (key.clone(), value.clone())).collect();
        rows.into_iter()
    }

    /// What the handler has logged so far, those of failed calls included.
    pub fn lines(&self) -> Vec<Line> {
        self.desk.lines.borrow().clone()
    }
}

impl Bounds {
    fn check(&self, reply: &Reply) {
        let header_bytes: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        for (what, found, name, max) in [
            ("bytes", reply.body.len(), "reply_bytes", self.reply_bytes),
            ("headers", reply.headers.len(), "reply_headers", self.reply_headers),
            ("bytes of headers", header_bytes, "reply_header_bytes", self.reply_header_bytes),
        ] {
            assert!(found <= max, "the reply has {found} {what}; {name} allows {max}");
        }
    }
}

impl Host for Desk {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.memory.borrow().get(key)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.memory.borrow_mut().change(key, Some(value))
    }

    fn delete(&self, key: &[u8]) -> Result<(), StateError> {
        self.memory.borrow_mut().change(key, None)
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, rows_max: u32) -> Vec<Row> {
        self.memory.borrow().scan(start, end, usize::try_from(rows_max).unwrap_or(usize::MAX))
    }

    fn place(&self) -> Place {
        self.place.borrow().clone()
    }

    fn config(&self, key: &str) -> Option<String> {
        self.config.borrow().get(key).cloned()
    }

    fn log(&self, level: Level, context: &str, message: &str) {
        let line = Line { level, context: context.to_owned(), message: message.to_owned() };
        self.lines.borrow_mut().push(line);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Writes, and then does as the method says.
    fn write_then(call: &Call, state: &mut State) -> Result<Reply, Failure> {
        state.set(call.key(), call.body())?;
        assert_eq!(state.get(call.key()).as_deref(), Some(call.body()), "a call reads its own writes");
        call.warn("written");
        match call.method() {
            "fail" => Err(Failure::failed("as asked")),
            "panic" => panic!("as asked"),
            "delete" => state.delete(call.key()).map(|()| Reply::empty()).map_err(Failure::from),
            "text" => Ok(Reply::text(state.text(call.key())?.unwrap_or_default())),
            "headers" => Ok(Reply::empty().header("x-a", "1").header("x-b", "2")),
            _ => Ok(Reply::bytes(state.scan("", None).count().to_string())),
        }
    }

    #[test]
    fn a_failed_call_leaves_nothing_but_its_log() {
        let mut shard = Shard::new(write_then).with_row("k", "before");
        assert_eq!(shard.call("k", "fail", "after"), Err(Failure::failed("as asked")));
        assert_eq!(shard.value("k").as_deref(), Some(&b"before"[..]));
        assert_eq!(shard.lines()[0].message, "written");
        assert_eq!((shard.lines()[0].level, shard.lines()[0].context.as_str()), (Level::Warn, "fail"));
    }

    #[test]
    fn a_call_that_panics_leaves_nothing_and_the_next_one_runs() {
        let mut shard = Shard::new(write_then);
        assert!(catch_unwind(AssertUnwindSafe(|| shard.call("k", "panic", "v"))).is_err());
        assert_eq!(shard.rows().count(), 0);
        assert_eq!(shard.call("other", "", "v").unwrap().body, b"1");
    }

    #[test]
    fn a_reply_over_a_bound_is_not_given_and_nothing_is_kept() {
        let mut shard = Shard::new(write_then).with_bounds(Bounds { reply_headers: 1, ..Bounds::default() });
        assert!(catch_unwind(AssertUnwindSafe(|| shard.call("k", "headers", "v"))).is_err());
        assert_eq!(shard.value("k"), None);
    }

    #[test]
    fn a_row_that_is_deleted_is_gone_and_rows_are_in_order() {
        let mut shard = Shard::new(write_then).with_row("c", "3").with_row("a", "1");
        shard.call("c", "delete", "").unwrap();
        shard.call("b", "", "2").unwrap();
        let keys: Vec<Vec<u8>> = shard.rows().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"b"]);
    }

    #[test]
    fn a_scan_goes_on_over_pages_that_are_bounded_in_bytes() {
        let mut shard = Shard::new(write_then);
        for number in 0..60 {
            shard = shard.with_row(format!("row {number:02}"), [0; 48 << 10]);
        }
        assert_eq!(shard.call("k", "", "").unwrap().body, b"61");
    }

    #[test]
    fn bytes_are_no_text() {
        let mut shard = Shard::new(write_then);
        assert_eq!(shard.call("k", "text", "grün").unwrap().body, "grün".as_bytes());
        assert_eq!(shard.call("k", "text", [255]), Err(Failure::failed("a value is not UTF-8")));
    }
}

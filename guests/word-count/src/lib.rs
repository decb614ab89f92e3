//! Counts words: a total per key, kept in memory.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `add`, or none | a decimal; empty means 1 | the key's total after adding it |
//! | `get` | none | the key's total |
//!
//! Both answer in decimal. A body that is no decimal, a total over 2^64 - 1, and any other method are invalid.

use std::cell::RefCell;
use std::collections::BTreeMap;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct WordCount;

export!(WordCount);

thread_local! {
    static TOTALS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

impl Guest for WordCount {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let total = match request.method.as_str() {
            "" | "add" => add(request.key, amount(&request.body)?)?,
            "get" => total(&request.key),
            other => return Err(Failure::Invalid(format!("there is no method {other:?}: add and get are"))),
        };
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Ok(Reply { headers, body: total.to_string().into_bytes() })
    }
}

fn amount(body: &[u8]) -> Result<u64, Failure> {
    let text = str::from_utf8(body).unwrap_or("not text").trim();
    if text.is_empty() {
        return Ok(1);
    }
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let amount = text.parse().ok().filter(|_| digits);
    amount.ok_or_else(|| Failure::Invalid("the body must be a decimal below 2^64, or empty".to_owned()))
}

fn add(key: String, amount: u64) -> Result<u64, Failure> {
    TOTALS.with_borrow_mut(|totals| {
        let total = totals.entry(key).or_default();
        let sum = total.checked_add(amount);
        *total = sum.ok_or_else(|| Failure::Invalid("the total would not fit 64 bits".to_owned()))?;
        Ok(*total)
    })
}

fn total(key: &str) -> u64 {
    TOTALS.with_borrow(|totals| totals.get(key).copied().unwrap_or(0))
}

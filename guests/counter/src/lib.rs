//! Adds up: a total per key, kept in the shard's state.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `add` | a decimal | the key's total after adding it |
//! | `get` | none | the key's total |
//!
//! Both answer in decimal. A body that is no decimal, a total over 2^64 - 1, and any other method are invalid.

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct Counter;

export!(Counter);

impl Guest for Counter {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let key = request.key.as_bytes();
        let total = match request.method.as_str() {
            "add" => add(key, &request.body)?,
            "get" => total(key)?,
            other => return Err(Failure::Invalid(format!("there is no method {other:?}: add and get are"))),
        };
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Ok(Reply { headers, body: total.to_string().into_bytes() })
    }
}

fn add(key: &[u8], body: &[u8]) -> Result<u64, Failure> {
    let invalid = |words: &str| Failure::Invalid(words.to_owned());
    let amount =
        decimal(body.trim_ascii()).ok_or_else(|| invalid("the body must be a decimal below 2^64"))?;
    let sum = total(key)?.checked_add(amount).ok_or_else(|| invalid("the total would not fit 64 bits"))?;
    store::set(key, sum.to_string().as_bytes()).map_err(|error| match error {
        StoreError::TooLarge(words) => Failure::Invalid(words),
        StoreError::QuotaExceeded => Failure::Failed("this shard has no room for more keys".to_owned()),
        StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
    })?;
    Ok(sum)
}

fn total(key: &[u8]) -> Result<u64, Failure> {
    let Some(value) = store::get(key) else { return Ok(0) };
    decimal(&value).ok_or_else(|| Failure::Failed("what is kept for this key is no total".to_owned()))
}

/// `parse` would take a sign.
fn decimal(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

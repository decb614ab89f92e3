//! Counts words: a total per key, kept in the shard's state.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `add`, or none | a decimal; empty means 1 | the key's total after adding it |
//! | `get` | none | the key's total |
//!
//! Both answer in decimal. A body that is no decimal, a total over 2^64 - 1, and any other method are invalid.

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct WordCount;

export!(WordCount);

impl Guest for WordCount {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let total = match request.method.as_str() {
            "" | "add" => add(&request.key, amount(&request.body)?)?,
            "get" => total(&request.key)?,
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
    decimal(text)
        .ok_or_else(|| Failure::Invalid("the body must be a decimal below 2^64, or empty".to_owned()))
}

/// `parse` would take a sign.
fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn add(key: &str, amount: u64) -> Result<u64, Failure> {
    let sum = total(key)?.checked_add(amount);
    let sum = sum.ok_or_else(|| Failure::Invalid("the total would not fit 64 bits".to_owned()))?;
    store::set(key.as_bytes(), sum.to_string().as_bytes()).map_err(refused)?;
    Ok(sum)
}

fn total(key: &str) -> Result<u64, Failure> {
    let Some(value) = store::get(key.as_bytes()) else { return Ok(0) };
    let total = str::from_utf8(&value).ok().and_then(decimal);
    total.ok_or_else(|| Failure::Failed("what is kept for this key is no total".to_owned()))
}

fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::TooLarge(words) => Failure::Invalid(words),
        StoreError::QuotaExceeded => Failure::Failed("this shard has no room for more words".to_owned()),
        StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
    }
}

//! A register per key, kept in the shard's state.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `put` | the value, any bytes | empty |
//! | `get` | none | the value; `not-found` where there is none |
//! | `delete` | none | empty, whether there was a value or not |
//! | `cas` | JSON: `{"expect": "old", "value": "new"}`, or `null` for a key that has no value | empty; `conflict` where the value is another one |
//!
//! Anything else is invalid, a value over the bounds of the workload too.

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use serde::Deserialize;
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct Kv;

export!(Kv);

/// What `cas` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Swap {
    #[serde(deserialize_with = "Option::deserialize")]
    expect: Option<String>,
    value: String,
}

impl Guest for Kv {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let key = request.key.as_bytes();
        let body = match request.method.as_str() {
            "put" => put(key, &request.body)?,
            "get" => {
                store::get(key).ok_or_else(|| Failure::NotFound(format!("{:?} has no value", request.key)))?
            }
            "delete" => store::delete(key).map(|()| Vec::new()).map_err(refused)?,
            "cas" => cas(key, &request.body)?,
            other => {
                let words = format!("there is no method {other:?}: put, get, delete and cas are");
                return Err(Failure::Invalid(words));
            }
        };
        Ok(Reply { headers: Vec::new(), body })
    }
}

fn put(key: &[u8], value: &[u8]) -> Result<Vec<u8>, Failure> {
    store::set(key, value).map(|()| Vec::new()).map_err(refused)
}

fn cas(key: &[u8], body: &[u8]) -> Result<Vec<u8>, Failure> {
    let swap: Swap = serde_json::from_slice(body).map_err(|error| {
        let form = r#"{"expect": string or null, "value": string}"#;
        Failure::Invalid(format!("the body must be JSON of the form {form}: {error}"))
    })?;
    let found = store::get(key);
    if found.as_deref() == swap.expect.as_deref().map(str::as_bytes) {
        return put(key, swap.value.as_bytes());
    }
    Err(Failure::Conflict(match found {
        Some(value) => format!("the value is {:?}", String::from_utf8_lossy(&value)),
        None => "there is no value".to_owned(),
    }))
}

fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::TooLarge(words) => Failure::Invalid(words),
        StoreError::QuotaExceeded => Failure::Failed("this shard has no room for more values".to_owned()),
        StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
    }
}

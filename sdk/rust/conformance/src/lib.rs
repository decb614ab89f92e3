//! One method for each thing that a handler can do: what each SDK is checked with.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `echo` | any bytes | the request's headers and body |
//! | `put` | the value | empty; it is kept under the request's key |
//! | `get` | none | the value; `not-found` "nothing is kept under this key" where there is none |
//! | `delete` | none | empty, whether there was a value or not |
//! | `scan` | the beginning of keys, text | those keys of the shard, in order, as a JSON list |
//! | `rollback` | the value | `failed` "rolled back", after it was written under the request's key |
//! | `invalid`, `not-found`, `conflict`, `failed` | a text | that failure with that text |
//! | `large` | a decimal | as many bytes of `x` |
//! | `place` | none | where the handler runs, as JSON: the fields of `shard-info.place`, with `_` for `-` |
//! | `config` | the name of a setting | its value; `not-found` "there is no such setting" where there is none |
//! | `log` | a line | empty; the line is logged at level info |
//! | `trap` | none | none: it panics |
//! | `spin` | none | none: it loops without end |
//! | `alloc` | a decimal | none: it allocates pieces of so many bytes until the host refuses, and traps |
//!
//! Any other method, and a body that is not what it should be, is `invalid`: a decimal has one to nine digits and nothing else. The guests of
//! the other SDKs behave alike, in the same words.

#[cfg(test)]
mod tests;

use std::hint::black_box;

use shardloom_guest::{Call, Failure, Level, Reply, State};

shardloom_guest::handler!(handle);

const METHODS: [&str; 17] = [
    "echo",
    "put",
    "get",
    "delete",
    "scan",
    "rollback",
    "invalid",
    "not-found",
    "conflict",
    "failed",
    "large",
    "place",
    "config",
    "log",
    "trap",
    "spin",
    "alloc",
];

/// Digits of a number of bytes: what fits a component's memory, with room to spare.
const DIGITS_MAX: usize = 9;

fn handle(call: &Call, state: &mut State) -> Result<Reply, Failure> {
    let text = || call.text().map(str::to_owned);
    match call.method() {
        "echo" => Ok(Reply { headers: call.headers().to_vec(), body: call.body().to_vec() }),
        "put" => {
            state.set(call.key(), call.body())?;
            Ok(Reply::empty())
        }
        "get" => {
            let value = state.get(call.key());
            value.map(Reply::bytes).ok_or_else(|| Failure::not_found("nothing is kept under this key"))
        }
        "delete" => {
            state.delete(call.key())?;
            Ok(Reply::empty())
        }
        "scan" => {
            let keys =
                state.scan_prefix(call.text()?).map(|(key, _)| String::from_utf8_lossy(&key).into_owned());
            Reply::json(&keys.collect::<Vec<String>>())
        }
        "rollback" => {
            state.set(call.key(), call.body())?;
            Err(Failure::failed("rolled back"))
        }
        "invalid" => Err(Failure::Invalid(text()?)),
        "not-found" => Err(Failure::NotFound(text()?)),
        "conflict" => Err(Failure::Conflict(text()?)),
        "failed" => Err(Failure::Failed(text()?)),
        "large" => Ok(Reply::bytes(vec![b'x'; decimal(call)?])),
        "place" => Reply::json(&call.place()),
        "config" => {
            let value = call.config(call.text()?);
            value.map(Reply::text).ok_or_else(|| Failure::not_found("there is no such setting"))
        }
        "log" => {
            call.log(Level::Info, "conformance", call.text()?);
            Ok(Reply::empty())
        }
        "trap" => panic!("as asked"),
        "spin" => loop {
            black_box(());
        },
        "alloc" => allocate_without_end(decimal(call)?),
        _ => Err(call.no_such_method(&METHODS)),
    }
}

fn allocate_without_end(piece_bytes: usize) -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; piece_bytes]));
    }
}

/// The body as a number; `parse` would take a sign, too.
fn decimal(call: &Call) -> Result<usize, Failure> {
    let text = call.text().unwrap_or_default();
    let digits = text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Failure::invalid("the body must be a decimal below 10^9"))
}

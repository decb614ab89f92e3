//! Does to `store` what its caller says, for tests: the body is a script, a line for each step, and the answer has a line for each.
//!
//! | step | answer |
//! |---|---|
//! | `set KEY VALUE` | `ok`, or the error |
//! | `set-bytes KEY COUNT` | the same, with a value of so many bytes |
//! | `delete KEY` | `ok`, or the error |
//! | `get KEY` | the value, or `none`; of a long value its length |
//! | `scan START END LIMIT` | `KEY=VALUE` for each row; an END of `-` is none, a START of `-` the first key |
//! | `walk LIMIT` | all keys, scanned page by page, and how many pages that took |
//! | `fail`, `trap`, `loop` | none: the call ends |
//!
//! A key written `KEY*COUNT` is the text so many times over.

use std::hint::black_box;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

/// Values up to this length are shown.
const SHOWN_BYTES_MAX: usize = 40;

struct Scripted;

export!(Scripted);

impl Guest for Scripted {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let script = String::from_utf8_lossy(&request.body).into_owned();
        let mut answer = String::new();
        for line in script.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            answer.push_str(&step(&words)?);
            answer.push('\n');
        }
        Ok(Reply { headers: Vec::new(), body: answer.into_bytes() })
    }
}

fn step(words: &[&str]) -> Result<String, Failure> {
    Ok(match words {
        ["set", key, value] => said(store::set(&text(key), value.as_bytes())),
        ["set-bytes", key, count] => said(store::set(&text(key), &vec![b'x'; number(count)?])),
        ["delete", key] => said(store::delete(&text(key))),
        ["get", key] => store::get(&text(key)).map_or_else(|| "none".to_owned(), |value| shown(&value)),
        ["scan", start, end, limit] => {
            let end = (*end != "-").then(|| text(end));
            let start = if *start == "-" { Vec::new() } else { text(start) };
            let limit = u32::try_from(number(limit)?).unwrap_or(u32::MAX);
            let row = |(key, value): &(Vec<u8>, Vec<u8>)| format!("{}={}", shown(key), shown(value));
            store::scan(&start, end.as_deref(), limit).iter().map(row).collect::<Vec<_>>().join(" ")
        }
        ["walk", limit] => walk(u32::try_from(number(limit)?).unwrap_or(u32::MAX)),
        ["fail"] => return Err(Failure::Failed("as asked".to_owned())),
        ["trap"] => core::arch::wasm32::unreachable(),
        ["loop"] => loop {
            black_box(());
        },
        other => return Err(Failure::Invalid(format!("no such step: {other:?}"))),
    })
}

/// Goes on from the last key with a zero byte appended, until there is no more.
fn walk(limit: u32) -> String {
    let (mut keys, mut pages, mut next) = (0, 0, Vec::new());
    loop {
        let page = store::scan(&next, None, limit);
        let Some((last, _)) = page.last() else { return format!("{keys} keys in {pages} pages") };
        next = [&last[..], &[0]].concat();
        keys += page.len();
        pages += 1;
    }
}

fn text(word: &str) -> Vec<u8> {
    match word.split_once('*') {
        Some((text, count)) => text.repeat(count.parse().unwrap_or(1)).into_bytes(),
        None => word.as_bytes().to_vec(),
    }
}

fn number(word: &str) -> Result<usize, Failure> {
    word.parse().map_err(|_| Failure::Invalid(format!("{word} is no number")))
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_BYTES_MAX {
        return format!("{} bytes", bytes.len());
    }
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(result: Result<(), StoreError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(StoreError::TooLarge(words)) => format!("too-large: {words}"),
        Err(StoreError::QuotaExceeded) => "quota-exceeded".to_owned(),
        Err(StoreError::Closed) => "closed".to_owned(),
    }
}

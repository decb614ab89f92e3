//! Misbehaves on request: one method for each way. For tests of the host and of clusters.
//!
//! `ok` (or none) echoes the body. `loop`, `alloc`, `recurse`, `trap`, `panic`, `big-reply`, `many-headers`,
//! `big-headers`, `big-failure` and `log-flood` are the faults; `invalid`, `not-found`, `conflict` and `failed` refuse with the body as text;
//! `slow` is busy for a while and then answers as it should; `alloc-and-cope` meets its memory limit and lives with it;
//! `place`, `config` and `log` show the imports at work.
//!
//! `write-then-trap`, `write-then-fail` and `write-then-loop` write the body to the state and end badly; `written` tells
//! what is there. `big-key`, `big-value`, `big-batch`, `many-changes` and `quota` go over the bounds of the state, and
//! fail with the words that they are told; `quota` takes the bytes of one value from the body. `write-blindly` writes without
//! reading.

use std::fmt::Write;
use std::hint::black_box;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::shard::shard_info;
use shardloom::shard::store::{self, StoreError};
use wasi::config::store as settings;
use wasi::logging::logging::{Level, log};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct Faulty;

export!(Faulty);

const GIB: usize = 1 << 30;

/// What the writing methods write to.
const KEY: &[u8] = b"written";

impl Guest for Faulty {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let text = || String::from_utf8_lossy(&request.body).into_owned();
        match request.method.as_str() {
            "" | "ok" => Ok(Reply { headers: request.headers, body: request.body }),
            "trap" => core::arch::wasm32::unreachable(),
            "panic" => panic!("as asked"),
            "loop" => loop {
                black_box(());
            },
            "alloc" => alloc_without_end(),
            "alloc-and-cope" => reply(alloc_and_cope()),
            "recurse" => reply(recurse(u64::MAX).to_string()),
            "big-reply" => Ok(Reply { headers: Vec::new(), body: vec![b'x'; size(&request.body)] }),
            "many-headers" => Ok(Reply { headers: many_headers(), body: Vec::new() }),
            "big-headers" => {
                Ok(Reply { headers: vec![("x-big".to_owned(), "x".repeat(1 << 20))], body: Vec::new() })
            }
            "big-failure" => Err(Failure::Failed("x".repeat(1 << 20))),
            "log-flood" => log_without_end(),
            "slow" => reply(busy(&request.body).to_string()),
            "write-then-trap" => {
                write(&request.body)?;
                core::arch::wasm32::unreachable()
            }
            "write-then-fail" => {
                write(&request.body)?;
                Err(Failure::Failed(written()))
            }
            "write-then-loop" => {
                write(&request.body)?;
                loop {
                    black_box(());
                }
            }
            "write-blindly" => write(&request.body).and_then(|()| reply("written".to_owned())),
            "written" => reply(written()),
            "big-key" => fill([(vec![b'k'; size(&request.body)], Vec::new())]),
            "big-value" => fill([(KEY.to_vec(), vec![b'x'; size(&request.body)])]),
            "big-batch" => fill((0_u32..).map(|key| (key.to_be_bytes().to_vec(), vec![b'x'; 40_000]))),
            "many-changes" => fill((0_u32..).map(|key| (key.to_be_bytes().to_vec(), Vec::new()))),
            "quota" => {
                let value = vec![b'x'; size(&request.body)];
                fill((0_u32..).map(|key| (key.to_be_bytes().to_vec(), value.clone())))
            }
            "invalid" => Err(Failure::Invalid(text())),
            "not-found" => Err(Failure::NotFound(text())),
            "conflict" => Err(Failure::Conflict(text())),
            "failed" => Err(Failure::Failed(text())),
            "place" => reply(place()),
            "config" => reply(config()),
            "log" => {
                log(Level::Info, "faulty", &text());
                reply(String::new())
            }
            other => Err(Failure::Invalid(format!("there is no method {other:?}"))),
        }
    }
}

fn reply(text: String) -> Result<Reply, Failure> {
    Ok(Reply { headers: Vec::new(), body: text.into_bytes() })
}

/// The body as a number of bytes; empty means 1 GiB.
fn size(body: &[u8]) -> usize {
    str::from_utf8(body).ok().and_then(|text| text.parse().ok()).unwrap_or(GIB)
}

fn write(value: &[u8]) -> Result<(), Failure> {
    store::set(KEY, value).map_err(told)
}

fn written() -> String {
    store::get(KEY).map_or_else(|| "nothing".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

/// Writes until it is refused.
fn fill(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Reply, Failure> {
    for (key, value) in rows {
        store::set(&key, &value).map_err(told)?;
    }
    reply("taken".to_owned())
}

fn told(error: StoreError) -> Failure {
    Failure::Failed(match error {
        StoreError::TooLarge(words) => words,
        StoreError::QuotaExceeded => "quota exceeded".to_owned(),
        StoreError::Closed => "closed".to_owned(),
    })
}

fn alloc_without_end() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Asks for more than any host gives, is told no, and says so.
fn alloc_and_cope() -> String {
    let mut bytes: Vec<u8> = Vec::new();
    match bytes.try_reserve_exact(GIB) {
        Ok(()) => "there was room".to_owned(),
        Err(_) => "no room".to_owned(),
    }
}

/// Plain recursion; nothing of it is kept in linear memory, so that it is the host's stack that ends.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    recurse(depth - 1).wrapping_mul(3) ^ depth
}

fn many_headers() -> Vec<(String, String)> {
    (0..100_000).map(|number| (format!("x-{number}"), String::new())).collect()
}

fn log_without_end() -> ! {
    let line = "flood ".repeat(1_000);
    loop {
        log(Level::Error, "flood", &line);
    }
}

/// Steps of arithmetic, each waiting for the one before; the body is millions of them. Empty: about 200 ms.
fn busy(body: &[u8]) -> u64 {
    const MILLIONS: u64 = 160;
    let millions = str::from_utf8(body).ok().and_then(|text| text.parse().ok()).unwrap_or(MILLIONS);
    (0..millions * 1_000_000).fold(1, |state: u64, step| state.wrapping_mul(6_364_136_223_846_793_005) ^ step)
}

fn place() -> String {
    let at = shard_info::current();
    format!(
        "{} of {} epoch {} on {} as {} v{}",
        at.shard, at.shard_count, at.epoch, at.node, at.workload, at.version
    )
}

fn config() -> String {
    let mut text = String::new();
    for (key, value) in settings::get_all().unwrap_or_default() {
        let again = settings::get(&key).ok().flatten();
        let _ = writeln!(text, "{key}={value} {}", again.as_deref() == Some(value.as_str()));
    }
    text
}

//! The conformance guest of wasi:http in Rust; `sdk/CONFORMANCE.md` says what each method does.
//!
//! It is made of `wstd` and the interfaces alone: a component of wasi:http in Rust needs no SDK.

use std::hint::black_box;

use serde_json::json;
use shardloom::shard::shard_info;
use wasi::config::store as settings;
use wasi::keyvalue0_2_0_draft2::store::{self, Bucket};
use wasi::logging::logging::{self, Level};
use wstd::http::{Body, Error, Request, Response};

wit_bindgen::generate!({
    inline: "
        package conformance:http;
        world guest {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:logging/logging@0.1.0-draft;
            import shardloom:shard/shard-info@0.1.0;
        }
    ",
    path: "../../../wit",
    world: "conformance:http/guest",
    generate_all,
});

/// Digits of a number of bytes: what fits a component's memory, with room to spare.
const DIGITS_MAX: usize = 9;

/// What a request is answered with.
struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// A request, taken whole.
struct Asked {
    key: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let answer = answer(request).await?.unwrap_or_else(|refusal| refusal);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(answer.body.into())?)
}

/// The inner error is a response, too: it ended the work early.
async fn answer(request: Request<Body>) -> Result<Result<Answer, Answer>, Error> {
    let (head, mut body) = request.into_parts();
    let mut segments = head.uri.path().split('/').skip(1);
    let (key, method) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let (Some(key), Some(method)) = (decoded(key), decoded(method)) else {
        return Ok(Err(text(400, "the path must be percent-encoded UTF-8")));
    };
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let asked = Asked { key, headers: headers.collect(), body: body.contents().await?.to_vec() };
    Ok(call(&method, asked))
}

fn call(method: &str, asked: Asked) -> Result<Answer, Answer> {
    let kept = || store::open("kept").map_err(not_done);
    match method {
        "echo" => {
            let headers = asked.headers.into_iter().filter(|(name, _)| name.starts_with("x-"));
            Ok(Answer { status: 200, headers: headers.collect(), body: asked.body })
        }
        "put" => kept()?.set(&asked.key, &asked.body).map(|()| bytes(Vec::new())).map_err(not_done),
        "get" => {
            let value = kept()?.get(&asked.key).map_err(not_done)?;
            value.map(bytes).ok_or_else(|| text(404, "nothing is kept under this key"))
        }
        "delete" => kept()?.delete(&asked.key).map(|()| bytes(Vec::new())).map_err(not_done),
        "scan" => Ok(json_of(&json!(keys(&kept()?, asked.text()?)?))),
        "rollback" => {
            kept()?.set(&asked.key, &asked.body).map_err(not_done)?;
            Err(text(500, "rolled back"))
        }
        "invalid" => Err(text(400, asked.text()?)),
        "not-found" => Err(text(404, asked.text()?)),
        "conflict" => Err(text(409, asked.text()?)),
        "failed" => Err(text(422, asked.text()?)),
        "large" => Ok(bytes(vec![b'x'; asked.decimal()?])),
        "place" => {
            let place = shard_info::current();
            Ok(json_of(&json!({
                "shard": place.shard,
                "shard_count": place.shard_count,
                "epoch": place.epoch,
                "node": place.node,
                "workload": place.workload,
                "version": place.version,
            })))
        }
        "config" => {
            let value = settings::get(asked.text()?).map_err(|error| text(500, &format!("{error:?}")))?;
            value.map(|value| text(200, &value)).ok_or_else(|| text(404, "there is no such setting"))
        }
        "log" => {
            logging::log(Level::Info, "conformance", asked.text()?);
            Ok(bytes(Vec::new()))
        }
        "trap" => panic!("as asked"),
        "spin" => loop {
            black_box(());
        },
        "alloc" => allocate_without_end(asked.decimal()?),
        _ => Err(text(400, &format!("there is no method {}", json!(method)))),
    }
}

/// All keys that begin so, page by page.
fn keys(kept: &Bucket, prefix: &str) -> Result<Vec<String>, Answer> {
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let page = kept.list_keys(cursor.as_deref()).map_err(not_done)?;
        keys.extend(page.keys.into_iter().filter(|key| key.starts_with(prefix)));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(keys);
        }
    }
}

fn allocate_without_end(piece_bytes: usize) -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; piece_bytes]));
    }
}

impl Asked {
    fn text(&self) -> Result<&str, Answer> {
        str::from_utf8(&self.body).map_err(|_| text(400, "the body must be UTF-8"))
    }

    /// The body as a number; `parse` would take a sign, too.
    fn decimal(&self) -> Result<usize, Answer> {
        let body = self.text().unwrap_or_default();
        let digits = body.len() <= DIGITS_MAX && body.bytes().all(|byte| byte.is_ascii_digit());
        let number = body.parse().ok().filter(|_| digits);
        number.ok_or_else(|| text(400, "the body must be a decimal below 10^9"))
    }
}

/// Decodes `%20` and the like.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// What the host did not do, in its words.
fn not_done(error: store::Error) -> Answer {
    match error {
        store::Error::Other(words) => text(500, &words),
        other => text(500, &format!("{other:?}")),
    }
}

fn bytes(body: Vec<u8>) -> Answer {
    Answer { status: 200, headers: Vec::new(), body }
}

fn text(status: u16, body: &str) -> Answer {
    named(status, "text/plain; charset=utf-8", body.to_owned())
}

fn json_of(value: &serde_json::Value) -> Answer {
    named(200, "application/json", value.to_string())
}

fn named(status: u16, kind: &str, body: String) -> Answer {
    let headers = vec![("content-type".to_owned(), kind.as_bytes().to_vec())];
    Answer { status, headers, body: body.into_bytes() }
}

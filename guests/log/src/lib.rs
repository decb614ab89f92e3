//! A log of lines per key, kept in the shard's state, a row for each line.
//!
//! | method | body | answer |
//! |---|---|---|
//! | `append` | one line of text, without its end | the number of lines, in decimal |
//! | `get` | none | all lines in order, each with a line feed after it |
//!
//! A body that is no single line is invalid. A log is full at 4 MiB, so that one reply holds it: then `append` fails.

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

/// Bytes of a log, line feeds counted.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// Rows that one scan is asked for.
const SCAN_ROWS: u32 = 1_000;

struct Log;

export!(Log);

/// How long a log is: the first of its rows. The rows of its lines follow, in order.
#[derive(Default)]
struct Head {
    lines: u64,
    bytes: u64,
}

impl Guest for Log {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let rows = rows_of(&request.key)?;
        let body = match request.method.as_str() {
            "append" => append(&rows, &request.body)?.to_string().into_bytes(),
            "get" => lines(&rows),
            other => {
                return Err(Failure::Invalid(format!("there is no method {other:?}: append and get are")));
            }
        };
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Ok(Reply { headers, body })
    }
}

/// What the rows of a log begin with: the length of its key keeps logs apart whose keys begin alike.
fn rows_of(key: &str) -> Result<Vec<u8>, Failure> {
    let length = u16::try_from(key.len());
    let length = length.map_err(|_| Failure::Invalid("the key must be shorter than 64 KiB".to_owned()))?;
    Ok([&length.to_be_bytes(), key.as_bytes()].concat())
}

fn append(rows: &[u8], line: &[u8]) -> Result<u64, Failure> {
    if str::from_utf8(line).is_err() || line.contains(&b'\n') {
        return Err(Failure::Invalid("the body must be one line of text, without a line feed".to_owned()));
    }
    let head = Head::read(rows);
    let head = Head { lines: head.lines + 1, bytes: head.bytes + line.len() as u64 + 1 };
    if head.bytes > LOG_BYTES_MAX {
        return Err(Failure::Failed(format!("the log is full: it may have {LOG_BYTES_MAX} bytes")));
    }
    store::set(&[rows, &head.lines.to_be_bytes()].concat(), line).map_err(refused)?;
    store::set(rows, &head.encode()).map_err(refused)?;
    Ok(head.lines)
}

fn lines(rows: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let row = |line: u64| [rows, &line.to_be_bytes()].concat();
    let (mut next, end) = (row(1), row(u64::MAX));
    loop {
        let page = store::scan(&next, Some(&end), SCAN_ROWS);
        let Some((last, _)) = page.last() else { return text };
        next = [&last[..], &[0]].concat();
        for (_, line) in page {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
    }
}

impl Head {
    fn read(rows: &[u8]) -> Head {
        let value = store::get(rows).unwrap_or_default();
        let Some((lines, bytes)) = value.split_first_chunk() else { return Head::default() };
        let Some(bytes) = bytes.first_chunk() else { return Head::default() };
        Head { lines: u64::from_be_bytes(*lines), bytes: u64::from_be_bytes(*bytes) }
    }

    fn encode(&self) -> Vec<u8> {
        [self.lines.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }
}

fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::TooLarge(words) => Failure::Invalid(words),
        StoreError::QuotaExceeded => Failure::Failed("this shard has no room for more lines".to_owned()),
        StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
    }
}

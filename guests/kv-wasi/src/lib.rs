//! Uses `wasi:keyvalue`, both drafts of it, as its caller says: for tests of the host.
//!
//! The key names the bucket; the method is a draft and an operation, as in `draft2 set-many`; the body has the words that go
//! with it. `get K`, `set K V`, `delete K`, `exists K`, `keys`, `increment K N`, `get-many K...`, `set-many K=V...` and
//! `delete-many K...` are in both. `numbers N` sets as many keys, and `set-and-fail K V` takes back what it did. `draft` has
//! `keep-cursor` and `use-cursor`, `draft2` has `cas K V` (a swap that goes well), `cas-lost K V W` (a write of W comes
//! between, the first swap fails, the second one goes well), `keep-cas K` and `use-cas V` (across two calls), and
//! `open-many N`.

mod draft;
mod draft2;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler-keyvalue", generate_all });

struct KvWasi;

export!(KvWasi);

impl Guest for KvWasi {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let words: Vec<&str> = body.split_whitespace().collect();
        let (draft, operation) = request.method.split_once(' ').unwrap_or_default();
        let answer = match draft {
            "draft" => draft::run(&request.key, operation, &words)?,
            "draft2" => draft2::run(&request.key, operation, &words)?,
            _ => return Err(Failure::Invalid("the method must begin with draft or draft2".to_owned())),
        };
        Ok(Reply { headers: Vec::new(), body: answer.into_bytes() })
    }
}

fn shown(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn pair(word: &str) -> (String, Vec<u8>) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    (key.to_owned(), value.as_bytes().to_vec())
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, Failure> {
    word.parse().map_err(|_| Failure::Invalid(format!("{word} is no number")))
}

fn unknown(operation: &str) -> Failure {
    Failure::Invalid(format!("there is no operation {operation}, or not with these words"))
}

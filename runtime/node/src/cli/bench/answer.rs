//! What an answer's bytes say: where its head and its body end, where the call ran, and what became of it.

use serde::Deserialize;
use shardloom_sharding::ids::{NodeId, ShardId};

/// Headers that an answer may have.
const HEADERS_MAX: usize = 128;

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head.
    pub(super) bytes: usize,
    /// The HTTP status.
    pub(super) status: u16,
    /// What follows.
    pub(super) body: Body,
    /// The connection can take another request.
    pub(super) stays: bool,
    /// The node that ran the call.
    pub(super) node: Option<NodeId>,
    /// The shard of its key.
    pub(super) shard: Option<ShardId>,
    /// Where in the head it says where that node answers.
    pub(super) address: std::ops::Range<usize>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// It has so many bytes.
    Bytes(u64),
    /// By its chunks.
    Chunks,
    /// By the end of the connection.
    UntilClosed,
}

/// Reads a head; none if it is not there as a whole.
///
/// # Errors
/// If this is not HTTP.
pub(super) fn head(bytes: &[u8], head_only: bool) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is not HTTP: {error}")),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head {
        bytes: length,
        status,
        body: Body::UntilClosed,
        stays: response.version == Some(1),
        node: None,
        shard: None,
        address: 0..0,
    };
    for header in response.headers.iter() {
        note(&mut head, header, bytes);
    }
    if head_only || status < 200 || status == 204 || status == 304 {
        head.body = Body::Bytes(0);
    }
    head.stays &= head.body != Body::UntilClosed;
    Ok(Some(head))
}

fn note(head: &mut Head, header: &httparse::Header<'_>, bytes: &[u8]) {
    let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    if is("content-length") {
        if let (Ok(length), false) = (value.parse(), head.body == Body::Chunks) {
            head.body = Body::Bytes(length);
        }
    } else if is("transfer-encoding") {
        head.body = Body::Chunks;
    } else if is("connection") {
        head.stays &= !value.eq_ignore_ascii_case("close");
    } else if is("shardloom-node") {
        head.node = value.parse().ok();
    } else if is("shardloom-shard") {
        head.shard = value.parse().ok().map(ShardId);
    } else if is("shardloom-node-http") {
        // A part of `bytes`, so the distance of the two is its place.
        let start = (header.value.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
        head.address = start..start + header.value.len();
    }
}

/// Where a body in chunks ends, from the beginning of some chunk on; none if it is not there as a whole. `at` is moved to
/// the last chunk whose beginning is there.
///
/// # Errors
/// If this is no body in chunks.
pub(super) fn end_of_chunks(bytes: &[u8], at: &mut usize) -> Result<Option<usize>, String> {
    loop {
        let rest = bytes.get(*at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("the answer's chunks do not fit".into()),
        };
        if size == 0 {
            // Trailers may follow; an empty line ends them.
            let mut from = *at + line;
            loop {
                let rest = bytes.get(from..).unwrap_or_default();
                let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
                from += end + 2;
                if end == 0 {
                    return Ok(Some(from));
                }
            }
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let next = at.saturating_add(line).saturating_add(size).saturating_add(2);
        if next > bytes.len() {
            return Ok(None);
        }
        *at = next;
    }
}

/// What became of a call that was not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What kind, in one word.
    pub(super) code: String,
    /// Whether the call was carried out.
    pub(super) executed: &'static str,
    /// One such failure in words.
    pub(super) detail: String,
}

impl Failure {
    /// One that did not come from a node.
    pub(super) fn own(code: &str, executed: &'static str, detail: impl Into<String>) -> Failure {
        Failure { code: code.to_owned(), executed, detail: detail.into() }
    }

    /// What an answer of 400 and above says.
    pub(super) fn of(head: &Head, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Problem {
            code: String,
            executed: String,
            #[serde(default)]
            detail: String,
        }
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            let executed = match problem.executed.as_str() {
                "no" => "no",
                "rolled-back" => "rolled-back",
                _ => "unknown",
            };
            return Failure { code: problem.code, executed, detail: problem.detail };
        }
        // A component of wasi:http answers what it likes; what it wrote stays, unless it says that it failed.
        let executed = match (head.node, head.status) {
            (None, _) => "unknown",
            (Some(_), 500..) => "rolled-back",
            (Some(_), _) => "yes",
        };
        let text = String::from_utf8_lossy(body);
        let detail: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
        Failure { code: format!("status-{}", head.status), executed, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nshardloom-node: 00000000000000a1\r\n\
        shardloom-shard: 7\r\nshardloom-node-http: n1:7080\r\n\r\nok";

    fn read(bytes: &[u8]) -> Head {
        head(bytes, false).unwrap().unwrap()
    }

    #[test]
    fn a_head_says_where_the_call_ran_and_where_the_answer_ends() {
        let head = read(GOOD);
        assert_eq!((head.status, head.body, head.stays), (200, Body::Bytes(2), true));
        assert_eq!(&GOOD[head.bytes..], b"ok");
        assert_eq!((head.node, head.shard), (Some(NodeId(0xa1)), Some(ShardId(7))));
        assert_eq!(&GOOD[head.address], b"n1:7080");
    }

    #[test]
    fn a_head_that_is_not_whole_is_none_and_one_that_is_no_http_an_error() {
        for end in 0..read(GOOD).bytes {
            assert_eq!(head(&GOOD[..end], false), Ok(None), "{end}");
        }
        assert!(head(b"SSH-2.0-x\r\n\r\n", false).is_err());
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let body = |text: &str| {
            let head = read(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes());
            (head.body, head.stays)
        };
        assert_eq!(body("204 No Content"), (Body::Bytes(0), true));
        assert_eq!(body("200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5"), (Body::Chunks, true));
        assert_eq!(body("200 OK\r\ncontent-length: 5\r\nconnection: close"), (Body::Bytes(5), false));
        assert_eq!(body("200 OK"), (Body::UntilClosed, false));
        assert_eq!(head(GOOD, true).unwrap().unwrap().body, Body::Bytes(0));
    }

    #[test]
    fn a_body_in_chunks_ends_with_an_empty_one_however_it_comes() {
        let whole = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(end_of_chunks(&whole[..end], &mut 0), Ok(None), "{end}");
        }
        assert_eq!(end_of_chunks(whole, &mut 0), Ok(Some(whole.len())));
        assert!(end_of_chunks(b"zz\r\n", &mut 0).is_err());
    }

    #[test]
    fn a_failure_has_the_nodes_word_or_else_the_status() {
        let said = br#"{"status":503,"code":"overloaded","executed":"no","detail":"later"}"#;
        let head = Head { status: 503, node: None, ..read(GOOD) };
        assert_eq!(Failure::of(&head, said), Failure::own("overloaded", "no", "later"));
        assert_eq!(Failure::of(&head, b"Bad\nGateway"), Failure::own("status-503", "unknown", "Bad"));
        assert_eq!(Failure::of(&Head { status: 404, ..read(GOOD) }, b"").executed, "yes");
        assert_eq!(Failure::of(&Head { status: 500, ..read(GOOD) }, b"").executed, "rolled-back");
    }
}

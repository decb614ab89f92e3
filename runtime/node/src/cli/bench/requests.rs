//! The bytes of calls. What is the same in all calls of a method is put together once; a call adds its key and its node.

use std::io::Write;

use anyhow::{Context, bail, ensure};
use ureq::http::{HeaderName, HeaderValue, Method, Uri};

use crate::cli::segment::segment;

/// What stands for the key, in a path and in headers.
pub(super) const KEY: &str = "{key}";
/// Headers that are not the user's to set.
const OWN_HEADERS: [&str; 5] =
    ["host", "content-length", "transfer-encoding", "connection", "shardloom-timeout-ms"];
/// Methods of HTTP whose requests have no body.
const WITHOUT_BODY: [Method; 4] = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS];

/// A method, and how often it is called beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weighted {
    /// Its name.
    pub(super) name: String,
    /// Its weight.
    pub(super) weight: u32,
}

/// Reads `NAME` or `NAME:WEIGHT`.
///
/// # Errors
/// If the weight is too large.
pub(super) fn weighted(text: &str) -> Result<Weighted, String> {
    let (name, weight) = match text.rsplit_once(':') {
        Some((name, weight)) if !weight.is_empty() && weight.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, weight.parse().map_err(|_| format!("{weight} is too large a weight"))?)
        }
        _ => (text, 1),
    };
    Ok(Weighted { name: name.to_owned(), weight })
}

/// What is sent, as the command line says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) workload: &'a str,
    /// For a component of wasi:http; left out, a shard handler is called.
    pub(super) path: Option<&'a str>,
    pub(super) methods: &'a [Weighted],
    pub(super) headers: &'a [String],
    pub(super) body: &'a [u8],
    pub(super) key_prefix: &'a str,
    pub(super) timeout_ms: u64,
}

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Requests {
    methods: Vec<Template>,
    prefix: String,
    prefix_encoded: String,
}

/// The requests of one method.
#[derive(Debug)]
struct Template {
    pieces: Vec<Piece>,
    /// The answer has no body, whatever its head says.
    head_only: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Key,
    KeyEncoded,
    Host,
}

impl Requests {
    /// Puts together what is the same in all calls.
    ///
    /// # Errors
    /// If that would be no HTTP request.
    pub(super) fn new(wanted: &Wanted<'_>) -> anyhow::Result<Requests> {
        let methods = wanted.methods.iter().map(|method| template(wanted, &method.name));
        Ok(Requests {
            methods: methods.collect::<anyhow::Result<_>>()?,
            prefix: wanted.key_prefix.to_owned(),
            prefix_encoded: segment(wanted.key_prefix),
        })
    }

    /// The name of a key.
    pub(super) fn key(&self, key: u32) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether calls of this method are answered by a head alone.
    pub(super) fn head_only(&self, method: usize) -> bool {
        self.methods.get(method).is_some_and(|method| method.head_only)
    }

    /// Writes a request for the node whose `host` header this is, in place of what `into` held.
    pub(super) fn write(&self, method: usize, key: u32, host: &str, into: &mut Vec<u8>) {
        into.clear();
        let pieces = self.methods.get(method).map(|method| method.pieces.as_slice());
        for piece in pieces.unwrap_or_default() {
            let prefix = match piece {
                Piece::Text(text) => {
                    into.extend_from_slice(text);
                    continue;
                }
                Piece::Host => {
                    into.extend_from_slice(host.as_bytes());
                    continue;
                }
                Piece::Key => &self.prefix,
                Piece::KeyEncoded => &self.prefix_encoded,
            };
            into.extend_from_slice(prefix.as_bytes());
            // Writing to memory does not fail.
            let _ = write!(into, "{key}");
        }
    }
}

fn template(wanted: &Wanted<'_>, method: &str) -> anyhow::Result<Template> {
    let workload = segment(wanted.workload);
    let (verb, target, body) = match wanted.path {
        None => {
            let query =
                if method.is_empty() { String::new() } else { format!("?method={}", segment(method)) };
            (Method::POST, format!("/v1/call/{workload}/{KEY}{query}"), wanted.body)
        }
        Some(path) => {
            let verb: Method = method.parse().with_context(|| format!("{method:?} is no method of HTTP"))?;
            ensure!(path.starts_with('/'), "--path {path:?} must begin with a slash");
            let uri = path.replace(KEY, "key").parse::<Uri>();
            uri.with_context(|| format!("--path {path:?} is no path: encode what is special in it as %XX"))?;
            let body = if WITHOUT_BODY.contains(&verb) { [].as_slice() } else { wanted.body };
            (verb, format!("/w/{workload}{path}"), body)
        }
    };
    let head_only = verb == Method::HEAD;
    let mut pieces = Vec::new();
    push(&mut pieces, &format!("{verb} "));
    push_with_key(&mut pieces, &target, || Piece::KeyEncoded);
    push(&mut pieces, " HTTP/1.1\r\nhost: ");
    pieces.push(Piece::Host);
    push(&mut pieces, &format!("\r\nshardloom-timeout-ms: {}\r\n", wanted.timeout_ms));
    if !body.is_empty() || [Method::POST, Method::PUT].contains(&verb) {
        push(&mut pieces, &format!("content-length: {}\r\n", body.len()));
    }
    for line in wanted.headers {
        push_with_key(&mut pieces, &checked(line)?, || Piece::Key);
        push(&mut pieces, "\r\n");
    }
    push(&mut pieces, "\r\n");
    pieces.push(Piece::Text(body.to_vec()));
    Ok(Template { pieces, head_only })
}

/// A header as it is written.
fn checked(line: &str) -> anyhow::Result<String> {
    let (name, value) =
        line.split_once(':').with_context(|| format!("--header {line:?}: give it as NAME: VALUE"))?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let good = HeaderName::try_from(&name).is_ok() && HeaderValue::try_from(value).is_ok();
    ensure!(good, "--header {line:?} is no header of HTTP");
    if OWN_HEADERS.contains(&name.as_str()) {
        bail!("--header {name} is set by the command itself");
    }
    Ok(format!("{name}: {value}"))
}

fn push_with_key(pieces: &mut Vec<Piece>, text: &str, key: impl Fn() -> Piece) {
    for (number, part) in text.split(KEY).enumerate() {
        if number > 0 {
            pieces.push(key());
        }
        push(pieces, part);
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(before)) => before.extend_from_slice(text.as_bytes()),
        _ => pieces.push(Piece::Text(text.as_bytes().to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted {
        workload: "w",
        path: None,
        methods: &[],
        headers: &[],
        body: b"",
        key_prefix: "k-",
        timeout_ms: 5,
    };

    fn written(wanted: Wanted<'_>, method: &str) -> anyhow::Result<String> {
        let methods = [Weighted { name: method.to_owned(), weight: 1 }];
        let requests = Requests::new(&Wanted { methods: &methods, ..wanted })?;
        let mut into = b"what was there".to_vec();
        requests.write(0, 42, "node:1", &mut into);
        Ok(String::from_utf8(into).unwrap())
    }

    #[test]
    fn a_call_of_a_handler_has_its_key_in_the_path() {
        let wanted = Wanted { body: b"1", key_prefix: "a/b", ..WANTED };
        assert_eq!(
            written(wanted, "get it").unwrap(),
            "POST /v1/call/w/a%2Fb42?method=get%20it HTTP/1.1\r\nhost: node:1\r\nshardloom-timeout-ms: 5\r\n\
             content-length: 1\r\n\r\n1"
        );
        assert!(written(WANTED, "").unwrap().starts_with("POST /v1/call/w/k-42 HTTP/1.1\r\n"));
    }

    #[test]
    fn a_request_of_wasi_http_has_its_key_where_it_is_wanted() {
        let headers = ["X-Tenant: t-{key}".to_owned()];
        let wanted = Wanted { path: Some("/a/{key}/{key}?x=1"), headers: &headers, body: b"b", ..WANTED };
        assert_eq!(
            written(wanted, "GET").unwrap(),
            "GET /w/w/a/k-42/k-42?x=1 HTTP/1.1\r\nhost: node:1\r\nshardloom-timeout-ms: 5\r\n\
             x-tenant: t-k-42\r\n\r\n"
        );
        assert!(written(wanted, "PUT").unwrap().ends_with("content-length: 1\r\nx-tenant: t-k-42\r\n\r\nb"));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(written(Wanted { path: Some("key"), ..WANTED }, "GET").is_err());
        assert!(written(Wanted { path: Some("/a b"), ..WANTED }, "GET").is_err());
        assert!(written(Wanted { path: Some("/"), ..WANTED }, "G E T").is_err());
        for line in ["x", "x y: z", "x: a\r\nb: c", "Host: other", "content-length: 7"] {
            let headers = [line.to_owned()];
            assert!(written(Wanted { headers: &headers, ..WANTED }, "").is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_method_has_a_weight_where_a_number_follows_it() {
        let of = |text| weighted(text).map(|method| (method.name, method.weight));
        assert_eq!(of("get"), Ok(("get".into(), 1)));
        assert_eq!(of("get:3"), Ok(("get".into(), 3)));
        assert_eq!(of("ns:get"), Ok(("ns:get".into(), 1)));
        assert_eq!(of("ns:get:2"), Ok(("ns:get".into(), 2)));
        assert!(of("get:99999999999").is_err());
    }
}

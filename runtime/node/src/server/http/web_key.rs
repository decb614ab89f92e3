//! Finds the key of an HTTP request where its workload says that it is.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use shardloom_protocol::key_from::KeyFrom;

use super::calls::decoded;
use crate::server::calls::idempotency;
use crate::server::problem::{Code, Problem};

/// The key of a request; `path` is what follows the workload's name, with its slash.
///
/// A segment that the path does not have is the empty key, so that a workload has a root. A header, parameter or cookie that
/// is not there is an error: such requests would all meet on one shard, and never find what was kept under a key. So is one that is
/// there twice: the component might go by the other one. Where a request may lack it, one that does gets a random key, so that no
/// shard has all of them; under an idempotency key, which is tried again through any node, it gets that one.
///
/// # Errors
/// `bad-request`, with the name of what is missing.
pub fn find(
    key_from: &KeyFrom,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<String, Problem> {
    let found = match key_from {
        KeyFrom::OrRandom(part) => match look(part, path, query, headers)? {
            Some(key) => Some(key),
            None => Some(made_up(headers)?),
        },
        _ => look(key_from, path, query, headers)?,
    };
    found.ok_or_else(|| {
        let words = format!("the request has no {key_from}, and this workload takes its key from there");
        Problem::new(Code::BadRequest, words)
    })
}

/// What the request has there, if it has anything.
fn look(
    key_from: &KeyFrom,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Option<String>, Problem> {
    match key_from {
        KeyFrom::WholePath => Ok(Some(decoded(path, "the path")?)),
        KeyFrom::Path(segment) => {
            let index = usize::from(*segment).saturating_sub(1);
            Ok(Some(decoded(path.split('/').skip(1).nth(index).unwrap_or_default(), "the path")?))
        }
        KeyFrom::Query(name) => {
            one(parameters(query.unwrap_or_default(), name)?.into_iter().map(Ok), key_from)
        }
        KeyFrom::Header(name) => {
            let values = headers.get_all(name).iter();
            one(values.map(|value| utf8(value.as_bytes(), name).map(str::to_owned)), key_from)
        }
        KeyFrom::Cookie(name) => one(cookies(headers, name)?.into_iter().map(Ok), key_from),
        // What is parsed has one level only.
        KeyFrom::OrRandom(part) => look(part, path, query, headers),
    }
}

/// A key for a request that has none.
fn made_up(headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(key) = headers.get(idempotency::HEADER) {
        return Ok(utf8(key.as_bytes(), idempotency::HEADER)?.to_owned());
    }
    let random = getrandom::u64().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(format!("{random:016x}"))
}

/// The one value, if there is one.
fn one(
    mut values: impl Iterator<Item = Result<String, Problem>>,
    key_from: &KeyFrom,
) -> Result<Option<String>, Problem> {
    let value = values.next().transpose()?;
    match values.next() {
        None => Ok(value),
        Some(_) => {
            let words = format!(
                "the request has more than one {key_from}, and this workload takes its key from there"
            );
            Err(Problem::new(Code::BadRequest, words))
        }
    }
}

fn parameters(query: &str, name: &str) -> Result<Vec<String>, Problem> {
    let mut values = Vec::new();
    for pair in query.split('&') {
        let (given, value) = pair.split_once('=').unwrap_or((pair, ""));
        if form_decoded(given)? == name {
            values.push(form_decoded(value)?);
        }
    }
    Ok(values)
}

/// As forms encode it: a plus is a space.
fn form_decoded(text: &str) -> Result<String, Problem> {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    decoded(&text, "the query")
}

fn cookies(headers: &HeaderMap, name: &str) -> Result<Vec<String>, Problem> {
    let mut values = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        for pair in utf8(line.as_bytes(), "cookie")?.split(';') {
            if let Some((given, value)) = pair.split_once('=')
                && given.trim() == name
            {
                let value = value.trim();
                let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                values.push(quoted.unwrap_or(value).to_owned());
            }
        }
    }
    Ok(values)
}

fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::BadRequest, format!("the value of header {name} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn key(from: &str, target: &str, headers: &[(&'static str, &str)]) -> Result<String, Code> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        find(&from.parse().unwrap(), path, query, &headers.collect()).map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_is_found_where_the_workload_says() {
        let of = |key: &str| Ok(key.to_owned());
        assert_eq!(key("path:1", "/a%2Fb/c", &[]), of("a/b"));
        assert_eq!(key("path:2", "/a/b?x", &[]), of("b"));
        assert_eq!(key("path:1", "/", &[]), of(""));
        assert_eq!(key("path:3", "/a/b", &[]), of(""));
        assert_eq!(key("whole-path", "/a/b?x=1", &[]), of("/a/b"));
        assert_eq!(key("query:id", "/?a=1&id=x+y%21", &[]), of("x y!"));
        assert_eq!(key("header:X-Tenant", "/", &[("x-tenant", "t1")]), of("t1"));
        assert_eq!(key("cookie:s", "/", &[("cookie", "a=1; s=\"v\"; b=2")]), of("v"));
    }

    #[test]
    fn a_request_that_may_lack_its_key_gets_one() {
        let drawn = |headers| key("cookie:c,random", "/", headers).unwrap();
        assert_eq!(drawn(&[("cookie", "c=1")]), "1");
        assert_ne!(drawn(&[]), drawn(&[]));
        assert_eq!(drawn(&[("idempotency-key", "again")]), "again");
        assert_eq!(key("cookie:c,random", "/", &[("cookie", "c=1; c=2")]), Err(Code::BadRequest));
        assert_eq!(key("query:id,random", "/?id=7", &[]), Ok("7".to_owned()));
    }

    #[test]
    fn a_key_that_is_missing_or_no_text_is_refused() {
        for (from, target) in
            [("query:id", "/?i=1"), ("header:h", "/"), ("cookie:c", "/"), ("path:1", "/%ff")]
        {
            assert_eq!(key(from, target, &[]), Err(Code::BadRequest), "{from}");
        }
        assert_eq!(key("cookie:c", "/", &[("cookie", "cc=1")]), Err(Code::BadRequest));
        assert_eq!(key("cookie:c", "/", &[("cookie", "c=1; c=2")]), Err(Code::BadRequest));
        assert_eq!(key("query:id", "/?id=1&id=2", &[]), Err(Code::BadRequest));
    }
}

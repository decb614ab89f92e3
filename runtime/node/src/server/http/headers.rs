//! Which headers pass between callers and guests.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use shardloom_cluster::control::AccessTokens;
use shardloom_protocol::call::Given;
use shardloom_sharding::ids::Epoch;

use super::auth;
use crate::server::calls::outcome::Place;
use crate::server::problem::{Code, Problem};
use crate::server::view::View;

/// The start of the names that are ours.
const OWN_PREFIX: &str = "shardloom-";
/// How long the caller waits, in milliseconds.
pub const TIMEOUT_MS: &str = "shardloom-timeout-ms";
/// Which node ran the call.
const NODE: HeaderName = HeaderName::from_static("shardloom-node");
/// Where that node answers clients: who comes again with the same key may go there at once.
const NODE_HTTP: HeaderName = HeaderName::from_static("shardloom-node-http");
/// On which shard.
const SHARD: HeaderName = HeaderName::from_static("shardloom-shard");
/// Under which epoch.
const EPOCH: HeaderName = HeaderName::from_static("shardloom-epoch");
/// Which version of the workload.
const VERSION: HeaderName = HeaderName::from_static("shardloom-workload-version");

/// What every reply of a call carries of ours, as far as it is known.
pub const OF_REPLIES: [&str; 5] = [
    "shardloom-node",
    "shardloom-node-http",
    "shardloom-shard",
    "shardloom-epoch",
    "shardloom-workload-version",
];

/// The answer was made for an earlier request under the same idempotency key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Headers that belong to one connection, and those that the guest's own interface replaces.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

fn passes(name: &str) -> bool {
    !HOP_BY_HOP.contains(&name) && !name.starts_with(OWN_PREFIX) && name != REPLAYED.as_str()
}

/// The caller's headers for the guest: without hop-by-hop ones, those that `connection` names, ours, and a token of the API.
///
/// # Errors
/// `bad-request` for a value that is not UTF-8.
pub fn for_guest(headers: &HeaderMap, tokens: &AccessTokens) -> Result<Vec<(String, String)>, Problem> {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut passed = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let dropped = !passes(name.as_str()) || named.iter().any(|dropped| dropped == name.as_str());
        if dropped || (name == header::AUTHORIZATION && carries_token(headers, tokens)) {
            continue;
        }
        let value = std::str::from_utf8(value.as_bytes()).map_err(|_| {
            Problem::new(Code::BadRequest, format!("the value of header {name} is not UTF-8"))
        })?;
        passed.push((name.as_str().to_owned(), value.to_owned()));
    }
    Ok(passed)
}

fn carries_token(headers: &HeaderMap, tokens: &AccessTokens) -> bool {
    auth::bearer(headers).is_some_and(|token| tokens.holder(&auth::digest(token)).is_some())
}

/// The guest's headers for the caller: what is not a valid header, or not the guest's to set, is left out.
///
/// `default_type` is the type of a body that the guest names none for.
pub fn from_guest(headers: Vec<(String, String)>, default_type: Option<&'static str>) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len() + 5);
    for (name, value) in headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) if passes(name.as_str()) => {
                passed.append(name, value);
            }
            _ => {}
        }
    }
    if let Some(kind) = default_type.filter(|_| !passed.contains_key(header::CONTENT_TYPE)) {
        passed.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    passed
}

/// Adds where a call ran.
pub fn add_place(headers: &mut HeaderMap, place: &Place, view: &View) {
    if let Ok(node) = HeaderValue::try_from(place.node.to_string()) {
        headers.insert(NODE, node);
    }
    let member = view.members.get(&place.node);
    if let Some(Ok(address)) = member.map(|member| HeaderValue::try_from(&member.http)) {
        headers.insert(NODE_HTTP, address);
    }
    headers.insert(SHARD, HeaderValue::from(place.shard.0));
    add_epoch(headers, place.epoch);
    headers.insert(VERSION, HeaderValue::from(place.version));
    if place.given == Given::Before {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Adds the epoch that an answer rests on.
pub fn add_epoch(headers: &mut HeaderMap, epoch: Epoch) {
    headers.insert(EPOCH, HeaderValue::from(epoch.0));
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;

    use super::*;

    #[test]
    fn hop_by_hop_own_and_token_headers_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("shardloom-timeout-ms", "5"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "grüße"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let kept = vec![("x-kept".to_owned(), "grüße".to_owned())];
        assert_eq!(for_guest(&headers, &AccessTokens::default()).unwrap(), kept);
        headers.insert("x-bad", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(for_guest(&headers, &AccessTokens::default()).unwrap_err().code, Code::BadRequest);
    }

    #[test]
    fn a_guest_never_sees_a_token_of_the_api_but_sees_any_other() {
        let tokens = AccessTokens::founded(Digest(auth::digest(b"secret")), 1);
        let with = |value| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(for_guest(&with("Bearer secret"), &tokens).unwrap(), vec![]);
        assert_eq!(for_guest(&with("Bearer other"), &tokens).unwrap().len(), 1);
    }

    #[test]
    fn a_guest_cannot_set_what_is_not_its_own() {
        let pairs =
            [("shardloom-node", "x"), ("content-length", "9"), ("bad name", "x"), ("x-a", "1"), ("x-a", "2")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = from_guest(pairs.into(), Some("application/octet-stream"));
        assert_eq!(headers.get_all("x-a").iter().count(), 2);
        assert_eq!(headers.len(), 3, "{headers:?}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
    }
}

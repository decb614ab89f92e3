//! Where in an HTTP request its key is: what a workload of wasi:http says at its deploy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Segments of a path that are counted at most: paths are no longer than that.
const SEGMENT_MAX: u16 = 1_000;

/// What is written behind a part that a request may lack.
const OR_RANDOM: &str = ",random";

/// The part of a request that picks its shard. Written `path:N`, `header:NAME`, `query:NAME`, `cookie:NAME` or `whole-path`; the
/// middle three with `,random` behind them where a request may lack it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum KeyFrom {
    /// That segment of the path behind the workload's name, from 1.
    Path(u16),
    /// The value of that header; its name is in lower case.
    Header(String),
    /// The value of that parameter of the query.
    Query(String),
    /// The value of that cookie.
    Cookie(String),
    /// The path behind the workload's name.
    WholePath,
    /// That header, parameter or cookie; a request that has none goes to some shard, each time another.
    OrRandom(Box<KeyFrom>),
}

/// What was written names no part of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no part of a request: write path:1, header:NAME, query:NAME, cookie:NAME or whole-path; header, query \
     and cookie may have ,random behind them"
)]
pub struct KeyFromError(String);

impl FromStr for KeyFrom {
    type Err = KeyFromError;

    fn from_str(text: &str) -> Result<KeyFrom, KeyFromError> {
        let error = || KeyFromError(text.to_owned());
        if text == "whole-path" {
            return Ok(KeyFrom::WholePath);
        }
        if let Some(part) = text.strip_suffix(OR_RANDOM) {
            return match part.parse() {
                Ok(part @ (KeyFrom::Header(_) | KeyFrom::Query(_) | KeyFrom::Cookie(_))) => {
                    Ok(KeyFrom::OrRandom(Box::new(part)))
                }
                // A path is always there.
                _ => Err(error()),
            };
        }
        let (kind, name) = text.split_once(':').ok_or_else(error)?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(error());
        }
        match kind {
            "path" => match name.parse() {
                Ok(segment @ 1..=SEGMENT_MAX) => Ok(KeyFrom::Path(segment)),
                _ => Err(error()),
            },
            "header" if name.chars().all(is_token) => Ok(KeyFrom::Header(name.to_ascii_lowercase())),
            "query" => Ok(KeyFrom::Query(name.to_owned())),
            "cookie" => Ok(KeyFrom::Cookie(name.to_owned())),
            _ => Err(error()),
        }
    }
}

/// Whether the name of a header may have this character (RFC 9110, section 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

impl fmt::Display for KeyFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFrom::Path(segment) => write!(f, "path:{segment}"),
            KeyFrom::Header(name) => write!(f, "header:{name}"),
            KeyFrom::Query(name) => write!(f, "query:{name}"),
            KeyFrom::Cookie(name) => write!(f, "cookie:{name}"),
            KeyFrom::WholePath => f.write_str("whole-path"),
            KeyFrom::OrRandom(part) => write!(f, "{part}{OR_RANDOM}"),
        }
    }
}

impl From<KeyFrom> for String {
    fn from(key_from: KeyFrom) -> String {
        key_from.to_string()
    }
}

impl TryFrom<String> for KeyFrom {
    type Error = KeyFromError;

    fn try_from(text: String) -> Result<KeyFrom, KeyFromError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_and_nonsense_is_refused() {
        for text in ["path:1", "path:12", "header:x-tenant", "query:id", "cookie:session", "whole-path"] {
            assert_eq!(text.parse::<KeyFrom>().unwrap().to_string(), text);
        }
        for text in ["header:x-tenant,random", "query:id,random", "cookie:session,random"] {
            assert_eq!(text.parse::<KeyFrom>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-Tenant".parse(), Ok(KeyFrom::Header("x-tenant".into())));
        for text in [
            "",
            "path",
            "path:",
            "path:0",
            "path:x",
            "path:70000",
            "header:",
            "header:a(b)",
            "query:a b",
            "body:1",
            ",random",
            "path:1,random",
            "whole-path,random",
            "cookie:a,random,random",
        ] {
            assert!(text.parse::<KeyFrom>().is_err(), "{text:?}");
        }
    }
}

//! What a handler answers.

use serde::Serialize;

use crate::failure::Failure;

/// Headers and bytes for the caller.
///
/// Without a `content-type` the caller gets `application/octet-stream`. Hop-by-hop headers and those that begin with
/// `shardloom-` do not reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// Bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// A reply that says no more than that the call was carried out.
    pub fn empty() -> Reply {
        Reply::default()
    }

    /// A reply of any bytes.
    pub fn bytes(body: impl Into<Vec<u8>>) -> Reply {
        Reply { headers: Vec::new(), body: body.into() }
    }

    /// A reply of text.
    pub fn text(body: impl Into<String>) -> Reply {
        Reply::bytes(body.into().into_bytes()).header("content-type", "text/plain; charset=utf-8")
    }

    /// A reply of JSON.
    ///
    /// # Errors
    /// `failed` for a value that JSON has no form for, such as a map whose keys are no text.
    pub fn json(body: &(impl Serialize + ?Sized)) -> Result<Reply, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::Failed(format!("the reply has no form in JSON: {error}")))?;
        Ok(Reply::bytes(body).header("content-type", "application/json"))
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_reply_says_what_its_bytes_are() {
        let text = Reply::text("3");
        assert_eq!(text.headers, [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())]);
        let json = Reply::json(&[1, 2]).unwrap().header("x-a", "b");
        assert_eq!(json.body, b"[1,2]");
        assert_eq!(json.headers[1], ("x-a".to_owned(), "b".to_owned()));
        assert!(Reply::bytes("raw").headers.is_empty());
    }

    #[test]
    fn what_has_no_form_in_json_fails() {
        let no_text = BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Reply::json(&no_text), Err(Failure::Failed(_))));
    }
}

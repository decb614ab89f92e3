//! Tokens: asked for by everything but calls and health, each route for one of its role.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use shardloom_cluster::control::{Author, TokenRole};

use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// Who may use a route. There is no default: whoever adds a route says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everybody.
    Open,
    /// Whoever has a token of this role, or of one that may do more.
    Role(TokenRole),
}

/// A guard at its post.
#[derive(Clone)]
pub struct Post {
    /// Knows the tokens.
    pub server: Arc<NodeServer>,
    /// What is needed.
    pub role: TokenRole,
}

/// Lets a request through that carries a token of the role, or of one that may do more.
pub async fn guarded(State(post): State<Post>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        let detail = "send a token as `authorization: Bearer TOKEN`";
        return Problem::new(Code::Unauthenticated, detail).into_response();
    };
    let view = post.server.fabric.view();
    let Some((name, token)) = view.access.holder(&digest(token)) else {
        let detail = "the token is none of this cluster, or was revoked";
        return Problem::new(Code::Unauthenticated, detail).into_response();
    };
    if token.role < post.role {
        let detail = format!("the token {name} has the role {}, and this needs {}", token.role, post.role);
        return Problem::new(Code::Forbidden, detail).into_response();
    }
    request.extensions_mut().insert(Caller(Author::Token(name.to_owned())));
    drop(view);
    next.run(request).await
}

/// Whose token a request carries, for the audit. Only behind a guard is there one.
#[derive(Debug, Clone)]
pub struct Caller(pub Author);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Caller, Problem> {
        let nobody = || Problem::new(Code::Unauthenticated, "nobody has asked who this is");
        parts.extensions.get::<Caller>().cloned().ok_or_else(nobody)
    }
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// What the control log keeps of a token.
pub fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_bearer_token_is_found_whatever_its_scheme_looks_like() {
        let with = |value| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&with("bearer abc")), Some(b"abc".as_slice()));
        assert_eq!(bearer(&with("Basic abc")), None);
        assert_eq!(bearer(&with("Bear")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}

//! The admin token: asked for by everything but calls and health.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::server::NodeServer;
use crate::server::problem::{Code, Problem};

/// Lets a request through that carries the admin token.
pub async fn admin_only(State(server): State<Arc<NodeServer>>, request: Request, next: Next) -> Response {
    let wanted = server.fabric.view().admin_token_sha256;
    let refused = match bearer(request.headers()) {
        Some(token) if is_token(token, &wanted) => return next.run(request).await,
        Some(_) => "the token is not this cluster's admin token",
        None => "send the admin token as `authorization: Bearer TOKEN`",
    };
    Problem::new(Code::Unauthenticated, refused).into_response()
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether it is the token with this sha256. Takes the same time wherever the difference is.
pub fn is_token(token: &[u8], sha256: &[u8; 32]) -> bool {
    let found: [u8; 32] = Sha256::digest(token).into();
    let difference = found.iter().zip(sha256).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_itself_passes() {
        let sha256: [u8; 32] = Sha256::digest(b"secret").into();
        assert!(is_token(b"secret", &sha256));
        assert!(!is_token(b"Secret", &sha256) && !is_token(b"", &sha256));
    }

    #[test]
    fn a_bearer_token_is_found_whatever_its_scheme_looks_like() {
        let with = |value| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&with("bearer abc")), Some(b"abc".as_slice()));
        assert_eq!(bearer(&with("Basic abc")), None);
        assert_eq!(bearer(&with("Bear")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}

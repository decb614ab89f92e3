//! Parts of a request that must fit, or the caller hears which does not.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::server::problem::{Code, Problem};

/// The one parameter of a path, percent-decoded.
#[derive(Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segment, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Segment(segment)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text())),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Manifest<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Manifest<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Manifest<T>, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "a manifest is small"),
            _ => Problem::new(Code::BadRequest, error.body_text()),
        })?;
        match serde_json::from_slice(&body) {
            Ok(manifest) => Ok(Manifest(manifest)),
            Err(error) => Err(Problem::new(Code::BadRequest, format!("the manifest: {error}"))),
        }
    }
}

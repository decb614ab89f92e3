//! Counts visits: `GET /ada` answers how often Ada's page has been looked at. Any host of wasi:http and wasi:keyvalue runs it.

use wasi::keyvalue0_2_0_draft2::store;
use wstd::http::{Body, Error, Request, Response};

wit_bindgen::generate!({
    inline: "
        package this:component;
        world state {
            import wasi:keyvalue/store@0.2.0-draft2;
        }
    ",
    path: "wit",
    world: "this:component/state",
    generate_all,
});

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    let visits = count(&name).map_err(|error| Error::msg(format!("{error:?}")))?;
    Ok(Response::new(format!("{name} has been visited {visits} times\n").into()))
}

/// An error makes a response of 500, and leaves nothing of what was written.
fn count(name: &str) -> Result<u64, store::Error> {
    let bucket = store::open("visits")?;
    let kept = bucket.get(name)?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    let visits: u64 = kept.unwrap_or(0) + 1;
    bucket.set(name, visits.to_string().as_bytes())?;
    Ok(visits)
}

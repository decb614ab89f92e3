//! Short links: a component of wasi:http that keeps what it knows by wasi:keyvalue. See the README beside it.

use wasi::keyvalue0_2_0_draft2::store::{self, Bucket};
use wstd::http::{Body, Error, Method, Request, Response, StatusCode, Uri};

wit_bindgen::generate!({
    inline: "
        package example:url-shortener;
        world state {
            import wasi:keyvalue/store@0.2.0-draft2;
        }
    ",
    path: "../../wit",
    world: "example:url-shortener/state",
    generate_all,
});

/// Characters of a short name.
const NAME_MAX: usize = 64;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let method = request.method().clone();
    let links = Links::open()?;
    match (method, path.split_once('/').unwrap_or((&path, ""))) {
        (_, (name, _)) if !is_name(name) => {
            answer(StatusCode::BAD_REQUEST, "a name has 1 to 64 letters, digits, - or _\n")
        }
        (Method::GET, (name, "")) => visit(&links, name),
        (Method::GET, (name, "stats")) => stats(&links, name),
        (Method::PUT, (name, "")) => {
            let mut body = request.into_body();
            let target = body.str_contents().await?;
            shorten(&links, name, target.trim())
        }
        (Method::DELETE, (name, "")) => {
            links.forget(name)?;
            answer(StatusCode::NO_CONTENT, "")
        }
        _ => answer(StatusCode::NOT_FOUND, "there is /NAME, and /NAME/stats\n"),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(plain)
}

/// Gives a name to a target. To say the same twice is no error; to take another's name is.
fn shorten(links: &Links, name: &str, target: &str) -> Result<Response<Body>, Error> {
    let web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    if !target.parse().is_ok_and(|uri| web(&uri)) {
        return answer(StatusCode::BAD_REQUEST, "the body must be an http or https URL\n");
    }
    match links.target(name)? {
        None => {
            links.keep(name, target)?;
            answer(StatusCode::CREATED, "")
        }
        Some(there) if there == target => answer(StatusCode::OK, ""),
        Some(_) => answer(StatusCode::CONFLICT, "the name is taken\n"),
    }
}

/// Sends the visitor on. That the visit is counted and that it is answered are one transaction.
fn visit(links: &Links, name: &str) -> Result<Response<Body>, Error> {
    let Some(target) = links.target(name)? else { return unknown() };
    links.count(name)?;
    Ok(Response::builder().status(StatusCode::FOUND).header("location", target).body(Body::empty())?)
}

fn stats(links: &Links, name: &str) -> Result<Response<Body>, Error> {
    let Some(target) = links.target(name)? else { return unknown() };
    answer(StatusCode::OK, &format!("{} visits of {target}\n", links.visits(name)?))
}

fn unknown() -> Result<Response<Body>, Error> {
    answer(StatusCode::NOT_FOUND, "no link has this name\n")
}

fn answer(status: StatusCode, text: &str) -> Result<Response<Body>, Error> {
    let response = Response::builder().status(status).header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(text.to_owned().into())?)
}

/// The links of one shard.
struct Links {
    targets: Bucket,
    visits: Bucket,
}

impl Links {
    fn open() -> Result<Links, Error> {
        let open = |name| store::open(name).map_err(failed);
        Ok(Links { targets: open("targets")?, visits: open("visits")? })
    }

    fn target(&self, name: &str) -> Result<Option<String>, Error> {
        let kept = self.targets.get(name).map_err(failed)?;
        Ok(kept.map(String::from_utf8).transpose()?)
    }

    fn keep(&self, name: &str, target: &str) -> Result<(), Error> {
        self.targets.set(name, target.as_bytes()).map_err(failed)
    }

    fn forget(&self, name: &str) -> Result<(), Error> {
        self.targets.delete(name).map_err(failed)?;
        self.visits.delete(name).map_err(failed)
    }

    fn visits(&self, name: &str) -> Result<u64, Error> {
        match self.visits.get(name).map_err(failed)? {
            Some(kept) => Ok(String::from_utf8(kept)?.parse()?),
            None => Ok(0),
        }
    }

    fn count(&self, name: &str) -> Result<(), Error> {
        let visits = self.visits(name)? + 1;
        self.visits.set(name, visits.to_string().as_bytes()).map_err(failed)
    }
}

/// An error makes a response of 500, and leaves nothing of what was written.
fn failed(error: store::Error) -> Error {
    Error::msg(format!("{error:?}"))
}

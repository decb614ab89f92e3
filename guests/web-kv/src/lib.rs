//! A register per path, by wasi:http 0.2 and wasi:keyvalue: what any host of the two would run.
//!
//! | method | does | answers |
//! |---|---|---|
//! | `PUT` | keeps the body | 204 |
//! | `GET`, `HEAD` | | 200 with what is kept, 404 where there is nothing |
//! | `DELETE` | forgets it | 204 |
//!
//! Anything else is 405. With the header `x-fail` a `PUT` is answered by that status, after the write.

use wasi::keyvalue0_2_0_draft2::store;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({
    inline: "
        package shardloom:web-kv;
        world state {
            import wasi:keyvalue/store@0.2.0-draft2;
        }
    ",
    path: "../../wit",
    world: "shardloom:web-kv/state",
    generate_all,
});

struct WebKv;

wasip2::http::proxy::export!(WebKv);

impl wasip2::exports::http::incoming_handler::Guest for WebKv {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let (status, body) = answer(&request).unwrap_or_else(|words| (500, words.into_bytes()));
        let headers = Fields::new();
        let _ = headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]);
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let outgoing = response.body().expect("a response has one body");
        ResponseOutparam::set(outparam, Ok(response));
        write(&outgoing, &body);
        let _ = OutgoingBody::finish(outgoing, None);
    }
}

fn answer(request: &IncomingRequest) -> Result<(u16, Vec<u8>), String> {
    let words = |error: store::Error| format!("{error:?}");
    let path = request.path_with_query().unwrap_or_default();
    let key = path.split('?').next().unwrap_or_default().to_owned();
    let bucket = store::open("registers").map_err(words)?;
    match request.method() {
        Method::Get | Method::Head => match bucket.get(&key).map_err(words)? {
            Some(value) => Ok((200, value)),
            None => Ok((404, b"nothing is kept here\n".to_vec())),
        },
        Method::Put => {
            bucket.set(&key, &read(request)?).map_err(words)?;
            let wanted = request.headers().get("x-fail");
            let status = wanted.first().and_then(|value| str::from_utf8(value).ok()?.parse().ok());
            Ok((status.unwrap_or(204), Vec::new()))
        }
        Method::Delete => {
            bucket.delete(&key).map_err(words)?;
            Ok((204, Vec::new()))
        }
        _ => Ok((405, b"GET, HEAD, PUT and DELETE are taken\n".to_vec())),
    }
}

fn read(request: &IncomingRequest) -> Result<Vec<u8>, String> {
    const AT_ONCE_BYTES: u64 = 64 << 10;
    let body: IncomingBody = request.consume().map_err(|()| "the body is taken already".to_owned())?;
    let stream = body.stream().map_err(|()| "the body has no stream".to_owned())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(AT_ONCE_BYTES) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(format!("the body broke off: {error:?}")),
        }
    }
}

fn write(body: &OutgoingBody, bytes: &[u8]) {
    const AT_ONCE_BYTES: usize = 4 << 10;
    let stream = body.write().expect("a body has one stream");
    for part in bytes.chunks(AT_ONCE_BYTES) {
        if stream.blocking_write_and_flush(part).is_err() {
            return;
        }
    }
}

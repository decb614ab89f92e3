//! Bodies of any size, by wasi:http 0.2: none of them is ever whole in its memory. What it keeps goes by wasi:keyvalue.
//!
//! | path | does |
//! |---|---|
//! | `/count` | counts the bytes of the body, keeps the number, and answers with it |
//! | `/echo` | sends the body back, part by part |
//! | `/bytes?N` | answers with N bytes |
//! | `/late` | keeps `early`, answers, and tries to keep `late` when most of the answer has gone; its end says what came of that |
//! | `/kept` | tells what is kept |

use wasi::keyvalue0_2_0_draft2::store::{self, Bucket};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

wit_bindgen::generate!({
    inline: "
        package shardloom:web-stream;
        world state {
            import wasi:keyvalue/store@0.2.0-draft2;
        }
    ",
    path: "../../wit",
    world: "shardloom:web-stream/state",
    generate_all,
});

/// Bytes that are written at once, as many as a host must take.
const PART_BYTES: usize = 4 << 10;
/// More than all that lies between this component and whoever reads its answer: it has to wait for them.
const MANY_PARTS: usize = 1024;

struct WebStream;

wasip2::http::proxy::export!(WebStream);

impl wasip2::exports::http::incoming_handler::Guest for WebStream {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let asked = request.path_with_query().unwrap_or_default();
        let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
        let bucket = store::open("stream").expect("any name opens a bucket");
        match path {
            "/count" => {
                let mut bytes = 0;
                each_part(&request, |part| bytes += part.len());
                keep(&bucket, "count", &bytes.to_string()).expect("the response has not begun");
                answer(outparam, |stream| write(stream, bytes.to_string().as_bytes()));
            }
            "/echo" => answer(outparam, |stream| each_part(&request, |part| write(stream, &part))),
            "/bytes" => answer(outparam, |stream| {
                let mut left = query.parse().unwrap_or(0);
                while left > 0 {
                    let part = left.min(PART_BYTES);
                    write(stream, &[b'x'; PART_BYTES][..part]);
                    left -= part;
                }
            }),
            "/late" => {
                keep(&bucket, "early", "kept").expect("the response has not begun");
                answer(outparam, |stream| {
                    (0..MANY_PARTS).for_each(|_| write(stream, &[b'\n'; PART_BYTES]));
                    let words = match keep(&bucket, "late", "kept") {
                        Ok(()) => "kept".to_owned(),
                        Err(error) => format!("refused: {error:?}"),
                    };
                    write(stream, words.as_bytes());
                });
            }
            "/kept" => {
                let kept = ["count", "early", "late"].map(|key| match bucket.get(key) {
                    Ok(Some(value)) => format!("{key}={}\n", String::from_utf8_lossy(&value)),
                    _ => String::new(),
                });
                answer(outparam, |stream| write(stream, kept.concat().as_bytes()));
            }
            other => answer(outparam, |stream| write(stream, format!("nothing is at {other}").as_bytes())),
        }
    }
}

fn keep(bucket: &Bucket, key: &str, value: &str) -> Result<(), store::Error> {
    bucket.set(key, value.as_bytes())
}

/// Begins a response, and has its body written.
fn answer(outparam: ResponseOutparam, fill: impl FnOnce(&OutputStream)) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a response has one body");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("a body has one stream");
    fill(&stream);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn each_part(request: &IncomingRequest, mut take: impl FnMut(Vec<u8>)) {
    const AT_ONCE_BYTES: u64 = 64 << 10;
    let body = request.consume().expect("a request has one body");
    let stream: InputStream = body.stream().expect("a body has one stream");
    loop {
        match stream.blocking_read(AT_ONCE_BYTES) {
            Ok(part) => take(part),
            Err(StreamError::Closed) => return,
            Err(error) => panic!("the body of the request broke off: {error:?}"),
        }
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) {
    for part in bytes.chunks(PART_BYTES) {
        stream.blocking_write_and_flush(part).expect("the response is taken");
    }
}

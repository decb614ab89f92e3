//! A counter per path, by wasi:http 0.3, whose calls are asynchronous, and wasi:keyvalue. Each request counts one up and is
//! answered with the count; the body of the request comes back behind it, as a stream.
//!
//! `/late` counts after its response has begun, from a task of its own. It belongs to the call all the same, unless that is streamed; the last
//! line says what came of it.

use wasi::keyvalue0_2_0_draft2::{atomics, store};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{wit_future, wit_stream};

wit_bindgen::generate!({
    inline: "
        package shardloom:web-new;
        world state {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
        }
    ",
    path: "../../wit",
    world: "shardloom:web-new/state",
    generate_all,
});

/// Bytes of a body that are read at once.
const PART_BYTES: usize = 64 << 10;

struct WebNew;

wasip3::http::service::export!(WebNew);

impl wasip3::exports::http::handler::Guest for WebNew {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let late = path == "/late";
        let begun = if late { "late\n".to_owned() } else { format!("{}\n", count(&path)?) };
        let (_, consumed) = wit_future::new(|| Ok(()));
        let (mut body, _) = Request::consume_body(request, consumed);
        let (mut sender, receiver) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(Fields::new(), Some(receiver), ended);
        drop(end);
        wasip3::wit_bindgen::spawn_local(async move {
            sender.write_all(begun.into_bytes()).await;
            loop {
                let (result, part) = body.read(Vec::with_capacity(PART_BYTES)).await;
                if !part.is_empty() {
                    sender.write_all(part).await;
                }
                if !matches!(result, StreamResult::Complete(_)) {
                    break;
                }
            }
            if late {
                let line =
                    count("/late").map_or_else(|error| format!("{error:?}\n"), |count| format!("{count}\n"));
                sender.write_all(line.into_bytes()).await;
            }
        });
        Ok(response)
    }
}

fn count(path: &str) -> Result<i64, ErrorCode> {
    let words = |error: store::Error| ErrorCode::InternalError(Some(format!("{error:?}")));
    let bucket = store::open("counts").map_err(words)?;
    atomics::increment(&bucket, path, 1).map_err(words)
}

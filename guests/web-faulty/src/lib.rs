//! A component of wasi:http 0.2 that misbehaves, or asks for what it must not get, as the path says.
//!
//! | path | does |
//! |---|---|
//! | `/silent` | returns without a response |
//! | `/error` | answers with an error instead of a response |
//! | `/open` | returns with a body that it neither ends nor drops |
//! | `/bodies` | opens two thousand bodies, and writes into each what it may |
//! | `/large` | answers without end |
//! | `/trap` | traps after the response's head |
//! | `/spin` | computes without end |
//! | `/wait` | waits for an hour |
//! | `/seen` | tells the request: method, path, host, headers |
//! | `/world` | tells what it finds of environment, arguments, directories, clocks and random numbers |
//! | `/socket` | tries to open a TCP connection to the address in the body |
//! | `/print` | writes the body to stdout, and `stderr` to stderr |
//! | `/count` | counts its own calls: what a reused instance remembers |
//! | `/hoard` | keeps one more MiB for as long as the instance lives, and counts them |
//! | `/fetch` | sends a GET to the URL in the body; answers with status and body, or the error |

use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::cli::{environment, stderr, stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::random::random;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

static CALLS: AtomicU32 = AtomicU32::new(0);

struct WebFaulty;

wasip2::http::proxy::export!(WebFaulty);

impl wasip2::exports::http::incoming_handler::Guest for WebFaulty {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let path = request.path_with_query().unwrap_or_default();
        let text = match path.split('?').next().unwrap_or_default() {
            "/silent" => return,
            "/error" => {
                return ResponseOutparam::set(
                    outparam,
                    Err(ErrorCode::InternalError(Some("on purpose".into()))),
                );
            }
            "/open" => {
                let body = begin(outparam);
                write(&body, b"begun");
                return std::mem::forget(body);
            }
            "/bodies" => {
                let bodies: Vec<_> = (0..2_000).map(|_| body_in_waiting()).collect();
                format!("{} bodies", bodies.len())
            }
            "/large" => {
                let body = begin(outparam);
                let stream = body.write().expect("a body has one stream");
                while stream.blocking_write_and_flush(&[b'x'; 4096]).is_ok() {}
                return;
            }
            "/trap" => {
                begin(outparam);
                std::process::abort();
            }
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/wait" => {
                monotonic_clock::subscribe_duration(3_600_000_000_000).block();
                "waited".into()
            }
            "/seen" => seen(&request),
            "/world" => world(),
            "/socket" => socket(&text(&request)),
            "/print" => {
                let _ = stdout::get_stdout().blocking_write_and_flush(text(&request).as_bytes());
                let _ = stderr::get_stderr().blocking_write_and_flush(b"stderr\n");
                "printed".into()
            }
            "/count" => calls.to_string(),
            "/hoard" => {
                std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20]));
                calls.to_string()
            }
            "/fetch" => fetch(&text(&request)).unwrap_or_else(|error| format!("error: {error:?}")),
            other => format!("there is nothing at {other}"),
        };
        let body = begin(outparam);
        write(&body, text.as_bytes());
        let _ = OutgoingBody::finish(body, None);
    }
}

/// A body that nobody reads, with as much in it as the host takes at once.
fn body_in_waiting() -> (OutgoingResponse, OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a response has one body");
    let stream = body.write().expect("a body has one stream");
    let room = stream.check_write().unwrap_or(0) as usize;
    let _ = stream.write(&vec![b'x'; room]);
    (response, body, stream)
}

fn begin(outparam: ResponseOutparam) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a response has one body");
    ResponseOutparam::set(outparam, Ok(response));
    body
}

fn write(body: &OutgoingBody, bytes: &[u8]) {
    let stream = body.write().expect("a body has one stream");
    for part in bytes.chunks(4096) {
        if stream.blocking_write_and_flush(part).is_err() {
            return;
        }
    }
}

fn seen(request: &IncomingRequest) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query(),
    );
    for (name, value) in request.headers().entries() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text
}

fn world() -> String {
    let (earlier, bytes) = (monotonic_clock::now(), random::get_random_bytes(16));
    let year = 1970 + wall_clock::now().seconds / (365 * 24 * 3600);
    format!(
        "environment {:?} arguments {:?} directories {} year {year} later {} random {}\n",
        environment::get_environment(),
        environment::get_arguments(),
        preopens::get_directories().len(),
        monotonic_clock::now() >= earlier,
        bytes.iter().any(|byte| *byte != 0),
    )
}

fn socket(place: &str) -> String {
    let Ok(address) = place.trim().parse::<std::net::SocketAddrV4>() else { return "no address".into() };
    let [a, b, c, d] = address.ip().octets();
    let remote = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) });
    let connected = create_tcp_socket(IpAddressFamily::Ipv4).and_then(|socket| {
        socket.start_connect(&instance_network(), remote)?;
        socket.subscribe().block();
        socket.finish_connect().map(drop)
    });
    match connected {
        Ok(()) => "connected".into(),
        Err(error) => format!("refused: {error:?}"),
    }
}

fn fetch(url: &str) -> Result<String, ErrorCode> {
    let (scheme, rest) = match url.trim().split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err(ErrorCode::HttpRequestUriInvalid),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(path)).map_err(invalid)?;
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    let response = match pending.get() {
        Some(Ok(response)) => response?,
        _ => return Err(ErrorCode::InternalError(Some("nothing came".into()))),
    };
    let location = response.headers().get("location");
    let location = location.first().map(|value| String::from_utf8_lossy(value).into_owned());
    if let (300..400, Some(location)) = (response.status(), location) {
        return Ok(format!("redirected: {}", fetch(&location)?));
    }
    let body = response.consume().map_err(|()| ErrorCode::HttpProtocolError)?;
    Ok(format!("{}: {}", response.status(), read(&body)))
}

fn text(request: &IncomingRequest) -> String {
    request.consume().map(|body| read(&body)).unwrap_or_default()
}

fn read(body: &IncomingBody) -> String {
    let Ok(stream) = body.stream() else { return String::new() };
    let mut bytes = Vec::new();
    while let Some(part) = part(&stream) {
        bytes.extend(part);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn part(stream: &InputStream) -> Option<Vec<u8>> {
    match stream.blocking_read(4096) {
        Ok(part) => Some(part),
        Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => None,
    }
}

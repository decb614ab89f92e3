//! One connection that is kept, and as little work for a call as can be: one write, one read, no copy. What is measured is to be the cluster.

use std::io;
use std::time::{Duration, Instant};

use shardloom_transport::outside::{TlsStream, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{Body, Failure, Head, end_of_chunks, head};

/// How long a connection may take to be made, names looked up and TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a connection is kept with nothing to do: a node closes it after 10 s, and what is sent just then may be lost.
const IDLE_MAX: Duration = Duration::from_secs(8);
/// Bytes of the buffer that most answers fit into.
const BUFFER_BYTES: usize = 4 * 1024;
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The longest body that is kept to be read; of a longer one only the end is waited for.
const KEPT_BYTES_MAX: u64 = 64 * 1024;
/// The longest body in chunks: a reply of a workload has at most 64 MiB.
const CHUNKS_BYTES_MAX: usize = 65 << 20;

/// A connection to a node.
pub(super) struct Connection {
    stream: Stream,
    bytes: Vec<u8>,
    /// How many of the bytes have come.
    filled: usize,
    used: Instant,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// Where to connect to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom to trust, where TLS is wanted.
    pub(super) trust: Option<Trust>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody answers in time. Nothing was sent then.
    pub(super) async fn open(target: &Target) -> Result<Connection, String> {
        let connect = async {
            let words = |error: io::Error| error.to_string();
            let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(words)?;
            stream.set_nodelay(true).map_err(words)?;
            let Some(trust) = &target.trust else { return Ok(Stream::Plain(stream)) };
            let secured = trust.secure(&target.host, stream).await;
            secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| error.to_string())
        };
        let late = |_| format!("no connection within {} s", CONNECT_MAX.as_secs());
        let stream = timeout(CONNECT_MAX, connect).await.map_err(late)??;
        Ok(Connection { stream, bytes: vec![0; BUFFER_BYTES], filled: 0, used: Instant::now() })
    }

    /// Whether it can take a request: it has not been idle for too long, and the node has not closed it.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let stream = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // What comes without having been asked for is the end, or no answer to anything.
        let silent = stream.try_read(&mut [0]);
        now < self.used + IDLE_MAX && silent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// If there is none. The request may have been carried out.
    pub(super) async fn exchange(&mut self, request: &[u8], head_only: bool) -> Result<Head, String> {
        let sent = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(request).await,
            Stream::Tls(stream) => match stream.write_all(request).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| error.to_string())?;
        self.filled = 0;
        let head = self.read_head(head_only).await?;
        self.read_body(&head).await?;
        self.used = Instant::now();
        Ok(head)
    }

    /// What the last answer says of its failure.
    pub(super) fn failure(&self, head: &Head) -> Failure {
        Failure::of(head, self.bytes.get(head.bytes..self.filled).unwrap_or_default())
    }

    /// Where the last answer says that the node answers which ran the call.
    pub(super) fn told_address(&self, head: &Head) -> &str {
        let bytes = self.bytes.get(head.address.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    async fn read_head(&mut self, head_only: bool) -> Result<Head, String> {
        loop {
            self.read().await?;
            while let Some(head) = head(self.bytes.get(..self.filled).unwrap_or_default(), head_only)? {
                if head.status >= 200 {
                    return Ok(head);
                }
                // A word in between; the answer itself is still to come.
                self.bytes.copy_within(head.bytes..self.filled, 0);
                self.filled -= head.bytes;
            }
            if self.filled > HEAD_BYTES_MAX {
                return Err("the head of the answer does not end".into());
            }
        }
    }

    async fn read_body(&mut self, head: &Head) -> Result<(), String> {
        let here = self.filled - head.bytes;
        match head.body {
            Body::Bytes(all) => {
                let more = || "more came than the answer".to_owned();
                let mut left = all.checked_sub(here as u64).ok_or_else(more)?;
                while left > 0 {
                    if all > KEPT_BYTES_MAX {
                        self.filled = head.bytes;
                    }
                    left = left.checked_sub(self.read().await? as u64).ok_or_else(more)?;
                }
            }
            Body::Chunks => {
                let mut at = head.bytes;
                while end_of_chunks(self.bytes.get(..self.filled).unwrap_or_default(), &mut at)?.is_none() {
                    if self.filled > CHUNKS_BYTES_MAX {
                        return Err("the answer does not end".into());
                    }
                    self.read().await?;
                }
            }
            Body::UntilClosed => loop {
                if (self.filled - head.bytes) as u64 > KEPT_BYTES_MAX {
                    self.filled = head.bytes;
                }
                if self.read_some().await? == 0 {
                    break;
                }
            },
        }
        Ok(())
    }

    /// Reads what is there, at least something.
    async fn read(&mut self) -> Result<usize, String> {
        match self.read_some().await? {
            0 => Err("the connection was closed before the answer had come".into()),
            count => Ok(count),
        }
    }

    async fn read_some(&mut self) -> Result<usize, String> {
        if self.filled == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(room).await,
            Stream::Tls(stream) => stream.read(room).await,
        };
        let count = read.map_err(|error| error.to_string())?;
        self.filled += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a client makes of an answer that comes in pieces, and of a second one on the same connection.
    fn read(pieces: &'static [&'static [u8]]) -> (Result<Head, String>, Result<Head, String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..2 {
                    stream.read_exact(&mut [0; 4]).await.unwrap();
                    for piece in pieces {
                        stream.write_all(piece).await.unwrap();
                        stream.flush().await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
            };
            let ask = async {
                let target = Target { host: "127.0.0.1".into(), port, trust: None };
                let mut connection = Connection::open(&target).await.unwrap();
                let first = connection.exchange(b"ask ", false).await;
                let fresh = connection.is_fresh(Instant::now());
                assert!(first.is_err() || fresh, "it can take another request");
                (first, connection.exchange(b"ask ", false).await)
            };
            tokio::join!(serve, ask).1
        })
    }

    #[test]
    fn an_answer_in_pieces_is_read_to_its_end_and_leaves_the_connection_clean() {
        let (first, second) = read(&[
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nconte",
            b"nt-length: 3\r\n\r\na",
            b"bc",
        ]);
        assert_eq!(first.unwrap().body, Body::Bytes(3));
        assert_eq!(second.unwrap().status, 200);
    }

    #[test]
    fn a_body_longer_than_any_buffer_is_read_over() {
        const PIECE: &[u8] = &[b'x'; 100_000];
        let (first, second) =
            read(&[b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n", PIECE, PIECE, PIECE]);
        assert_eq!((first.unwrap().status, second.unwrap().status), (200, 200));
    }

    #[test]
    fn a_body_in_chunks_is_read_to_its_end() {
        let (first, second) =
            read(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r", b"\nabc\r\n0\r\n", b"\r\n"]);
        assert_eq!((first.unwrap().body, second.unwrap().body), (Body::Chunks, Body::Chunks));
    }

    #[test]
    fn more_than_an_answer_is_an_error() {
        let (first, _) = read(&[b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc"]);
        assert!(first.unwrap_err().contains("more came"));
    }
}

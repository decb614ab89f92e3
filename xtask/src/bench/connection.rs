//! A connection that is kept, with as little work per request as can be: the load generator must not be what is measured.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest head of a reply.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// One HTTP/1.1 connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream: BufReader::new(stream), head: Vec::new(), body: Vec::new() })
    }

    /// Sends a request as it is, and reads the whole answer. Anything but 200 is an error.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(request)?;
        self.read_head()?;
        let head = std::str::from_utf8(&self.head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        let length = length.with_context(|| format!("a reply without a length: {head}"))?;
        let good = status.contains(" 200 ");
        let status = if good { String::new() } else { status.to_owned() };
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        if !good {
            bail!("{status}: {}", String::from_utf8_lossy(&self.body));
        }
        Ok(())
    }

    /// A header of the last answer; the name is in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = std::str::from_utf8(&self.head).ok()?.split("\r\n");
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn read_head(&mut self) -> Result<()> {
        self.head.clear();
        let mut byte = [0];
        while !self.head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            self.head.push(byte[0]);
            ensure!(self.head.len() <= HEAD_BYTES_MAX, "the head of a reply does not end");
        }
        Ok(())
    }
}

//! What a workload finds of WASI: clocks, random numbers, and its log behind stdout and stderr.
//!
//! Files, sockets, arguments and the environment are there as interfaces, since compilers for many languages import them
//! whatever the program does; there is nothing behind them: no directory is open, no variable is set, each address is refused.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi::{WasiCtx, WasiCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::limits::Limits;
use crate::logs::{LogLevel, SharedLog};
use crate::outgoing::Hooks;

/// Random bytes that a guest gets at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Things of WASI that an instance may hold at once, beside the bound of all its handles: headers and bodies, each of which may take some
/// ten thousand bytes of the host's memory that no other limit counts.
const THINGS_MAX: usize = 512;

/// Bytes that a guest may write to stdout or stderr at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The part of a store that belongs to WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Hooks,
}

impl Wasi {
    pub(crate) fn new(log: &SharedLog, limits: &Limits, hooks: Hooks) -> Wasi {
        let mut table = ResourceTable::new();
        table.set_max_capacity(THINGS_MAX.min(limits.handles as usize));
        let mut http = WasiHttpCtx::new();
        // What is kept in memory of a header is some times what is sent of it.
        http.set_field_size_limit(limits.reply_header_bytes as usize * 2);
        let ctx = WasiCtx::builder()
            .stdout(Lines::new("stdout", log, limits))
            .stderr(Lines::new("stderr", log, limits))
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Wasi { ctx, http, table, hooks }
    }

    /// As wasmtime's part for WASI takes it.
    pub(crate) fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }

    /// As wasmtime's part for wasi:http takes it.
    pub(crate) fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// A stream into the guest's log, line by line; all handles to it share what of a line has come so far.
#[derive(Clone)]
struct Lines {
    context: &'static str,
    log: SharedLog,
    line_bytes_max: usize,
    begun: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(context: &'static str, log: &SharedLog, limits: &Limits) -> Lines {
        let line_bytes_max = (limits.log_line_bytes as usize).max(1);
        Lines { context, log: log.clone(), line_bytes_max, begun: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = match part.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (part, false),
            };
            for piece in line.chunks(self.line_bytes_max) {
                if begun.len() + piece.len() > self.line_bytes_max {
                    self.write_line(&mut begun);
                }
                begun.extend_from_slice(piece);
            }
            if ends {
                self.write_line(&mut begun);
            }
        }
    }

    fn write_line(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        self.log.write(Instant::now(), LogLevel::Info, self.context, text.trim_end_matches('\r'));
        line.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // The last handle writes what no line's end came for.
        if let Some(begun) = Arc::get_mut(&mut self.begun) {
            let mut line = std::mem::take(begun.get_mut().unwrap_or_else(PoisonError::into_inner));
            if !line.is_empty() {
                self.write_line(&mut line);
            }
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::LogSink;

    #[test]
    fn what_is_written_comes_out_line_by_line_and_the_rest_at_the_end() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let said = Arc::clone(&said);
            LogSink::new(move |line| said.lock().unwrap().push(line.message.to_owned()))
        };
        let limits = Limits { log_line_bytes: 4, ..Limits::default() };
        let log = SharedLog::new(sink, &limits);
        let lines = Lines::new("stdout", &log, &limits);
        lines.take(b"a\nb");
        lines.clone().take(b"c\r\n\nlonger\nre");
        assert_eq!(*said.lock().unwrap(), ["a", "bc", "", "long", "er"]);
        drop(lines);
        assert_eq!(said.lock().unwrap().last().unwrap(), "re");
    }
}

//! HTTPS: a listener whose connections have finished their handshake.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::serve::Listener;
use shardloom_transport::https::{Acceptor, HttpsError, TlsStream};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Handshakes under way at most: each costs a signature, and strangers may begin as many as they like.
const HANDSHAKES_MAX: usize = 256;

/// A TCP listener with TLS on it. Slow handshakes hold up nobody else.
pub(super) struct TlsListener {
    listener: TcpListener,
    acceptor: Acceptor,
    handshakes: JoinSet<io::Result<(TlsStream, SocketAddr)>>,
}

impl TlsListener {
    /// Serves `listener` with the certificate chain and key in these PEM files.
    ///
    /// # Errors
    /// A file cannot be read or used; the error names it.
    pub(super) fn open(
        listener: TcpListener,
        certificate: &Path,
        key: &Path,
    ) -> Result<TlsListener, HttpsError> {
        let acceptor = Acceptor::from_pem_files(certificate, key)?;
        Ok(TlsListener { listener, acceptor, handshakes: JoinSet::new() })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream, SocketAddr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.listener),
                    if self.handshakes.len() < HANDSHAKES_MAX =>
                {
                    // Small replies must not wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(async move { Ok((acceptor.accept(stream).await?, address)) });
                }
                Some(done) = self.handshakes.join_next(), if !self.handshakes.is_empty() => match done {
                    Ok(Ok(accepted)) => return accepted,
                    Ok(Err(error)) => tracing::debug!(%error, "a client did not finish its TLS handshake"),
                    Err(error) => tracing::debug!(%error, "a TLS handshake ended oddly"),
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

//! HTTPS: a listener whose connections have finished their handshake, by the certificate that is in its files now.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::serve::Listener;
use shardloom_transport::https::{Acceptor, HttpsError, PemFiles, TlsStream};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Handshakes under way at most: each costs a signature, and strangers may begin as many as they like.
const HANDSHAKES_MAX: usize = 256;

/// How often the files are looked at: who renews a certificate does so days before it runs out.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The files, and what is new in them.
type Read = (PemFiles, Result<Option<Acceptor>, HttpsError>);

/// A TCP listener with TLS on it. Slow handshakes hold up nobody else.
pub(super) struct TlsListener {
    listener: TcpListener,
    acceptor: Acceptor,
    handshakes: JoinSet<io::Result<(TlsStream, SocketAddr)>>,
    look: Interval,
    /// None while they are read.
    files: Option<PemFiles>,
    reading: JoinSet<Read>,
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
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let files = Some(PemFiles::new(certificate, key));
        Ok(TlsListener {
            listener,
            acceptor,
            handshakes: JoinSet::new(),
            look,
            files,
            reading: JoinSet::new(),
        })
    }

    /// Goes by what was read; connections that are open keep what they began with.
    fn take(&mut self, read: Result<Read, JoinError>) {
        let Ok((files, read)) = read else {
            tracing::error!(
                "reading the HTTPS certificate ended oddly: a new one is taken at the next start"
            );
            return;
        };
        self.files = Some(files);
        match read {
            Ok(Some(acceptor)) => self.acceptor = acceptor,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the HTTPS certificate is not taken anew: the one before stays in use");
            }
        }
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
                _ = self.look.tick(), if self.files.is_some() => {
                    if let Some(mut files) = self.files.take() {
                        self.reading.spawn_blocking(move || {
                            let read = files.read_anew();
                            (files, read)
                        });
                    }
                }
                Some(read) = self.reading.join_next(), if !self.reading.is_empty() => self.take(read),
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

//! TLS towards HTTP clients: the certificate and key of an operator's own, from two PEM files. Unlike those of the nodes, such
//! certificates run out, so the files may be replaced while they are in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A TCP connection with TLS on it.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The longest that a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Why HTTPS cannot be served; always names the file to look at.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The file cannot be read.
    #[error("cannot read {what} {path}")]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} holds no {what} in PEM: {reason}")]
    Content {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// Each file is well-formed, but TLS cannot use them together.
    #[error("the certificate {certificate} and the key {key} cannot be used together: {reason}")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What TLS said.
        reason: rustls::Error,
    },
}

/// Turns TCP connections into TLS ones.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
}

impl Acceptor {
    /// Reads a certificate chain (the server's own certificate first) and its key.
    ///
    /// # Errors
    /// When a file cannot be read or used; the error names it.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Acceptor, HttpsError> {
        let (certificate_pem, key_pem) = (read("the certificate", certificate)?, read("the key", key)?);
        Acceptor::from_pem((certificate, &certificate_pem), (key, &key_pem))
    }

    /// Of what was read from two files.
    fn from_pem(
        (certificate, certificate_pem): (&Path, &[u8]),
        (key, key_pem): (&Path, &[u8]),
    ) -> Result<Acceptor, HttpsError> {
        let content = |what, path: &Path, error: pem::Error| {
            let reason = match error {
                pem::Error::NoItemsFound => "nothing of that kind is in it".to_owned(),
                other => other.to_string(),
            };
            HttpsError::Content { what, path: path.to_owned(), reason }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem).collect();
        let chain = chain.map_err(|error| content("certificate", certificate, error))?;
        if chain.is_empty() {
            return Err(content("certificate", certificate, pem::Error::NoItemsFound));
        }
        let secret =
            PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| content("private key", key, error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
        let mut config = config.map_err(|reason| HttpsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            reason,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Acceptor { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Runs the handshake on a connection just accepted.
    ///
    /// # Errors
    /// When the client speaks no TLS, or takes too long.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        match timeout(HANDSHAKE_MAX, self.acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake was not finished in time"))
            }
        }
    }
}

/// The files of a certificate chain and its key, and what was in them when they were last read.
#[derive(Debug)]
pub struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<[u8; 32]>,
}

impl PemFiles {
    /// Two files that were not read yet.
    pub fn new(certificate: &Path, key: &Path) -> PemFiles {
        PemFiles { certificate: certificate.to_owned(), key: key.to_owned(), seen: None }
    }

    /// Reads the files, and gives an acceptor if there is something else in them than before. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read, or what is new in it cannot be used; the latter is said once, and may be that only one of
    /// the two has been replaced yet.
    pub fn read_anew(&mut self) -> Result<Option<Acceptor>, HttpsError> {
        let certificate_pem = read("the certificate", &self.certificate)?;
        let key_pem = read("the key", &self.key)?;
        let mut hash = Sha256::new();
        hash.update((certificate_pem.len() as u64).to_le_bytes());
        hash.update(&certificate_pem);
        hash.update(&key_pem);
        let found: [u8; 32] = hash.finalize().into();
        if self.seen.replace(found) == Some(found) {
            return Ok(None);
        }
        Acceptor::from_pem((&self.certificate, &certificate_pem), (&self.key, &key_pem)).map(Some)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, HttpsError> {
    std::fs::read(path).map_err(|source| HttpsError::Read { what, path: path.to_owned(), source })
}

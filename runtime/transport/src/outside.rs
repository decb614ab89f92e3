//! TLS towards the outside: as any client of the web, with the authorities that this system trusts.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A TCP connection with TLS on it, dialled from here.
pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Why a connection did not become a safe one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutsideError {
    /// This system names no authority that it trusts.
    #[error("this system trusts no certificate authority: install its package of them, or set SSL_CERT_FILE")]
    NoAuthorities,
    /// TLS cannot be set up.
    #[error("{0}")]
    Setup(rustls::Error),
    /// The host's name is none that a certificate could be for.
    #[error("{0:?} is no name that a certificate could be for")]
    Name(String),
    /// The far end broke off, or did not prove to be who it should be.
    #[error("{0}")]
    Handshake(Arc<io::Error>),
}

/// Whom this end takes the far end's word from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities that this system trusts. They are read once in the life of the process: they may be hundreds of files.
    ///
    /// # Errors
    /// Where the system names none.
    pub fn of_system() -> Result<Trust, OutsideError> {
        static TRUST: OnceLock<Trust> = OnceLock::new();
        if let Some(trust) = TRUST.get() {
            return Ok(trust.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "an authority of this system cannot be read");
        }
        let trust = Trust::only(found.certs)?;
        Ok(TRUST.get_or_init(|| trust).clone())
    }

    /// The authorities in a PEM file, and no others.
    ///
    /// # Errors
    /// Where there are none in it.
    pub fn in_pem(pem: &[u8]) -> Result<Trust, OutsideError> {
        Trust::only(CertificateDer::pem_slice_iter(pem).flatten().collect())
    }

    fn only(authorities: Vec<CertificateDer<'static>>) -> Result<Trust, OutsideError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        if roots.is_empty() {
            return Err(OutsideError::NoAuthorities);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(OutsideError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }

    /// Makes a connection to `host` a safe one.
    ///
    /// # Errors
    /// See [`OutsideError`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream, OutsideError> {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(inner.to_owned()).map_err(|_| OutsideError::Name(host.to_owned()))?;
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
            .map_err(|error| OutsideError::Handshake(Arc::new(error)))
    }
}

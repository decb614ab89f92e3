//! TLS towards HTTP clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use shardloom_transport::https::{Acceptor, HttpsError, PemFiles};
use shardloom_transport::outside::{OutsideError, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::peers::{PATIENCE, anywhere};

struct Files {
    _directory: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
    pem: String,
}

fn files() -> Files {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("server.crt"), directory.path().join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Files { _directory: directory, certificate, key, pem: made.cert.pem() }
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_talks_and_one_that_speaks_plain_http_is_refused() {
    let files = files();
    let acceptor = Acceptor::from_pem_files(&files.certificate, &files.key).unwrap();
    let listener = TcpListener::bind(anywhere()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(&asked).await.unwrap();
        stream.shutdown().await.unwrap();
        let plain = acceptor.accept(listener.accept().await.unwrap().0).await;
        assert!(plain.is_err());
    };
    let client = async {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(files.pem.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        assert_eq!(reply, b"ping");
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    };
    let both = async { tokio::join!(server, client) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
}

#[test]
fn files_are_taken_anew_when_both_have_been_replaced_and_what_is_wrong_is_said_once() {
    let (next, files) = (files(), files());
    let mut pem = PemFiles::new(&files.certificate, &files.key);
    assert!(pem.read_anew().unwrap().is_some(), "they were never read");
    assert!(pem.read_anew().unwrap().is_none(), "nothing is new");
    std::fs::copy(&next.certificate, &files.certificate).unwrap();
    assert!(matches!(pem.read_anew(), Err(HttpsError::Pair { .. })), "the key is another's");
    assert!(pem.read_anew().unwrap().is_none(), "it was said");
    std::fs::copy(&next.key, &files.key).unwrap();
    assert!(pem.read_anew().unwrap().is_some(), "both are the next ones");
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(pem.read_anew(), Err(HttpsError::Read { .. })));
}

#[test]
fn errors_name_the_file_that_is_wrong() {
    let (others, files) = (files(), files());
    let refused = |certificate: &Path, key: &Path| Acceptor::from_pem_files(certificate, key).unwrap_err();
    let nowhere = Path::new("/nowhere/at.all");
    assert!(matches!(refused(nowhere, &files.key), HttpsError::Read { path, .. } if path == nowhere));
    assert!(matches!(refused(&files.certificate, nowhere), HttpsError::Read { path, .. } if path == nowhere));
    assert!(matches!(refused(&files.key, &files.key), HttpsError::Content { path, .. } if path == files.key));
    let swapped = refused(&files.certificate, &files.certificate);
    assert!(matches!(swapped, HttpsError::Content { path, .. } if path == files.certificate));
    let mixed = refused(&files.certificate, &others.key).to_string();
    assert!(mixed.contains("server.crt") && mixed.contains("cannot be used together"), "{mixed}");
}

#[tokio::test]
async fn a_host_outside_must_prove_its_name_by_an_authority_that_is_trusted() {
    let (others, files) = (files(), files());
    let acceptor = Acceptor::from_pem_files(&files.certificate, &files.key).unwrap();
    let listener = TcpListener::bind(anywhere()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trusted, untrusted) =
        (Trust::in_pem(files.pem.as_bytes()).unwrap(), Trust::in_pem(others.pem.as_bytes()).unwrap());
    for (trust, name, proven) in
        [(&trusted, "localhost", true), (&trusted, "other.test", false), (&untrusted, "localhost", false)]
    {
        let server = async { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() };
        let client = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            trust.secure(name, tcp).await
        };
        let both = async { tokio::join!(server, client) };
        let (_, secured) = tokio::time::timeout(PATIENCE, both).await.unwrap();
        assert_eq!(secured.is_ok(), proven, "{name}");
        assert!(proven || matches!(secured, Err(OutsideError::Handshake(_))));
    }
    assert!(matches!(Trust::in_pem(b"nothing"), Err(OutsideError::NoAuthorities)));
}

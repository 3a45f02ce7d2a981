//! HTTPS: the certificate and its key, read at the start and again at SIGHUP.

use crate::config::TlsFiles;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why a certificate or its key cannot be used. The texts hold nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("tls.{key}, {}: {cause}", path.display())]
    Unreadable { key: &'static str, path: PathBuf, cause: std::io::Error },
    #[error("tls.{key}, {}: {problem}; expected {expected}", path.display())]
    NotPem { key: &'static str, path: PathBuf, problem: &'static str, expected: &'static str },
    #[error(
        "tls.key, {}, does not fit the certificate in tls.cert, {}; \
         name the key for which the certificate was issued, and put the server's own certificate first",
        key.display(), cert.display()
    )]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("tls.cert, {}, or tls.key, {}: {cause}", cert.display(), key.display())]
    Unusable { cert: PathBuf, key: PathBuf, cause: rustls::Error },
}

/// The certificate that is shown to clients, which can be replaced while the server runs.
pub struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// One of them is missing, is no PEM (RFC 7468), or does not fit the other.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let acceptor = RwLock::new(acceptor(&files)?);
        Ok(Self { files, acceptor })
    }

    /// Reads both files again. Connections that are open keep what they have.
    ///
    /// # Errors
    ///
    /// As [`Tls::load`]. The old certificate stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = acceptor(&self.files)?;
        *self.acceptor.write() = fresh;
        Ok(())
    }

    /// Whether users of this machine who are neither the owner of the key nor in its group can read it.
    pub fn is_key_exposed(files: &TlsFiles) -> bool {
        std::fs::metadata(&files.key).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
    }

    /// What takes new connections.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.read().clone()
    }
}

/// TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN (RFC 7301; RFC 9113 section 3.2).
fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let unusable = |cause| match cause {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
        }
        cause => TlsError::Unusable { cert: files.cert.clone(), key: files.key.clone(), cause },
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(certificates(&files.cert)?, private_key(&files.key)?)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let expected = "certificates in PEM, the server's own first: -----BEGIN CERTIFICATE-----";
    let problem = |error: pem::Error| describe("cert", path, expected, &error);
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&read("cert", path)?).collect::<Result<_, _>>().map_err(problem)?;
    if certificates.is_empty() {
        return Err(problem(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let expected = "a private key in PEM without a password: -----BEGIN PRIVATE KEY-----";
    PrivateKeyDer::from_pem_slice(&read("key", path)?)
        .map_err(|error| describe("key", path, expected, &error))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable { key, path: path.to_owned(), cause })
}

/// The reader's own error could quote a line of the key.
fn describe(key: &'static str, path: &Path, expected: &'static str, error: &pem::Error) -> TlsError {
    let problem = match error {
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it is not PEM (RFC 7468)",
    };
    TlsError::NotPem { key, path: path.to_owned(), problem, expected }
}

//! TLS to PostgreSQL, as the source's address asks for it.

use headcount_model::database_url::encryption::{self, Encryption, Mode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Reads a PostgreSQL URL and makes the connector that its `sslmode` and `sslrootcert` ask for.
pub(super) fn connector(url: &str) -> Result<(Config, MakeRustlsConnect), String> {
    let (encryption, others) = encryption::split(url)?;
    // The driver's error could quote the URL, and with it the password.
    let mut config: Config = others.parse().map_err(
        |_| "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded",
    )?;
    config.ssl_mode(match encryption.mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    Ok((config, MakeRustlsConnect::new(client_config(&encryption)?)))
}

fn client_config(encryption: &Encryption) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let chain = match encryption.mode {
        Mode::Disable | Mode::Prefer | Mode::Require => None,
        Mode::VerifyFull => {
            return Ok(builder.with_root_certificates(roots(encryption)?).with_no_client_auth());
        }
        Mode::VerifyCa => {
            let roots = Arc::new(roots(encryption)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| error.to_string())?)
        }
    };
    let any_host = Arc::new(AnyHost { provider, chain });
    Ok(builder.dangerous().with_custom_certificate_verifier(any_host).with_no_client_auth())
}

/// Whom to trust.
fn roots(encryption: &Encryption) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match &encryption.root_certificate {
        Some(path) => {
            let unreadable = |error| format!("sslrootcert {path} cannot be read: {error}");
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(|error| error.to_string())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no root certificates found; name a file with sslrootcert=PATH".to_owned());
    }
    Ok(roots)
}

/// Whoever answers, whatever its name: what `prefer` and `require` mean, and, where there is a chain to check, `verify-ca`.
#[derive(Debug)]
struct AnyHost {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

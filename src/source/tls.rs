//! TLS to PostgreSQL, by `sslmode` as libpq means it (PostgreSQL manual, 34.19 "SSL Support").

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Reads a PostgreSQL URL and makes the connector that its `sslmode` and `sslrootcert` ask for.
///
/// `disable`, `prefer` (the default) and `require` are the driver's own; the last two encrypt without asking who
/// answers. `verify-full` and `verify-ca` both check the certificate's chain and host name.
pub(super) fn connector(url: &str) -> Result<(Config, MakeRustlsConnect), String> {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let mut sslmode = None;
    let mut root_certificate = None;
    let mut others = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        match &*name {
            "sslmode" => sslmode = Some(value.into_owned()),
            "sslrootcert" => root_certificate = Some(value.into_owned()),
            _ => {
                others.append_pair(&name, &value);
            }
        }
    }
    // The serializer writes a space as +, which the driver would keep.
    let others = others.finish().replace('+', "%20");
    // The driver's error could quote the URL, and with it the password.
    let mut config: Config = format!("{address}?{others}").parse().map_err(
        |_| "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded",
    )?;

    let (mode, verify) = match sslmode.as_deref() {
        Some("disable") => (SslMode::Disable, false),
        None | Some("prefer" | "allow") => (SslMode::Prefer, false),
        Some("require") => (SslMode::Require, root_certificate.is_some()),
        Some("verify-ca" | "verify-full") => (SslMode::Require, true),
        Some(_) => {
            return Err("expected sslmode=disable, prefer, require, verify-ca or verify-full".to_owned());
        }
    };
    config.ssl_mode(mode);
    Ok((config, MakeRustlsConnect::new(client_config(verify, root_certificate.as_deref())?)))
}

fn client_config(verify: bool, root_certificate: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if !verify {
        let accept_any = Arc::new(AcceptAny(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(accept_any).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match root_certificate {
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
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Encrypts without asking who answers, which is what `prefer` and `require` mean.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

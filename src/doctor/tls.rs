//! What clients are shown: a certificate, and a key that nobody else reads.

use super::Finding;
use crate::config::TlsFiles;
use crate::tls::Tls;

/// Looks at the certificate and its key.
pub(super) fn examine(files: &TlsFiles) -> Finding {
    if let Err(error) = Tls::load(files.clone()) {
        let why = "the server would not start, or keep its old certificate at SIGHUP";
        return Finding::problem("tls", error.to_string(), why, "correct tls.cert or tls.key");
    }
    let key = files.key.display();
    if Tls::is_key_exposed(files) {
        return Finding::warning(
            "tls",
            format!("{key} can be read by other users of this machine"),
            "whoever has it can pretend to be this server",
            format!("chmod o-r {key}"),
        );
    }
    Finding::ok("tls", format!("the certificate in {} fits its key", files.cert.display()))
}

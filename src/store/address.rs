//! The address of a store in PostgreSQL, as its driver takes it to mean what `sslmode` means elsewhere.

use crate::database_url::encryption::{self, Encryption, Mode};
use std::fs::File;

/// The other options that the driver knows. It would log an unknown one with its value, which may be secret.
const OPTIONS: [&str; 11] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "sslcert",
    "sslkey",
    "statement-cache-capacity",
];

/// The URL for the driver. That trusts the system's roots beside `sslrootcert`, so that a certificate without the host's name
/// proves nothing: `verify-ca` is `verify-full` here.
pub(super) fn for_driver(url: &str) -> Result<String, String> {
    let (Encryption { mode, root_certificate }, url) = encryption::split(url)?;
    let (address, options) = url.split_once('?').unwrap_or((&url, ""));
    let mut for_driver = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        if OPTIONS.contains(&&*name) || name.starts_with("options[") {
            for_driver.append_pair(&name, &value);
        } else if name.starts_with("ssl") {
            let known = "sslmode, sslrootcert, sslcert and sslkey";
            return Err(format!("the option '{}' is not known; there are {known}", name.escape_debug()));
        } else {
            tracing::warn!(option = %name.escape_debug(), "this option of store.url has no effect");
        }
    }
    let mode = match mode {
        Mode::Disable => Some("disable"),
        // The driver's own default.
        Mode::Prefer => None,
        Mode::Require => Some("require"),
        Mode::VerifyCa | Mode::VerifyFull => Some("verify-full"),
    };
    if let Some(mode) = mode {
        for_driver.append_pair("sslmode", mode);
    }
    if let Some(file) = root_certificate {
        // The driver does not say which file it misses.
        File::open(&file).map_err(|error| format!("sslrootcert {file} cannot be read: {error}"))?;
        for_driver.append_pair("sslrootcert", &file);
    }
    Ok(format!("{address}?{}", for_driver.finish()))
}

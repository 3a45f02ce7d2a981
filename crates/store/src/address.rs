//! The address of a store in PostgreSQL, as its driver takes it to mean what `sslmode` means elsewhere.

use headcount_model::database_url::encryption::{self, Encryption, Mode};
use headcount_model::database_url::options::{self, Owner};
use std::fs::File;

/// A file without a certificate.
const NO_CERTIFICATE: &str = "/dev/null";

/// The URL for the driver. That trusts the system's roots beside `sslrootcert`, so that a certificate without the host's name
/// proves nothing: `verify-ca` is `verify-full` here.
pub(super) fn for_driver(url: &str) -> Result<String, String> {
    options::check(url, Owner::Store)?;
    let (Encryption { mode, root_certificate }, url) = encryption::split(url)?;
    let (address, options) = url.split_once('?').unwrap_or((&url, ""));
    let mut for_driver = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        if Owner::Store.takes(&name) {
            for_driver.append_pair(&name, &value);
        } else {
            // The driver would log it with its value.
            tracing::warn!("the option {name} of store.url has no effect");
        }
    }
    let mode = match mode {
        Mode::Disable => "disable",
        Mode::Prefer => "prefer",
        Mode::Require => "require",
        Mode::VerifyCa | Mode::VerifyFull => "verify-full",
    };
    let file = root_certificate.as_deref().unwrap_or(NO_CERTIFICATE);
    // The driver does not say which file it misses.
    File::open(file).map_err(|error| format!("sslrootcert {file} cannot be read: {error}"))?;
    // Both are always said: what is not, the driver takes from PGSSLMODE and PGSSLROOTCERT.
    for_driver.append_pair("sslmode", mode).append_pair("sslrootcert", file);
    Ok(format!("{address}?{}", for_driver.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_looser_than_it_says() {
        let none = "%2Fdev%2Fnull";
        for (options, for_us, file) in [
            ("", "sslmode=prefer", none),
            ("?sslmode=allow", "sslmode=prefer", none),
            ("?sslmode=disable", "sslmode=disable", none),
            ("?sslmode=require&user=me", "user=me&sslmode=require", none),
            ("?sslmode=require&sslrootcert=Cargo.toml", "sslmode=verify-full", "Cargo.toml"),
            ("?sslmode=verify-ca", "sslmode=verify-full", none),
            ("?sslrootcert=system", "sslmode=verify-full", none),
            ("?connect_timeout=5", "sslmode=prefer", none),
        ] {
            assert_eq!(
                for_driver(&format!("postgres://db/app{options}")),
                Ok(format!("postgres://db/app?{for_us}&sslrootcert={file}"))
            );
        }
        assert!(for_driver("postgres://db/app?ssl-mode=verify-full").is_err());
    }

    proptest! {
        #[test]
        fn whatever_it_says_no_error_quotes_it(rest in ".{0,40}", name in "[a-z-]{0,12}", secret in "[a-z]{12}") {
            for url in [format!("postgres://{rest}?{name}={secret}"), format!("postgres://me:{secret}?{rest}@db/app")] {
                match for_driver(&url) {
                    Ok(url) => drop(url.parse::<sqlx::postgres::PgConnectOptions>().map_err(|error| {
                        assert!(!error.to_string().contains(&secret), "{error}");
                    })),
                    Err(problem) => prop_assert!(!problem.contains(&secret) || name == "sslrootcert", "{}", problem),
                }
            }
        }
    }
}

//! What `sslmode` and `sslrootcert` in an address mean, for the drivers of the source and the store alike (PostgreSQL manual,
//! section 34.19 "SSL Support"), and what to do where TLS fails.

use rustls::CertificateError::{
    Expired, ExpiredContext, NotValidForName, NotValidForNameContext, Other, UnknownIssuer,
};
use std::error::Error;
use std::io;

/// How a connection is encrypted, and what is asked of whoever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Disable,
    /// If the server can.
    Prefer,
    /// Whoever answers.
    Require,
    /// Whoever has a certificate from somebody trusted.
    VerifyCa,
    /// The host of the address.
    VerifyFull,
}

/// What an address says about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    pub mode: Mode,
    /// A file with whom to trust; `None`: whom the system trusts.
    pub root_certificate: Option<String>,
}

/// What an address says about TLS, and the address with all that it says otherwise.
pub fn split(url: &str) -> Result<(Encryption, String), String> {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut root_certificate) = (None, None);
    let mut others = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        match &*name {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" => root_certificate = Some(value.into_owned()),
            _ => {
                others.append_pair(&name, &value);
            }
        }
    }
    // The serializer writes a space as +, which drivers would keep.
    let others = others.finish().replace('+', "%20");
    Ok((encryption(mode.as_deref(), root_certificate)?, format!("{address}?{others}")))
}

fn encryption(mode: Option<&str>, root_certificate: Option<String>) -> Result<Encryption, String> {
    // Not a file: the system's roots, for any of which a host's name alone is proof.
    if root_certificate.as_deref() == Some("system") {
        return match mode {
            None | Some("verify-full") => Ok(Encryption { mode: Mode::VerifyFull, root_certificate: None }),
            Some(_) => Err("sslrootcert=system needs sslmode=verify-full".to_owned()),
        };
    }
    let mode = match mode {
        Some("disable") => Mode::Disable,
        None | Some("prefer" | "allow") => Mode::Prefer,
        // As old versions of libpq, whose users rely on it.
        Some("require") if root_certificate.is_some() => Mode::VerifyCa,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(_) => {
            return Err("expected sslmode=disable, prefer, require, verify-ca or verify-full".to_owned());
        }
    };
    Ok(Encryption { mode, root_certificate })
}

/// What to do about a connection that could not be made, if TLS is why; as the end of a message.
pub fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let of_tls = causes(error).find_map(|cause| cause.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(problem)) = of_tls {
        return Some(match problem {
            UnknownIssuer => "; name the certificate of the authority that signed it with sslrootcert=FILE",
            NotValidForName | NotValidForNameContext { .. } => {
                "; write the host in the URL as the server's certificate does"
            }
            Expired | ExpiredContext { .. } => {
                "; renew the server's certificate, or set this machine's clock"
            }
            // Such as a self-signed one.
            Other(_) => "; the server needs a certificate that an authority signed and that is none itself",
            _ => return None,
        });
    }
    let is_said = |words: &str| causes(error).any(|cause| cause.to_string().contains(words));
    if is_said("does not support TLS") {
        return Some("; switch ssl on in the server, or set sslmode=prefer to go without");
    }
    if !is_said("no pg_hba.conf entry") {
        return None;
    }
    // How a server speaks of the connection that it refuses, from version 14 on and before.
    if is_said("no encryption") || is_said("SSL off") {
        return Some("; if the server lets nobody in without TLS, set sslmode=verify-full");
    }
    // libpq would try again without, if it was free to.
    (is_said("SSL encryption") || is_said("SSL on"))
        .then_some("; if the server lets nobody in with TLS, set sslmode=disable")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // What is in an I/O error is not its source, but that one's source is.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_libpqs() {
        for (options, mode, root) in [
            ("", Mode::Prefer, None),
            ("?sslmode=disable", Mode::Disable, None),
            ("?sslmode=allow", Mode::Prefer, None),
            ("?sslmode=require", Mode::Require, None),
            ("?sslmode=require&sslrootcert=ca.crt", Mode::VerifyCa, Some("ca.crt")),
            ("?sslrootcert=ca.crt", Mode::Prefer, Some("ca.crt")),
            ("?sslmode=verify-ca", Mode::VerifyCa, None),
            ("?sslrootcert=a%20b&sslmode=verify-full", Mode::VerifyFull, Some("a b")),
            ("?sslrootcert=system", Mode::VerifyFull, None),
        ] {
            let root_certificate = root.map(str::to_owned);
            let (found, rest) = split(&format!("postgres://db/app{options}")).expect("an address");
            assert_eq!(found, Encryption { mode, root_certificate }, "{options}");
            assert_eq!(rest, "postgres://db/app?");
        }
        for options in ["sslmode=verify", "sslmode=", "sslmode=prefer&sslrootcert=system"] {
            assert!(split(&format!("postgres://db/app?{options}")).is_err(), "{options}");
        }
    }

    #[test]
    fn other_options_stay() {
        let (_, rest) = split("postgres://db/app?a=b%20c&sslmode=require&d=%26").expect("an address");
        assert_eq!(rest, "postgres://db/app?a=b%20c&d=%26");
    }
}

//! Where a database is: `sqlite:PATH` or `postgres://…`, never shown with its password.

pub mod encryption;
pub mod options;

use options::Owner;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of a source or a store. `Debug` and `Display` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    /// The whole URL, password included.
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let Some(path) = text.strip_prefix("sqlite:") else {
            return Err(expected_for(text));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        // SQLAlchemy and others write an absolute path with a slash more.
        let path = path.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(path);
        if path.is_empty() || path == ":memory:" || path.contains('?') {
            return Err("expected sqlite:PATH with the path of a file and no options".to_owned());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// What was expected, with a hint where another program would understand the text. It quotes nothing that could be a password.
fn expected_for(text: &str) -> String {
    let expected = "expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "jdbc" => format!("{expected}; take jdbc: off, and put user and password before the host"),
        "file" => format!("{expected}; put sqlite: in place of file:"),
        _ if scheme.starts_with("postgres") => format!("{expected}; write the scheme as postgres"),
        _ if scheme.starts_with("sqlite") => format!("{expected}; write the scheme as sqlite"),
        "mysql" | "mariadb" | "mssql" | "sqlserver" | "mongodb" | "oracle" => {
            format!("{expected}; {scheme} is not supported")
        }
        _ if Path::new(text).is_file() => format!("{expected}; for this file: sqlite:{text}"),
        _ => expected.to_owned(),
    }
}

impl DatabaseUrl {
    /// Reads where a source is, options included.
    ///
    /// # Errors
    ///
    /// What was expected instead; without the text, in which a password may stand.
    pub fn of_source(text: &str) -> Result<Self, String> {
        text.parse::<Self>()?.checked(Owner::Source)
    }

    /// Reads where a store is, options included.
    ///
    /// # Errors
    ///
    /// As for [`DatabaseUrl::of_source`].
    pub fn of_store(text: &str) -> Result<Self, String> {
        text.parse::<Self>()?.checked(Owner::Store)
    }

    fn checked(self, owner: Owner) -> Result<Self, String> {
        if let Self::Postgres(url) = &self {
            check_password(url, owner)?;
            options::check(url, owner)?;
        }
        Ok(self)
    }

    /// The same, with relative paths of files that it names starting at this directory.
    pub fn starting_at(self, directory: &Path) -> Self {
        match self {
            // As it was given.
            url if directory.as_os_str().is_empty() => url,
            Self::Sqlite(path) => Self::Sqlite(directory.join(path)),
            Self::Postgres(url) => Self::Postgres(options::starting_at(&url, directory)),
        }
    }

    /// Whether a password is part of it.
    pub fn has_password(&self) -> bool {
        let Self::Postgres(url) = self else { return false };
        let (address, options) = url.split_once('?').unwrap_or((url, ""));
        let (_, address) = address.split_once("://").unwrap_or(("", address));
        let in_address = address.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
            || (address.contains(':') && options.contains('@'));
        in_address || form_urlencoded::parse(options.as_bytes()).any(|(name, _)| name == "password")
    }
}

/// Refuses a user or a password in which something stands that ends it (RFC 3986 section 3.2.1): the rest would be taken for the
/// host, and show up where hosts are named.
fn check_password(url: &str, owner: Owner) -> Result<(), String> {
    let (_, all) = url.split_once("://").unwrap_or_default();
    let (address, options) = all.split_once('?').unwrap_or((all, ""));
    let authority = address.split('/').next().unwrap_or_default();
    // The store's driver takes the last @ of the authority for the one that is meant.
    let ats = if owner == Owner::Source { address } else { address.trim_start_matches(authority) };
    let is_split = ats.matches('@').count() > usize::from(owner == Owner::Source) || address.contains('#');
    // Without an @ what stands behind the colon is a port, and an option has a name.
    let has_no_port = !authority.contains('@') && !has_ports(authority);
    let first_option = options.split('&').next().unwrap_or_default();
    let is_cut =
        has_no_port && all.contains('@') || first_option.contains('@') && !first_option.contains('=');
    if is_split || is_cut {
        return Err(
            "expected @, /, ? and # in a password or a user name to be percent-encoded, as %40, %2F, %3F and %23"
                .to_owned(),
        );
    }
    if has_no_port {
        return Err("expected postgres://USER:PASSWORD@HOST/DATABASE: without @HOST what follows the colon is a port, \
                    and this is none"
            .to_owned());
    }
    Ok(())
}

/// Whether what follows the colons of these hosts, of which there may be several, are ports.
fn has_ports(hosts: &str) -> bool {
    hosts.split(',').all(|host| {
        // The colons of an IPv6 address stand in brackets.
        let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
        behind.split_once(':').is_none_or(|(_, port)| port.is_empty() || port.parse::<u16>().is_ok())
    })
}

/// A path as it stands in a URL: everything that means something there percent-encoded.
pub fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write;
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut encoded, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `scheme://user@host/database`: neither the password nor the options, where one can stand too.
fn without_secrets(url: &str) -> String {
    let (scheme, all) = url.split_once("://").unwrap_or(("postgres", ""));
    let (rest, options) = all.split_once('?').unwrap_or((all, ""));
    // Behind a ? that was not percent-encoded may be the rest of a password, and before it its beginning.
    if options.contains('@') {
        let end = rest.find([':', '/', '@']).unwrap_or(rest.len());
        return format!("{scheme}://{}", &rest[..end]);
    }
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => {
            let hosts = rest.split('/').next().unwrap_or_default();
            // Perhaps the host was forgotten, and this is a password.
            let shown = if has_ports(hosts) { rest } else { hosts.split(':').next().unwrap_or_default() };
            format!("{scheme}://{shown}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("postgres://me:s3cret@db:5432/app", "postgres://me@db:5432/app"),
            ("postgresql://me:p@ss@db/app?sslmode=require", "postgresql://me@db/app"),
            ("postgres://db/app?user=me&password=s3cret", "postgres://db/app"),
            ("postgres://me:s3cret?more@db/app", "postgres://me"),
            ("postgres://me:x@s3cret?more@db/app", "postgres://me"),
            ("postgres://db:5432/app?user=me@app&password=s3cret", "postgres://db"),
            ("sqlite:users.db", "sqlite:users.db"),
            ("sqlite:///var/lib/users.db", "sqlite:/var/lib/users.db"),
            ("sqlite:////var/lib/users.db", "sqlite:/var/lib/users.db"),
        ] {
            let parsed: DatabaseUrl = url.parse().expect("a database URL");
            assert_eq!(format!("{parsed} {parsed:?}"), format!("{shown} {shown}"));
            assert_eq!(parsed.has_password(), url.contains("s3cret") || url.contains("p@ss"));
        }
    }

    #[test]
    fn a_password_without_a_host_is_refused_and_not_shown() {
        for url in [
            "postgres://me:s3cret/app",
            "postgres://me:s3cret:5432/app",
            "postgres://me:s3cret,db/app",
            "postgres://db,me:99999",
        ] {
            for read in [DatabaseUrl::of_source, DatabaseUrl::of_store] {
                let refused = read(url).expect_err(url);
                assert!(refused.contains("@HOST") && !refused.contains("s3cret"), "{refused}");
            }
            let shown = url.parse::<DatabaseUrl>().expect("an address").to_string();
            assert!(!shown.contains("s3cret") && !shown.contains("99999"), "{shown}");
        }
        for url in [
            "postgres://db:5432,[::1]:5433,other/app",
            "postgres://[fe80::1]/app",
            "postgres:///app?host=/run",
            "postgres://db:/app",
        ] {
            let parsed = DatabaseUrl::of_source(url).expect(url);
            assert_eq!(parsed.to_string(), url.split('?').next().expect("an address"));
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["mysql://db/app", "users.db", "", "sqlite:", "sqlite::memory:", "sqlite:a?mode=rw"] {
            assert!(url.parse::<DatabaseUrl>().is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_password_is_made_of_it_is_not_shown(user in "[a-z]{1,4}", parts in prop::collection::vec("[A-Z]{3,5}", 1..4), between in "[@:?/#&=%. -]", options in "(\\?[a-z]{1,5}=[a-z@]{0,5})?") {
            let password = parts.join(&between);
            let parsed: DatabaseUrl = format!("postgres://{user}:{password}@db/app{options}").parse().expect("an address");
            let shown = format!("{parsed} {parsed:?}");
            prop_assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{}", shown);
            prop_assert!(parsed.has_password());
        }

        #[test]
        fn any_text_is_an_address_or_an_error(text in "(sqlite:|postgres://|postgresql://)?.{0,40}") {
            if let Ok(parsed) = text.parse::<DatabaseUrl>() {
                let _ = (parsed.to_string(), parsed.has_password(), encryption::split(&text));
            }
        }
    }
}

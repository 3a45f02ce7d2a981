//! Options after the `?` of an address in PostgreSQL: which there are, and what to do instead of those of other programs.

use std::path::Path;

/// What both drivers are told of in words of ours.
const OF_BOTH: [&str; 2] = ["sslmode", "sslrootcert"];
/// What else the driver of the source takes.
const OF_SOURCE: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
];
/// What else that of the store takes.
const OF_STORE: [&str; 11] = [
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

/// Options of other programs that mean the same, and what to do instead.
struct Foreign {
    names: &'static [&'static str],
    source: &'static str,
    /// `None`: the store has always gone without it, and still does; or it refuses all that begins with `ssl` and is not its own.
    store: Option<&'static str>,
}

/// Of Prisma, SQLAlchemy, Rails, Django, Doctrine, JDBC, node-postgres and libpq.
const FOREIGN: [Foreign; 10] = [
    Foreign {
        names: &["schema", "currentSchema", "search_path"],
        source: "take it out, and write the schema before the table, in source.table or HEADCOUNT_SOURCE_TABLE, as in \
                 public.users",
        store: Some("write options=-c%20search_path%3DNAME instead"),
    },
    Foreign {
        names: &["pgbouncer", "prepared_statements", "prepareThreshold", "statement_cache_size"],
        source: "take it out: PgBouncer in transaction mode will do as it is",
        store: Some(
            "take it out, and connect directly: the store does not work through PgBouncer in transaction mode",
        ),
    },
    Foreign {
        names: &["connection_limit", "pool_timeout", "pool", "pool_size", "max_overflow"],
        source: "take it out: limits.concurrent_exports and source.parallelism say how many connections there are",
        store: Some("take it out: the store needs four connections and no more"),
    },
    Foreign {
        names: &["socket_timeout", "socketTimeout", "statement_timeout"],
        source: "take it out: limits.source_stall says how long the source may give nothing, and \
                 options=-c%20statement_timeout%3D30min how long a statement may take",
        store: Some("take it out: options=-c%20statement_timeout%3D30s says how long a statement may take"),
    },
    Foreign {
        names: &["connectTimeout", "loginTimeout", "timeout"],
        source: "write connect_timeout=SECONDS instead",
        store: None,
    },
    Foreign {
        names: &["sslcert", "sslkey", "sslpassword", "sslidentity"],
        source: "take it out: the source cannot be shown a client's certificate; give the role a password",
        store: None,
    },
    Foreign {
        names: &["ssl", "sslaccept", "uselibpqcompat", "requiressl", "ssl-mode"],
        source: "write sslmode=require, or better sslmode=verify-full, instead",
        store: Some("write sslmode=require, or better sslmode=verify-full, instead"),
    },
    Foreign {
        names: &["charset", "client_encoding", "encoding"],
        source: "take it out: all is UTF-8",
        store: None,
    },
    Foreign {
        names: &["service", "passfile"],
        source: "take it out, and write what it stands for into the URL",
        store: None,
    },
    Foreign {
        names: &["gssencmode", "krbsrvname", "serverVersion", "sslcrl"],
        source: "take it out: there is nothing like it here",
        store: None,
    },
];

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Source,
    Store,
}

impl Owner {
    /// Whether its driver takes an option.
    pub(crate) fn takes(self, name: &str) -> bool {
        match self {
            Self::Source => OF_SOURCE.contains(&name),
            Self::Store => OF_STORE.contains(&name) || name.starts_with("options["),
        }
    }

    /// The options that there are.
    pub(crate) fn known(self) -> String {
        let own: &[&str] = if self == Self::Source { &OF_SOURCE } else { &OF_STORE };
        let names: Vec<_> = OF_BOTH.iter().chain(own).copied().collect();
        names.join(", ")
    }

    fn remedy(self, name: &str) -> Option<&'static str> {
        let foreign = FOREIGN.iter().find(|foreign| foreign.names.contains(&name))?;
        if self == Self::Source { Some(foreign.source) } else { foreign.store }
    }
}

/// Looks for an option that does not do what whoever wrote it meant.
///
/// # Errors
///
/// Its name, unless that could be the rest of a password, and what to do instead.
pub(crate) fn check(url: &str, owner: Owner) -> Result<(), String> {
    let Some((_, options)) = url.split_once('?') else { return Ok(()) };
    // Behind a ? that was not percent-encoded is the rest of a password, and behind that the host.
    let mut may_be_secret = options.contains('@');
    for (name, _) in form_urlencoded::parse(options.as_bytes()) {
        if OF_BOTH.contains(&&*name) || owner.takes(&name) {
            // One with a & that was not percent-encoded goes on as the next name.
            may_be_secret |= name == "password";
            continue;
        }
        let named = if may_be_secret { String::new() } else { format!(": {}", shortened(&name)) };
        if owner == Owner::Store && name.starts_with("ssl") {
            let known = "there are sslmode, sslrootcert, sslcert and sslkey";
            return Err(format!("an option that begins with ssl is not known{named}; {known}"));
        }
        if let Some(remedy) = owner.remedy(&name) {
            return Err(format!("the option {name} of another program is not known here; {remedy}"));
        }
        if owner == Owner::Source {
            return Err(format!("an option is not known{named}; there are {}", owner.known()));
        }
    }
    Ok(())
}

/// Options that name a file.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// An address in which relative paths of files start at this directory.
pub(super) fn starting_at(url: &str, directory: &Path) -> String {
    let Some((address, options)) = url.split_once('?') else { return url.to_owned() };
    let is_file =
        |name: &str, value: &str| FILES.contains(&name) && (name, value) != ("sslrootcert", "system");
    let options = options.split('&').map(|option| match form_urlencoded::parse(option.as_bytes()).next() {
        Some((name, value)) if is_file(&name, &value) && Path::new(&*value).is_relative() => {
            let path = directory.join(&*value);
            let value: String =
                form_urlencoded::byte_serialize(path.as_os_str().as_encoded_bytes()).collect();
            format!("{name}={}", value.replace('+', "%20"))
        }
        _ => option.to_owned(),
    });
    format!("{address}?{}", options.collect::<Vec<_>>().join("&"))
}

/// Enough of a name to find it.
fn shortened(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_other_programs_are_named_with_what_to_do() {
        for (options, owner, words) in [
            ("schema=public", Owner::Source, ["option schema ", "public.users"]),
            ("schema=public", Owner::Store, ["option schema ", "search_path"]),
            ("sslmode=require&pgbouncer=true", Owner::Source, ["option pgbouncer ", "PgBouncer"]),
            ("pgbouncer=true", Owner::Store, ["option pgbouncer ", "directly"]),
            ("connection_limit=5", Owner::Source, ["option connection_limit ", "source.parallelism"]),
            ("sslcert=client.crt", Owner::Source, ["option sslcert ", "certificate"]),
            ("ssl-mode=verify-full", Owner::Store, ["not known: ssl-mode", "sslmode"]),
            ("user=me&speed=high", Owner::Source, ["not known: speed", "connect_timeout"]),
            ("password=s3&cret=x", Owner::Source, ["an option is not known;", "target_session_attrs"]),
        ] {
            let problem = check(&format!("postgres://db/app?{options}"), owner).expect_err(options);
            assert!(words.iter().all(|word| problem.contains(word)), "{problem}");
            assert!(!problem.contains("cret") && !problem.contains("client.crt"), "{problem}");
        }
        let problem = check("postgres://me:pass?hush=x@db/app", Owner::Source).expect_err("an option");
        assert!(!problem.contains("hush"), "{problem}");
    }

    #[test]
    fn files_start_where_the_address_stands() {
        for (url, expected) in [
            (
                "postgres://db/app?sslrootcert=ca.crt&a=b+c",
                "postgres://db/app?sslrootcert=etc%2Fmy%20app%2Fca.crt&a=b+c",
            ),
            (
                "postgres://db/app?sslmode=verify-full&sslrootcert=system",
                "postgres://db/app?sslmode=verify-full&sslrootcert=system",
            ),
            ("postgres://db/app?sslkey=/k.pem", "postgres://db/app?sslkey=/k.pem"),
            ("postgres://db/app", "postgres://db/app"),
        ] {
            assert_eq!(starting_at(url, Path::new("etc/my app")), expected);
        }
    }

    #[test]
    fn what_a_driver_takes_is_let_through() {
        for owner in [Owner::Source, Owner::Store] {
            for url in [
                "postgres://me:s3cret@db/app",
                "postgres:///app?host=/run/postgresql&user=me&password=x",
                "postgres://db/app?sslmode=verify-full&sslrootcert=ca.crt&options=-c%20a%3Db",
            ] {
                assert_eq!(check(url, owner), Ok(()), "{url}");
            }
        }
        assert_eq!(check("postgres://db/app?sslcert=a&sslkey=b&connect_timeout=5", Owner::Store), Ok(()));
    }
}

//! Options after the `?` of an address in PostgreSQL: which there are, what they may be, and what to do instead of those of other
//! programs.

use std::net::IpAddr;
use std::str::FromStr;

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
/// What the driver of the store does without, and what libpq means by it weakens nothing when it is lost: how long to wait for a
/// server and how to notice that it is gone, and the encoding, which is UTF-8 in any case.
const IGNORED_BY_STORE: [&str; 8] = [
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "keepalives_retries",
    "client_encoding",
];

/// Whether a driver takes a value of an option, and what it would take.
type Allowed = (fn(&str) -> bool, &'static str);

/// Of the options for which not any text will do.
fn allowed(owner: Owner, name: &str) -> Option<Allowed> {
    const SECONDS: Allowed = (is::<i64>, "a whole number of seconds");
    Some(match (name, owner) {
        ("port", Owner::Source) => {
            (are_ports, "a number up to 65535, or one for each host, with commas between")
        }
        ("port", Owner::Store) => (is::<u16>, "a number up to 65535"),
        ("hostaddr", Owner::Source) => (
            |value| value.split(',').all(is::<IpAddr>),
            "an IP address, or one for each host, with commas between",
        ),
        ("hostaddr", Owner::Store) => (is::<IpAddr>, "an IP address"),
        ("statement-cache-capacity", Owner::Store) => (is::<usize>, "a number of statements"),
        (_, Owner::Store) => return None,
        ("connect_timeout" | "tcp_user_timeout" | "keepalives_idle" | "keepalives_interval", _) => SECONDS,
        ("keepalives", _) => (is::<u64>, "1 or 0"),
        ("keepalives_retries", _) => (is::<u32>, "a number of probes"),
        ("target_session_attrs", _) => {
            (|value| matches!(value, "any" | "read-write" | "read-only"), "any, read-write or read-only")
        }
        ("channel_binding", _) => {
            (|value| matches!(value, "disable" | "prefer" | "require"), "disable, prefer or require")
        }
        ("load_balance_hosts", _) => (|value| matches!(value, "disable" | "random"), "disable or random"),
        ("sslnegotiation", _) => (|value| matches!(value, "postgres" | "direct"), "postgres or direct"),
        _ => return None,
    })
}

fn is<T: FromStr>(value: &str) -> bool {
    value.parse::<T>().is_ok()
}

/// One that is empty is the usual one.
fn are_ports(value: &str) -> bool {
    value.split(',').all(|port| port.is_empty() || is::<u16>(port))
}

/// Options of other programs that mean the same, and what to do instead.
struct Foreign {
    names: &'static [&'static str],
    source: &'static str,
    store: &'static str,
}

/// Of Prisma, SQLAlchemy, Rails, Django, Doctrine, JDBC, node-postgres and libpq.
const FOREIGN: [Foreign; 11] = [
    Foreign {
        names: &["schema", "currentSchema", "search_path"],
        source: "take it out, and write the schema before the table, in source.table or HEADCOUNT_SOURCE_TABLE, as in \
                 public.users",
        store: "write options=-c%20search_path%3DNAME instead",
    },
    Foreign {
        names: &["pgbouncer", "prepared_statements", "prepareThreshold", "statement_cache_size"],
        source: "take it out: PgBouncer in transaction mode will do as it is",
        store: "take it out, and connect directly: the store does not work through PgBouncer in transaction mode",
    },
    Foreign {
        names: &["connection_limit", "pool_timeout", "pool", "pool_size", "max_overflow"],
        source: "take it out: limits.concurrent_exports and source.parallelism say how many connections there are",
        store: "take it out: the store needs four connections and no more",
    },
    Foreign {
        names: &["socket_timeout", "socketTimeout", "statement_timeout"],
        source: "take it out: limits.source_stall says how long the source may give nothing, and \
                 options=-c%20statement_timeout%3D30min how long a statement may take",
        store: "take it out: options=-c%20statement_timeout%3D30s says how long a statement may take",
    },
    Foreign {
        names: &["connectTimeout", "loginTimeout", "timeout"],
        source: "write connect_timeout=SECONDS instead",
        store: "take it out: there is nothing like it here",
    },
    Foreign {
        names: &["sslcert", "sslkey", "sslpassword", "sslidentity"],
        source: "take it out: the source cannot be shown a client's certificate; give the role a password",
        store: "write sslcert=FILE and sslkey=FILE, of a key without a password, instead",
    },
    Foreign {
        names: &["ssl", "sslaccept", "uselibpqcompat", "requiressl", "ssl-mode"],
        source: "write sslmode=require, or better sslmode=verify-full, instead",
        store: "write sslmode=require, or better sslmode=verify-full, instead",
    },
    Foreign {
        names: &["charset", "client_encoding", "encoding"],
        source: "take it out: all is UTF-8",
        store: "take it out: all is UTF-8",
    },
    Foreign {
        names: &["service", "passfile"],
        source: "take it out, and write what it stands for into the URL",
        store: "take it out, and write what it stands for into the URL",
    },
    Foreign {
        names: &["gssencmode", "krbsrvname", "serverVersion", "sslcrl"],
        source: "take it out: there is nothing like it here",
        store: "take it out: there is nothing like it here",
    },
    Foreign {
        names: &["channel_binding", "require_auth"],
        source: "take it out: channel_binding=require, or sslmode=verify-full, has the server prove who it is",
        store: "take it out: the store knows no channel binding; sslmode=verify-full has the server prove who it is",
    },
];

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Source,
    Store,
}

impl Owner {
    /// Whether its driver takes an option.
    pub fn takes(self, name: &str) -> bool {
        match self {
            Self::Source => OF_SOURCE.contains(&name),
            Self::Store => OF_STORE.contains(&name) || (name.starts_with("options[") && name.ends_with(']')),
        }
    }

    /// Whether its driver does without an option that need not be refused for that.
    pub fn ignores(self, name: &str) -> bool {
        self == Self::Store && IGNORED_BY_STORE.contains(&name)
    }

    /// The options that there are.
    pub fn known(self) -> String {
        let own: &[&str] = if self == Self::Source { &OF_SOURCE } else { &OF_STORE };
        let names: Vec<_> = OF_BOTH.iter().chain(own).copied().collect();
        names.join(", ")
    }

    fn remedy(self, name: &str) -> Option<&'static str> {
        let foreign = FOREIGN.iter().find(|foreign| foreign.names.contains(&name))?;
        Some(if self == Self::Source { foreign.source } else { foreign.store })
    }
}

/// Looks for an option that does not do what whoever wrote it meant, or that cannot have the value that it has.
///
/// # Errors
///
/// Its name, unless that is not one of those here and could be the rest of a password, and what to do instead. Never its value.
pub fn check(url: &str, owner: Owner) -> Result<(), String> {
    let Some((_, options)) = url.split_once('?') else { return Ok(()) };
    // Behind a ? that was not percent-encoded is the rest of a password, and behind that the host.
    let mut may_be_secret = options.contains('@');
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        if OF_BOTH.contains(&&*name) || owner.takes(&name) || owner.ignores(&name) {
            if let Some((_, expected)) = allowed(owner, &name).filter(|(fits, _)| !fits(&value)) {
                return Err(format!("the option {name} cannot have this value; expected {expected}"));
            }
            // One with a & that was not percent-encoded goes on as the next name.
            may_be_secret |= name == "password";
            continue;
        }
        let named = if may_be_secret { String::new() } else { format!(": {}", shortened(&name)) };
        if let Some(remedy) = owner.remedy(&name) {
            return Err(format!("the option {name} of another program is not known here; {remedy}"));
        }
        return Err(format!("an option is not known{named}; there are {}", owner.known()));
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
            ("ssl-mode=verify-full", Owner::Store, ["option ssl-mode ", "sslmode"]),
            ("sslmod=verify-full", Owner::Store, ["not known: sslmod;", "sslmode, sslrootcert"]),
            ("channel_binding=require", Owner::Store, ["option channel_binding ", "verify-full"]),
            ("sslnegotiation=direct", Owner::Store, ["not known: sslnegotiation;", "sslmode"]),
            ("connectTimeout=5", Owner::Store, ["option connectTimeout ", "take it out"]),
            ("options[a=b", Owner::Store, ["not known: options[a;", "options"]),
            ("user=me&password=x&applicaton_name=cret", Owner::Store, ["an option is not known;", "sslkey"]),
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
    fn a_value_that_an_option_cannot_have_is_not_quoted_but_its_option_is_named() {
        for (option, value, expected) in [
            ("target_session_attrs", "primary", "any, read-write or read-only"),
            ("connect_timeout", "abc", "a whole number of seconds"),
            ("tcp_user_timeout", "5s", "a whole number of seconds"),
            ("keepalives", "yes", "1 or 0"),
            ("keepalives_idle", "1.5", "a whole number of seconds"),
            ("keepalives_interval", "", "a whole number of seconds"),
            ("keepalives_retries", "-1", "a number of probes"),
            ("channel_binding", "maybe", "disable, prefer or require"),
            ("sslnegotiation", "foo", "postgres or direct"),
            ("load_balance_hosts", "x", "disable or random"),
            ("port", "abc", "a number up to 65535"),
            ("port", "5432,65536", "a number up to 65535"),
            ("hostaddr", "db.example", "an IP address"),
        ] {
            let url = format!("postgres://db/app?user=me&password=x&{option}={value}");
            let problem = check(&url, Owner::Source).expect_err(&url);
            assert!(
                problem.contains(&format!("option {option} ")) && problem.contains(expected),
                "{problem}"
            );
            let others = problem.replace(option, "").replace(expected, "");
            assert!(value.len() < 3 || !others.contains(value), "{problem}");
        }
        for option in ["port=abc", "port=1,2", "hostaddr=db.example", "statement-cache-capacity=few"] {
            let (name, _) = option.split_once('=').expect("a value");
            let problem = check(&format!("postgres://db/app?{option}"), Owner::Store).expect_err(option);
            assert!(problem.contains(&format!("option {name} ")), "{problem}");
        }
    }

    /// What is allowed is what the driver allows.
    #[test]
    fn what_is_let_through_the_drivers_read() {
        for options in [
            "port=5432,,1&hostaddr=127.0.0.1,::1&host=a,b",
            "connect_timeout=-1&tcp_user_timeout=0&keepalives=2&keepalives_idle=3&keepalives_interval=4",
            "keepalives_retries=5&target_session_attrs=any&channel_binding=require&load_balance_hosts=random",
            "target_session_attrs=read-write&channel_binding=disable&load_balance_hosts=disable",
            "target_session_attrs=read-only&channel_binding=prefer&sslnegotiation=direct",
            "sslnegotiation=postgres",
        ] {
            let url = format!("postgres://db/app?{options}");
            assert_eq!(check(&url, Owner::Source), Ok(()), "{options}");
            assert!(url.parse::<tokio_postgres::Config>().is_ok(), "{options}");
        }
        let url = "postgres://db/app?port=5433&hostaddr=::1&statement-cache-capacity=7&options[a]=b";
        assert_eq!(check(url, Owner::Store), Ok(()));
        assert!(url.parse::<sqlx::postgres::PgConnectOptions>().is_ok());
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
        let ignored = "connect_timeout=5&keepalives=1&keepalives_count=3&client_encoding=utf8";
        assert_eq!(check(&format!("postgres://db/app?sslcert=a&sslkey=b&{ignored}"), Owner::Store), Ok(()));
    }
}

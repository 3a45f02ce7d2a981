//! A PostgreSQL with a certificate for `localhost`, from an authority of its own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::Client;

use super::account::Account;
use super::cluster::Cluster;
use super::postgres::{APP_READER, APP_READER_PASSWORD, HEADCOUNT_STORE, create_roles};
use super::{Db, Site};

/// The reader is let in with TLS only, the backup without it only.
const LOGINS: &str = "\
hostssl   all app_reader      127.0.0.1/32 password
hostnossl all app_backup      127.0.0.1/32 trust
host      all headcount_store 127.0.0.1/32 trust
host      all postgres        127.0.0.1/32 trust
";

/// A database there that one test has for itself.
pub(crate) struct Encrypted {
    name: String,
}

impl Encrypted {
    pub(crate) fn take() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("encrypted_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} OWNER {HEADCOUNT_STORE}");
        server().cluster.connect("postgres").batch_execute(&sql).unwrap();
        let database = Self { name };
        let (users, at) = (Db::Postgres.users_table(), Db::Postgres.second_of_2025());
        database.execute(&format!(
            "SET TIME ZONE 'UTC'; {users} INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at},
             i % 3 <> 0, i % 10 = 0 FROM {};
             ANALYZE users; GRANT SELECT ON users TO {APP_READER}",
            Db::Postgres.series(Self::USERS)
        ));
        database
    }

    /// As many as make a table of several parts.
    pub(crate) const USERS: u32 = 70_000;

    /// A site whose source is here, and whose store is a file.
    pub(crate) fn site(&self, source_url: &str) -> Site {
        let mut site = Site::bare(Db::Sqlite);
        site.set("HEADCOUNT_SOURCE_URL", source_url);
        site
    }

    /// The reader's address, with these options.
    pub(crate) fn source_url(&self, host: &str, options: &str) -> String {
        self.url(&format!("{APP_READER}:{APP_READER_PASSWORD}"), host, options)
    }

    pub(crate) fn url(&self, user: &str, host: &str, options: &str) -> String {
        format!("postgres://{user}@{host}:{}/{}?{options}", server().cluster.port(), self.name)
    }

    pub(crate) fn connect(&self) -> Client {
        server().cluster.connect(&self.name)
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.connect().batch_execute(sql).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    }

    /// Of the sessions of a role here, whether each is encrypted.
    pub(crate) fn sessions(&self, role: &str) -> Vec<bool> {
        let sql = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                   WHERE usename = $1 AND datname = current_database()";
        let sessions = self.connect().query(sql, &[&role]).unwrap();
        sessions.iter().map(|row| row.get(0)).collect()
    }
}

/// `sslrootcert` for the authority that signed the server's certificate.
pub(crate) fn trusting_the_authority() -> String {
    format!("sslrootcert={}", server().authority.display())
}

/// `sslrootcert` for another authority.
pub(crate) fn trusting_a_stranger() -> String {
    format!("sslrootcert={}", server().authority.with_file_name("stranger.crt").display())
}

struct Server {
    cluster: Cluster,
    authority: PathBuf,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut authority = PathBuf::new();
        let settings = ["ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key"];
        let cluster = Cluster::prepared(&settings, |account, dir| {
            std::fs::write(dir.join("pg_hba.conf"), LOGINS).unwrap();
            make_certificates(account, dir);
            authority = dir.join("authority.crt");
        });
        create_roles(&mut cluster.connect("postgres"));
        Server { cluster, authority }
    })
}

fn make_certificates(account: &Account, dir: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    for (name, subject, more) in [
        ("authority", "/CN=The authority", &[][..]),
        ("stranger", "/CN=Another authority", &[]),
        (
            "server",
            "/CN=localhost",
            &[
                "-CA",
                "authority.crt",
                "-CAkey",
                "authority.key",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
        ),
    ] {
        let files = ["-subj", subject, "-out", &format!("{name}.crt"), "-keyout", &format!("{name}.key")];
        account.run(Path::new("openssl"), dir, &[&["req", "-x509"], &key[..], &files, more].concat());
    }
}

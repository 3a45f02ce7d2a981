//! A PgBouncer in transaction mode between a source and its database.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use postgres::{Client, NoTls};

use super::account::{Account, Keeper};
use super::cluster::free_port;
use super::eventually;
use super::postgres::{APP_READER, APP_READER_PASSWORD};

pub(crate) struct PgBouncer {
    port: u16,
    database: String,
    keeper: Keeper,
}

impl PgBouncer {
    pub(super) fn start(postgres: u16, database: &str, settings: &str) -> Self {
        let account = Account::that_may_run_a_cluster();
        let dir = account.directory("headcount-pgbouncer-");
        let port = free_port();
        std::fs::write(
            dir.join("pgbouncer.ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={postgres}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = scram-sha-256\nauth_file = users\npool_mode = transaction\n{settings}\n"
            ),
        )
        .unwrap();
        let users = format!("\"{APP_READER}\" \"{APP_READER_PASSWORD}\"\n");
        std::fs::write(dir.join("users"), users).unwrap();
        // Some versions wait for their clients when they are asked to go.
        let keeper = Keeper::start(&account, dir, "KILL", &program(), &["pgbouncer.ini"]);
        let bouncer = Self { port, database: database.to_owned(), keeper };
        eventually("PgBouncer accepts connections", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok() || {
                assert!(!bouncer.log().contains("FATAL"), "{}", bouncer.log());
                false
            }
        });
        bouncer
    }

    pub(crate) fn source_url(&self) -> String {
        format!("postgres://{APP_READER}:{APP_READER_PASSWORD}@127.0.0.1:{}/{}", self.port, self.database)
    }

    /// Has so many connections to PostgreSQL open from now on, if the pool is large enough.
    pub(crate) fn open_connections(&self, number: usize) {
        let at_once: Vec<_> = (0..number)
            .map(|_| {
                let mut client = Client::connect(&self.source_url(), NoTls).unwrap();
                client.batch_execute("BEGIN").unwrap();
                client
            })
            .collect();
        for mut client in at_once {
            client.batch_execute("COMMIT").unwrap();
        }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.keeper.log()
    }
}

impl Drop for PgBouncer {
    #[expect(clippy::print_stderr, reason = "in a test that failed, it is part of the report")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Of all its lines those that tell who comes and goes would hide the rest.
            let log = self.log();
            let said: Vec<_> = log.lines().filter(|line| !line.contains(" LOG ")).collect();
            eprintln!("PgBouncer said:\n{}", said.join("\n"));
        }
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("pgbouncer")).find(|file| file.exists());
    on_path.unwrap_or_else(|| Path::new("/usr/sbin/pgbouncer").to_owned())
}

//! A place where Headcount is set up: a users database, a store, a working directory, an environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::people::PEOPLE;
use super::postgres::Database;
use super::{Db, Server};

pub(crate) const STANDARD_KEY: &str = "static-standard-key-of-the-tests";
pub(crate) const EXPORT_KEY: &str = "static-export-key-of-the-tests";
pub(super) const ALL_FEATURES: &str = "users:export,users:export_full,users:export_alive,users:export_simple";

const PROGRAM: &str = env!("CARGO_BIN_EXE_headcount");

pub(crate) struct Site {
    pub(crate) db: Db,
    dir: TempDir,
    environment: BTreeMap<String, String>,
    database: Option<Database>,
}

impl Site {
    /// All features on, one static key of each kind, and a source without any table.
    pub(crate) fn bare(db: Db) -> Self {
        Self::on(db, (db == Db::Postgres).then(|| Database::take("UTF8")))
    }

    /// The same on a PostgreSQL database of this encoding.
    pub(crate) fn encoded(encoding: &'static str) -> Self {
        let mut site = Self::on(Db::Postgres, Some(Database::take(encoding)));
        site.unset("HEADCOUNT_STORE_URL");
        site.sql(Db::Postgres.users_table());
        site
    }

    fn on(db: Db, database: Option<Database>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("app")).unwrap();
        let mut site = Self { db, dir, environment: BTreeMap::new(), database };
        let source = match &site.database {
            Some(database) => database.source_url(),
            None => format!("sqlite:{}", site.sqlite_source().display()),
        };
        site.set("HEADCOUNT_SOURCE_URL", &source);
        if let Some(url) = site.database.as_ref().map(Database::store_url) {
            site.set("HEADCOUNT_STORE_URL", &url);
        }
        site.set("HEADCOUNT_FEATURES", ALL_FEATURES);
        site.set("HEADCOUNT_API_KEY", STANDARD_KEY);
        site.set("HEADCOUNT_EXPORT_API_KEY", EXPORT_KEY);
        site
    }

    /// For who asks nothing of the store: in PostgreSQL its tables and sessions cost more than all else that most tests do.
    pub(crate) fn storing_in_sqlite(mut self) -> Self {
        self.unset("HEADCOUNT_STORE_URL");
        self
    }

    pub(crate) fn with_empty_table(db: Db) -> Self {
        let site = Self::bare(db);
        site.sql(db.users_table());
        site
    }

    pub(crate) fn with_people(db: Db) -> Self {
        let site = Self::with_empty_table(db);
        site.sql(PEOPLE);
        site
    }

    /// `n` users that [`filled_minimal`](Self::filled_minimal) and its like can predict.
    pub(crate) fn with_users(db: Db, n: u32) -> Self {
        let site = Self::with_empty_table(db);
        site.sql(&format!(
            "INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, \
             i % 3 <> 0, i % 10 = 0 FROM {series}",
            at = db.second_of_2025(),
            series = db.series(n),
        ));
        site
    }

    /// 30 MB of export, which no pair of socket buffers holds.
    pub(crate) fn with_wide_users(db: Db) -> Self {
        let site = Self::with_empty_table(db);
        site.sql(&format!(
            "INSERT INTO users SELECT i, 'user' || i || '@example.com', {wide}, NULL, NULL, true, false \
             FROM {series}",
            wide = db.wide_text(),
            series = db.series(3000),
        ));
        site
    }

    /// No configuration at all but the features and keys: the embedded users table and store.
    pub(crate) fn embedded() -> Self {
        let mut site = Self::bare(Db::Sqlite);
        site.unset("HEADCOUNT_SOURCE_URL");
        site
    }

    pub(crate) fn filled_minimal(n: u32) -> String {
        let mut csv = String::from("id,email,name\r\n");
        for i in 1..=n {
            csv += &format!("{i},user{i}@example.com,User {i}\r\n");
        }
        csv
    }

    pub(crate) fn filled_full(n: u32) -> String {
        let mut csv = String::from("id,email,name,created_at,updated_at,is_active,is_admin\r\n");
        for i in 1..=n {
            let second = i % 86_400;
            let at = format!("2025-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
            let (active, admin) = (i % 3 != 0, i % 10 == 0);
            csv += &format!("{i},user{i}@example.com,User {i},{at},{at},{active},{admin}\r\n");
        }
        csv
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Writes `headcount.toml` in the working directory.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.path("headcount.toml"), toml).unwrap();
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn sqlite_source(&self) -> PathBuf {
        self.path("app/users.db")
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("a site on PostgreSQL")
    }

    /// Runs statements on the users database as its application would.
    pub(crate) fn sql(&self, sql: &str) {
        match &self.database {
            Some(database) => database.execute(sql),
            None => self.sqlite().execute_batch(sql).unwrap_or_else(|error| panic!("{error}\n{sql}")),
        }
    }

    /// The first column of a query, as text.
    pub(crate) fn column(&self, sql: &str) -> Vec<String> {
        match &self.database {
            Some(database) => database.column(sql),
            None => column_of(&self.sqlite(), sql),
        }
    }

    pub(crate) fn sqlite(&self) -> rusqlite::Connection {
        open_sqlite(&self.sqlite_source())
    }

    /// Where the store is, unless it is in SQLite: in the users database.
    fn store_database(&self) -> Option<&Database> {
        self.database.as_ref().filter(|_| self.environment.contains_key("HEADCOUNT_STORE_URL"))
    }

    /// Runs statements on the store, behind Headcount's back.
    pub(crate) fn store_sql(&self, sql: &str) {
        match self.store_database() {
            Some(database) => database.execute(sql),
            None => self.sqlite_store().execute_batch(sql).unwrap_or_else(|error| panic!("{error}\n{sql}")),
        }
    }

    /// The first column of a query on the store, as text.
    pub(crate) fn store_column(&self, sql: &str) -> Vec<String> {
        match self.store_database() {
            Some(database) => database.column(sql),
            None => column_of(&self.sqlite_store(), sql),
        }
    }

    /// Acts while these tables of the store are locked, or, in SQLite, everything against writers.
    pub(crate) fn while_locked<T>(&self, tables_in_mode: &str, act: impl FnOnce() -> T) -> T {
        match self.store_database() {
            None => {
                let store = self.sqlite_store();
                store.execute_batch("BEGIN IMMEDIATE").unwrap();
                let done = act();
                store.execute_batch("ROLLBACK").unwrap();
                done
            }
            Some(database) => {
                let mut session = database.connect();
                session.batch_execute(&format!("BEGIN; LOCK TABLE {tables_in_mode} MODE")).unwrap();
                let done = act();
                session.batch_execute("ROLLBACK").unwrap();
                done
            }
        }
    }

    pub(crate) fn sqlite_store(&self) -> rusqlite::Connection {
        open_sqlite(&self.data_dir().join("headcount.db"))
    }

    /// Starts `serve` and returns when it listens.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Server {
        // For the tests that set limits.
        let mut command = self.command_by(&[]);
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments);
        Server::start(command)
    }

    /// Every byte that the store holds.
    pub(crate) fn store_content(&self) -> Vec<u8> {
        if self.store_database().is_none() {
            let files = std::fs::read_dir(self.data_dir()).unwrap();
            return files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default()).collect();
        }
        let tables = self.column(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'users'",
        );
        assert!(!tables.is_empty());
        let mut content = Vec::new();
        for table in tables {
            for row in self.column(&format!("SELECT row_of::text FROM {table} AS row_of")) {
                content.extend(row.into_bytes());
            }
        }
        content
    }

    pub(crate) fn command(&self) -> Command {
        self.prepared(Command::new(PROGRAM))
    }

    /// The program, started by another one, and not ended by the signal that follows a file that grew too large.
    pub(super) fn command_by(&self, starter: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap '' XFSZ; exec "$@""#, "sh"]).args(starter).arg(PROGRAM);
        self.prepared(command)
    }

    /// A command that starts the program, in its directory and with the environment of the site alone.
    pub(crate) fn prepared(&self, mut command: Command) -> Command {
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in inherited {
            if name.starts_with("HEADCOUNT_") || name.starts_with("PG") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.current_dir(self.dir.path()).env("TZ", "America/New_York").envs(&self.environment);
        command
    }
}

fn open_sqlite(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    connection
}

fn column_of(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{sql}: {other:?}"),
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

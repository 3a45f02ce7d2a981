//! The databases of the tests, all in one cluster.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use postgres::{Client, SimpleQueryMessage};

use super::cluster::Cluster;
use super::pgbouncer::PgBouncer;

/// May read the application's tables and nothing else; logs in with a password.
pub(crate) const APP_READER: &str = "app_reader";
pub(crate) const APP_READER_PASSWORD: &str = "reader-password-of-the-tests";
/// That password as the server keeps it, hashed once where it would be 4,096 times: it is checked at each of thousands of logins
/// (RFC 5802, section 3).
const APP_READER_SECRET: &str = concat!(
    "SCRAM-SHA-256$1:c2FsdCBvZiB0aGUgdGVzdHM=",
    "$5bfIHk1amBxVa+dmVSJqMapeeSZz4o2BaI5w5FRO/mo=:GhwTGGWmq4jNmvyf6c0eXWE+Qngh/cO216oESO8tnXA="
);
/// May read every table, whatever row level security says: what a table with policies needs.
pub(crate) const APP_BACKUP: &str = "app_backup";
/// Owns each test's database, so that the store's migrations can run in it.
pub(crate) const HEADCOUNT_STORE: &str = "headcount_store";

/// A database that one test has for itself; the next test gets it emptied.
pub(crate) struct Database {
    name: String,
    encoding: &'static str,
    /// Size of the log when this test got it: that of the whole run is too large to be read again and again.
    log_before: u64,
    /// A superuser's session that speaks UTC, whatever the cluster's own zone is.
    session: Arc<Mutex<Client>>,
}

/// A database that no test uses now.
struct Idle {
    name: String,
    encoding: &'static str,
    session: Arc<Mutex<Client>>,
}

impl Database {
    pub(crate) fn take(encoding: &'static str) -> Self {
        let idle = {
            let mut idle = idle().lock().unwrap();
            let found = idle.iter().position(|database| database.encoding == encoding);
            found.map(|at| idle.swap_remove(at))
        };
        let Idle { name, session, .. } = idle.unwrap_or_else(|| create_database(encoding));
        let database = Self { name, encoding, log_before: cluster().log_size(), session };
        database.execute("DISCARD ALL");
        database.execute("SET TIME ZONE 'UTC'");
        database.execute(&format!(
            "SET allow_system_table_mods = on; DROP TABLE IF EXISTS pg_catalog.pg_dist_partition;
             RESET allow_system_table_mods;
             DO $$ DECLARE found name; BEGIN
                 FOR found IN SELECT nspname FROM pg_namespace
                 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
                     EXECUTE format('DROP SCHEMA %I CASCADE', found);
                 END LOOP;
             END $$;
             CREATE SCHEMA public AUTHORIZATION {HEADCOUNT_STORE};
             GRANT USAGE ON SCHEMA public TO {APP_READER};
             ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {APP_READER};
             REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {name} TO {APP_READER}, {APP_BACKUP}, {HEADCOUNT_STORE};
             ALTER DATABASE {name} RESET ALL;
             ALTER DATABASE {name} CONNECTION LIMIT -1",
            name = database.name
        ));
        // Every table that was ever here is still in the way of who reads the catalogue, and nobody else takes it away.
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        if TAKEN.fetch_add(1, Ordering::Relaxed) % 16 == 15 {
            database.execute(
                "VACUUM pg_class, pg_attribute, pg_depend, pg_type, pg_index, pg_attrdef, pg_constraint, pg_shdepend",
            );
        }
        database
    }

    pub(crate) fn source_url(&self) -> String {
        format!("postgres://{APP_READER}:{APP_READER_PASSWORD}@127.0.0.1:{}/{}", cluster().port(), self.name)
    }

    /// The source through a Unix socket.
    pub(crate) fn socket_url(&self) -> String {
        let (directory, port) = (cluster().socket_directory(), cluster().port());
        format!(
            "postgres:///{}?host={}&port={port}&user={APP_READER}&password={APP_READER_PASSWORD}",
            self.name,
            directory.display()
        )
    }

    /// The source as [`APP_BACKUP`] sees it.
    pub(crate) fn backup_url(&self) -> String {
        format!("postgres://{APP_BACKUP}@127.0.0.1:{}/{}", cluster().port(), self.name)
    }

    pub(crate) fn store_url(&self) -> String {
        format!("postgres://{HEADCOUNT_STORE}@127.0.0.1:{}/{}", cluster().port(), self.name)
    }

    /// The source by way of two addresses, so that its rows come through the driver.
    pub(crate) fn several_hosts_url(&self) -> String {
        let host = format!("127.0.0.1:{}", cluster().port());
        self.source_url().replace(&host, &format!("{host},{host}"))
    }

    /// Makes a foreign server, `elsewhere`, of this database itself.
    pub(crate) fn reach_itself(&self) {
        self.execute(&format!(
            "CREATE EXTENSION postgres_fdw;
             CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw
                 OPTIONS (host '127.0.0.1', port '{}', dbname '{}');
             CREATE USER MAPPING FOR PUBLIC SERVER elsewhere
                 OPTIONS (user '{APP_READER}', password '{APP_READER_PASSWORD}')",
            cluster().port(),
            self.name
        ));
    }

    /// A PgBouncer of one's own between a source and this database, with these lines in its configuration.
    pub(crate) fn behind_pgbouncer(&self, settings: &str) -> PgBouncer {
        PgBouncer::start(cluster().port(), &self.name, settings)
    }

    /// A session of the application's own, beside the one that [`execute`](Self::execute) uses.
    pub(crate) fn connect(&self) -> Client {
        cluster().connect(&self.name)
    }

    pub(crate) fn execute(&self, sql: &str) {
        let done = self.session.lock().unwrap().batch_execute(sql);
        done.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    }

    /// The first column of a query, as text.
    pub(crate) fn column(&self, sql: &str) -> Vec<String> {
        let messages = self.session.lock().unwrap().simple_query(sql).unwrap();
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
            _ => None,
        });
        rows.collect()
    }

    /// Ends the sessions of `role` in this database and refuses new ones.
    pub(crate) fn cut_off(&self, role: &str) {
        self.execute(&format!("REVOKE CONNECT ON DATABASE {} FROM {role}", self.name));
        self.terminate(role);
    }

    pub(crate) fn let_in_again(&self, role: &str) {
        self.execute(&format!("GRANT CONNECT ON DATABASE {} TO {role}", self.name));
    }

    pub(crate) fn terminate(&self, role: &str) {
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE usename = '{role}' AND datname = current_database()"
        ));
    }

    /// How often `role` has logged in to this database since the test has it.
    pub(crate) fn logins(&self, role: &str) -> usize {
        let login = format!("authorized: user={role} database={}", self.name);
        let log = cluster().log_after(self.log_before);
        log.lines()
            .filter_map(|line| line.split_once(&login))
            .filter(|(_, rest)| !rest.starts_with(char::is_numeric))
            .count()
    }

    /// What the server has said to the test in this database so far, by line.
    pub(crate) fn server_log(&self) -> Vec<String> {
        let name = format!(" {} ", self.name);
        let log = cluster().log_after(self.log_before);
        log.lines().filter(|line| line.contains(&name)).map(String::from).collect()
    }

    /// Lets no more than `more` sessions in, beside those that are there.
    pub(crate) fn let_in_only(&self, more: usize) {
        self.execute(&format!(
            "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE {} CONNECTION LIMIT %s', {more} +
                     (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()));
             END $$",
            self.name
        ));
    }

    /// Sessions of `role` in this database, busy or not.
    pub(crate) fn sessions(&self, role: &str) -> usize {
        let all = format!(
            "SELECT pid FROM pg_stat_activity WHERE usename = '{role}' AND datname = current_database()"
        );
        self.column(&all).len()
    }

    /// Sessions of `role` in this database that are at work or hold a transaction open.
    pub(crate) fn busy_sessions(&self, role: &str) -> usize {
        let busy = self.column(&format!(
            "SELECT pid FROM pg_stat_activity \
             WHERE usename = '{role}' AND datname = current_database() AND state <> 'idle'"
        ));
        busy.len()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.terminate(APP_READER);
            self.terminate(APP_BACKUP);
            self.terminate(HEADCOUNT_STORE);
            // The next test's session begins with what is set then.
            self.execute(&format!("ALTER DATABASE {} RESET ALL", self.name));
            idle().lock().unwrap().push(Idle {
                name: self.name.clone(),
                encoding: self.encoding,
                session: Arc::clone(&self.session),
            });
        }
    }
}

fn create_database(encoding: &'static str) -> Idle {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("case_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = cluster().connect("postgres");
    let sql =
        format!("CREATE DATABASE {name} OWNER {HEADCOUNT_STORE} TEMPLATE template0 ENCODING '{encoding}'");
    admin.batch_execute(&sql).unwrap();
    let session = Arc::new(Mutex::new(cluster().connect(&name)));
    Idle { name, encoding, session }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(&["wal_level=minimal", "max_wal_senders=0"]);
        create_roles(&mut cluster.connect("postgres"));
        cluster
    })
}

fn idle() -> &'static Mutex<Vec<Idle>> {
    static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());
    &IDLE
}

pub(super) fn create_roles(admin: &mut Client) {
    let created = admin.batch_execute(&format!(
        "CREATE ROLE {APP_READER} LOGIN PASSWORD '{APP_READER_SECRET}';
         CREATE ROLE {APP_BACKUP} LOGIN BYPASSRLS IN ROLE pg_read_all_data;
         CREATE ROLE {HEADCOUNT_STORE} LOGIN;"
    ));
    created.unwrap();
}

//! One throw-away PostgreSQL cluster for the test process, made from the system's binaries.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use postgres::{Client, NoTls, SimpleQueryMessage};

use super::wait_for;

/// May read the application's tables and nothing else; logs in with a password.
pub(crate) const APP_READER: &str = "app_reader";
pub(crate) const APP_READER_PASSWORD: &str = "reader-password-of-the-tests";
/// May read every table, whatever row level security says: what a table with policies needs.
pub(crate) const APP_BACKUP: &str = "app_backup";
/// Owns each test's database, so that the store's migrations can run in it.
pub(crate) const HEADCOUNT_STORE: &str = "headcount_store";

/// A database that one test has for itself; the next test gets it emptied.
pub(crate) struct Database {
    name: String,
    /// A superuser's session that speaks UTC, whatever the cluster's own zone is.
    session: Mutex<Client>,
}

impl Database {
    pub(crate) fn take() -> Self {
        let idle = cluster().idle.lock().unwrap().pop();
        let database = Self::open(idle.unwrap_or_else(create_database));
        database.execute(&format!(
            "DO $$ DECLARE found name; BEGIN
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
             ALTER DATABASE {name} RESET ALL",
            name = database.name
        ));
        database
    }

    fn open(name: String) -> Self {
        let mut session = cluster().connect(&name);
        session.batch_execute("SET TIME ZONE 'UTC'").unwrap();
        Self { name, session: Mutex::new(session) }
    }

    pub(crate) fn source_url(&self) -> String {
        format!("postgres://{APP_READER}:{APP_READER_PASSWORD}@127.0.0.1:{}/{}", cluster().port, self.name)
    }

    /// The source as [`APP_BACKUP`] sees it.
    pub(crate) fn backup_url(&self) -> String {
        format!("postgres://{APP_BACKUP}@127.0.0.1:{}/{}", cluster().port, self.name)
    }

    pub(crate) fn store_url(&self) -> String {
        format!("postgres://{HEADCOUNT_STORE}@127.0.0.1:{}/{}", cluster().port, self.name)
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
            cluster().idle.lock().unwrap().push(self.name.clone());
        }
    }
}

fn create_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("case_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = cluster().connect("postgres");
    let sql = format!("CREATE DATABASE {name} OWNER {HEADCOUNT_STORE} TEMPLATE template0");
    admin.batch_execute(&sql).unwrap();
    name
}

struct Cluster {
    port: u16,
    idle: Mutex<Vec<String>>,
    /// Its stdin stays open as long as this process lives; at its end the cluster stops.
    _keeper: Child,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

const STOP_WITH_THE_TESTS: &str = r#"
trap '' HUP INT TERM
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 & pid=$!
cat >/dev/null
kill -INT $pid; wait $pid; rm -rf "$dir"
"#;

const LOGINS: &str = "\
host all app_reader 127.0.0.1/32 password
host all all        127.0.0.1/32 trust
";

impl Cluster {
    fn start() -> Self {
        let bin = server_binaries();
        let account = Account::that_may_run_a_cluster();
        let dir = tempfile::Builder::new()
            .prefix("headcount-postgres-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
            .keep();
        account.own(&dir);
        let data = dir.join("data");

        let initdb = account
            .command(&bin.join("initdb"), &dir)
            .args(["--username=postgres", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "initdb failed: {}", String::from_utf8_lossy(&initdb.stderr));
        std::fs::write(data.join("pg_hba.conf"), LOGINS).unwrap();

        let port = free_port();
        let keeper = account
            .command(Path::new("sh"), &dir)
            .args(["-c", STOP_WITH_THE_TESTS, "sh"])
            .arg(&dir)
            .arg(bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();

        let cluster = Self { port, idle: Mutex::default(), _keeper: keeper };
        let log = dir.join("log");
        let mut admin =
            wait_for("PostgreSQL accepts connections (its log is in the temporary directory)", || {
                match cluster.try_connect("postgres") {
                    Ok(client) => Some(client),
                    Err(error) => {
                        let said = std::fs::read_to_string(&log).unwrap_or_default();
                        assert!(!said.contains("FATAL:  could not"), "{said}\n{error}");
                        None
                    }
                }
            });
        admin
            .batch_execute(&format!(
                "CREATE ROLE {APP_READER} LOGIN PASSWORD '{APP_READER_PASSWORD}';
                 CREATE ROLE {APP_BACKUP} LOGIN BYPASSRLS IN ROLE pg_read_all_data;
                 CREATE ROLE {HEADCOUNT_STORE} LOGIN;"
            ))
            .unwrap();
        cluster
    }

    fn connect(&self, database: &str) -> Client {
        self.try_connect(database).unwrap()
    }

    fn try_connect(&self, database: &str) -> Result<Client, postgres::Error> {
        Client::connect(
            &format!("postgres://postgres@127.0.0.1:{}/{database}?connect_timeout=10", self.port),
            NoTls,
        )
    }
}

/// Fast, and with defaults that nobody who renders a timestamp may rely on.
const SETTINGS: [&str; 13] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "password_encryption=scram-sha-256",
    "timezone=America/New_York",
    "datestyle=SQL,DMY",
    "intervalstyle=sql_standard",
];

fn server_binaries() -> PathBuf {
    let complete = |dir: &PathBuf| dir.join("initdb").exists() && dir.join("postgres").exists();
    if let Some(dir) = std::env::var_os("PG_BIN") {
        return PathBuf::from(dir);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(dir) = std::env::split_paths(&path).find(complete) {
        return dir;
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(complete);
    installed
        .max_by_key(|dir| major_version(dir))
        .expect("these tests start a PostgreSQL of their own: apt-get install postgresql")
}

fn major_version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// PostgreSQL refuses to run as root, so root lends it another account.
struct Account(Option<(u32, u32)>);

impl Account {
    fn that_may_run_a_cluster() -> Self {
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        if uid.trim_ascii() != b"0" {
            return Self(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let ids = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        Self(Some(
            ids("postgres")
                .or_else(|| ids("nobody"))
                .expect("run as root, these tests need an account 'postgres' or 'nobody'"),
        ))
    }

    fn own(&self, dir: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(dir, Some(uid), Some(gid)).unwrap();
        }
    }

    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env_remove("LC_ALL");
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }
}

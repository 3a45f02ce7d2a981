//! A throw-away PostgreSQL cluster, made from the system's binaries.

use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use postgres::{Client, NoTls};

use super::account::{Account, Keeper};
use super::{eventually, wait_for};

pub(super) struct Cluster {
    port: u16,
    keeper: Keeper,
}

const LOGINS: &str = "\
host all         app_reader 127.0.0.1/32 password
local all        app_reader              password
host all         all        127.0.0.1/32 trust
host replication all        127.0.0.1/32 trust
";

/// Fast, and with defaults that nobody who renders a timestamp may rely on.
const SETTINGS: [&str; 15] = [
    "listen_addresses=127.0.0.1",
    // The data directory.
    "unix_socket_directories=.",
    "max_connections=500",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    // Compiling a statement takes longer than any of them runs; and each session maps all the memory that there is.
    "jit=off",
    "shared_buffers=32MB",
    "password_encryption=scram-sha-256",
    "timezone=America/New_York",
    "datestyle=SQL,DMY",
    "intervalstyle=sql_standard",
    "log_connections=on",
    "log_line_prefix=%m [%p] %d ",
];

impl Cluster {
    /// A new cluster with these settings besides those that all have.
    pub(super) fn start(settings: &[&str]) -> Self {
        Self::prepared(settings, |_, _| {})
    }

    /// The same, with whatever else there is to be in its data directory.
    pub(super) fn prepared(settings: &[&str], prepare: impl FnOnce(&Account, &Path)) -> Self {
        let account = Account::that_may_run_a_cluster();
        let dir = account.directory("headcount-postgres-");
        let initdb = ["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
        account.run(&binary("initdb"), &dir, &[&initdb[..], &["--pgdata=data"]].concat());
        std::fs::write(dir.join("data/pg_hba.conf"), LOGINS).unwrap();
        prepare(&account, &dir.join("data"));
        Self::run(&account, dir, settings)
    }

    /// A hot standby of this cluster, from a backup of it.
    pub(super) fn standby(&self, settings: &[&str]) -> Self {
        let account = Account::that_may_run_a_cluster();
        let dir = account.directory("headcount-standby-");
        let primary = format!("host=127.0.0.1 port={} user=postgres", self.port);
        let backup = ["--dbname", &primary, "--pgdata=data", "--write-recovery-conf", "--checkpoint=fast"];
        account.run(&binary("pg_basebackup"), &dir, &[&backup[..], &["--no-sync"]].concat());
        Self::run(&account, dir, settings)
    }

    fn run(account: &Account, dir: PathBuf, settings: &[&str]) -> Self {
        let port = free_port();
        let port_text = port.to_string();
        let mut arguments = vec!["-D", "data", "-p", &port_text];
        arguments.extend(SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]));
        let keeper = Keeper::start(account, dir, "INT", &binary("postgres"), &arguments);
        let cluster = Self { port, keeper };
        cluster.eventually_accepts();
        cluster
    }

    fn eventually_accepts(&self) {
        wait_for("PostgreSQL accepts connections (its log is in the temporary directory)", || {
            self.try_connect("postgres")
                .inspect_err(|error| {
                    let said = self.log();
                    assert!(!said.contains("FATAL:  could not"), "{said}\n{error}");
                })
                .ok()
        });
    }

    /// Kills the server and every process of it, so that nobody can say good-bye.
    pub(super) fn kill(&self) {
        let file = self.keeper.file("data/postmaster.pid");
        let server = file.lines().next().unwrap();
        let children = Command::new("pgrep").args(["-P", server]).output().unwrap().stdout;
        let mut all = vec![server.to_owned()];
        all.extend(String::from_utf8(children).unwrap().lines().map(String::from));
        assert!(Command::new("kill").arg("-9").args(&all).status().unwrap().success());
        eventually("all its processes are gone", || all.iter().all(|pid| is_gone(pid)));
    }

    /// Starts a server that was killed.
    pub(super) fn start_again(&self) {
        self.keeper.start_again();
        self.eventually_accepts();
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where its socket is.
    pub(super) fn socket_directory(&self) -> PathBuf {
        self.keeper.path("data")
    }

    /// What the server has said so far; that somebody logs in it says before he is let in.
    pub(super) fn log(&self) -> String {
        self.keeper.log()
    }

    /// How many bytes that is.
    pub(super) fn log_size(&self) -> u64 {
        std::fs::metadata(self.keeper.path("log")).unwrap().len()
    }

    /// What it has said after so many bytes.
    pub(super) fn log_after(&self, size: u64) -> String {
        let mut file = std::fs::File::open(self.keeper.path("log")).unwrap();
        file.seek(SeekFrom::Start(size)).unwrap();
        let mut log = Vec::new();
        file.read_to_end(&mut log).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(super) fn connect(&self, database: &str) -> Client {
        self.try_connect(database).unwrap()
    }

    fn try_connect(&self, database: &str) -> Result<Client, postgres::Error> {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}?connect_timeout=10", self.port);
        Client::connect(&url, NoTls)
    }
}

/// Whether a process has ended, though perhaps nobody has asked how.
fn is_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

/// A program of the installation whose server it is, also where only that one is linked to.
fn binary(name: &str) -> PathBuf {
    let here = server_binaries();
    let there = here.join("initdb").canonicalize().unwrap();
    let beside = [here.as_path(), there.parent().unwrap()].map(|dir| dir.join(name));
    beside.into_iter().find(|file| file.exists()).unwrap_or_else(|| PathBuf::from(name))
}

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

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

//! Processes beside the tests: under an account that may run them, and ended with the tests, however those end.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// PostgreSQL and PgBouncer refuse to run as root, so root lends them another account.
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    pub(super) fn that_may_run_a_cluster() -> Self {
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

    /// A new directory that this account owns. It goes with the process that is [kept](Keeper) in it.
    pub(super) fn directory(&self, prefix: &str) -> PathBuf {
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
            .keep();
        if let Some((uid, gid)) = self.0 {
            chown(&dir, Some(uid), Some(gid)).unwrap();
        }
        dir
    }

    pub(super) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env_remove("LC_ALL");
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, program: &Path, dir: &Path, arguments: &[&str]) {
        let output = self.command(program, dir).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed: {said}", program.display());
    }
}

/// A process whose output goes to `log` in its directory. It ends, and its directory goes, with its keeper.
pub(super) struct Keeper {
    /// Its stdin is open as long as the keeper, or the process of the tests, lives.
    shell: Child,
    dir: PathBuf,
}

const STOP_WITH_THE_TESTS: &str = r#"
trap '' HUP INT TERM
dir=$1; signal=$2; shift 2
start() { "$@" </dev/null >>"$dir/log" 2>&1 & pid=$!; }
start "$@"
while read -r again; do wait $pid; start "$@"; done
kill -"$signal" $pid; wait $pid; rm -rf "$dir"
"#;

impl Keeper {
    /// Starts the process, which a signal of this name ends.
    pub(super) fn start(
        account: &Account,
        dir: PathBuf,
        signal: &str,
        program: &Path,
        arguments: &[&str],
    ) -> Self {
        let shell = account
            .command(Path::new("sh"), &dir)
            .args(["-c", STOP_WITH_THE_TESTS, "sh"])
            .arg(&dir)
            .arg(signal)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self { shell: shell.unwrap(), dir }
    }

    /// Starts the process again, which has ended.
    pub(super) fn start_again(&self) {
        let mut stdin = self.shell.stdin.as_ref().unwrap();
        stdin.write_all(b"again\n").unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

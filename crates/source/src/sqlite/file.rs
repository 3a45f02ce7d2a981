//! The file behind a source's path: which one it is, and whether all who open it read the same one.

use super::error::unreadable;
use crate::SourceError;
use headcount_files::links::beside;
use headcount_model::database_url::percent_encoded;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for a writer that holds the whole file (rollback journal mode).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Linux shows what a process has open.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Device and inode: what a file is, under whatever name.
type Identity = (u64, u64);

/// The file that a path led to when somebody looked.
pub(super) struct SourceFile {
    /// Without symbolic links: one that is switched from now on leads nobody elsewhere.
    path: PathBuf,
    /// `None` where there was nothing.
    found: Option<Metadata>,
    /// Nobody writes it, says the configuration.
    is_immutable: bool,
}

impl SourceFile {
    /// Looks where a path leads.
    pub(super) fn at(path: &Path, is_immutable: bool) -> Self {
        // Of what is not there SQLite says so.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let found = fs::metadata(&path).ok();
        Self { path, found, is_immutable }
    }

    /// Opens it, to be read only. SQLite opens the write-ahead log at the first read, by its name.
    pub(super) fn open(&self) -> Result<Connection, SourceError> {
        let opened = if self.is_immutable && self.found.is_some() {
            self.refuse_what_is_left_out()?;
            open(immutable_uri(&self.path), OpenFlags::SQLITE_OPEN_URI)
        } else {
            open_read_only(&self.path)
        };
        opened.map_err(|error| unreadable(&error))
    }

    /// Whether the path leads to it still.
    pub(super) fn is_in_place(&self) -> bool {
        identity_at(&self.path) == self.identity()
    }

    /// Whether it, and the write-ahead log beside it, are what so many connections of this process have just opened under these
    /// names.
    pub(super) fn is_what_was_opened(&self, connections: usize) -> bool {
        let (log, path) = (beside(&self.path, "-wal"), &self.path);
        let (the_log, the_file) = (identity_at(&log), identity_at(path));
        if the_file != self.identity() {
            return false;
        }
        // Who replaces a file and puts it back at once is not seen by looking at names, but by what is open.
        let Ok(open) = fs::read_dir(DESCRIPTORS) else { return true };
        let mut count = 0;
        for descriptor in open.flatten() {
            let descriptor = descriptor.path();
            let found = identity_at(&descriptor);
            if found.is_some() && found == the_file {
                count += 1;
            } else if is_called(&descriptor, path) || (is_called(&descriptor, &log) && found != the_log) {
                return false;
            }
        }
        count >= connections
    }

    /// An error if a file of which it was said that nobody writes it was written since it was found.
    pub(super) fn assert_immutable(&self) -> Result<(), SourceError> {
        if !self.is_immutable {
            return Ok(());
        }
        self.refuse_what_is_left_out()?;
        let written = |of: &Metadata| (of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec());
        if fs::metadata(&self.path).ok().as_ref().map(written) == self.found.as_ref().map(written) {
            return Ok(());
        }
        let path = self.path.display();
        Err(SourceError::Failed(format!(
            "{path} was written while it was read, though source.immutable says that nobody writes it"
        )))
    }

    /// What is read as immutable is read without the log or the journal beside it.
    fn refuse_what_is_left_out(&self) -> Result<(), SourceError> {
        let log = beside(&self.path, "-wal");
        let problem = if fs::metadata(&log).is_ok_and(|log| log.is_file() && log.len() > 0) {
            let remedy =
                "'PRAGMA wal_checkpoint(TRUNCATE)' where the file can be written, and mount or copy it anew";
            format!("{}, which may hold users, would not be read; run {remedy}", log.display())
        } else if is_hot(&beside(&self.path, "-journal")) {
            let remedy = "open the file once where it can be written, and mount or copy it anew";
            format!("{} says that its last write was cut off; {remedy}", self.path.display())
        } else {
            return Ok(());
        };
        Err(SourceError::Unreachable(format!("source.immutable: {problem}")))
    }

    fn identity(&self) -> Option<Identity> {
        self.found.as_ref().map(identity)
    }
}

/// Opens a file that is never written.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::empty())
}

fn open(name: impl AsRef<Path>, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    // Without this a misspelt "column" in an expression would be the same text in every row.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    Ok(connection)
}

/// As SQLite wants to be told ("Uniform Resource Identifiers" of its manual).
fn immutable_uri(path: &Path) -> String {
    format!("file://{}?immutable=1", percent_encoded(path))
}

/// Whether a rollback journal is one that would be rolled back: its first byte is zero once it is done with.
fn is_hot(journal: &Path) -> bool {
    let mut first = [0];
    File::open(journal).is_ok_and(|mut journal| journal.read_exact(&mut first).is_ok()) && first != [0]
}

/// What an open descriptor was opened as, even if that name is another file's by now.
fn is_called(descriptor: &Path, path: &Path) -> bool {
    let Ok(name) = fs::read_link(descriptor) else { return false };
    let (name, path) = (name.as_os_str().as_bytes(), path.as_os_str().as_bytes());
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest == b" (deleted)")
}

fn identity_at(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().as_ref().map(identity)
}

fn identity(of: &Metadata) -> Identity {
    (of.dev(), of.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_can_be_told() {
        assert_eq!(immutable_uri(Path::new("/a b/ü?#%.db")), "file:///a%20b/%C3%BC%3F%23%25.db?immutable=1");
    }

    #[test]
    fn what_was_opened_elsewhere_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("a.db"), directory.path().join("b.db"));
        for path in [&path, &other] {
            let made = Connection::open(path).and_then(|made| made.execute_batch("CREATE TABLE users (id)"));
            made.expect("a database");
        }
        let file = SourceFile::at(&path, false);
        let mut opened = vec![file.open().expect("a file"), file.open().expect("a file")];
        assert!(file.is_what_was_opened(2));
        assert!(!file.is_what_was_opened(3), "one was opened elsewhere");
        // Put in its place, opened, and put back.
        let aside = directory.path().join("aside.db");
        let put = |from: &Path, to: &Path| fs::rename(from, to).expect("a file");
        put(&path, &aside);
        put(&other, &path);
        opened.push(open_read_only(&path).expect("a file"));
        assert!(!file.is_in_place() && !file.is_what_was_opened(2));
        put(&path, &other);
        put(&aside, &path);
        assert!(file.is_in_place() && !file.is_what_was_opened(3));
        // Replaced for good, and still read by somebody.
        fs::copy(&path, &aside).expect("a copy");
        put(&aside, &path);
        let anew = SourceFile::at(&path, false);
        opened.push(anew.open().expect("a file"));
        assert!(anew.is_in_place() && !anew.is_what_was_opened(1));
        opened.drain(..3);
        assert!(anew.is_what_was_opened(1));
    }
}

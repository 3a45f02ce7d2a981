//! A file that appears under its name only when it is complete.

use super::Destination;
use crate::stream::Summary;
use headcount_files::{links, owner};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// What files are called until they are complete.
const PREFIX: &str = ".headcount-";
const SUFFIX: &str = ".part";
/// How long such a file may be there and written to by nobody, without being taken for left: where locks are not seen, as on some
/// network file systems, only its age tells.
const UNLOCKED: Duration = Duration::from_secs(86_400);

/// Why there can be no file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{} is not a regular file, so it cannot be replaced; write to stdout instead", .0.display())]
    NotRegular(PathBuf),
    #[error("{} cannot be written: {why}", name.display())]
    Unwritable { name: PathBuf, why: String },
}

/// A file on this machine. It is written under a temporary name in its directory, which is locked as long as this process lives.
#[derive(Debug)]
pub struct LocalFile {
    file: NamedTempFile,
    /// As it was given.
    name: PathBuf,
    /// Where that leads.
    path: PathBuf,
}

impl LocalFile {
    /// A file that will replace what has this name, if anything has, with these permissions, or those that the system gives to a
    /// temporary file.
    ///
    /// # Errors
    ///
    /// The name is that of a directory or a device, or leads where somebody else points, or nothing can be written there.
    pub fn at(name: &Path, mode: Option<u32>) -> Result<Self, FileError> {
        if name.exists() && !name.is_file() {
            return Err(FileError::NotRegular(name.to_owned()));
        }
        let unwritable = |why: String| FileError::Unwritable { name: name.to_owned(), why };
        // To what a link of ours points at: the link should stay.
        let path = links::follow(name).map_err(|error| unwritable(error.to_string()))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        tokio::task::block_in_place(|| clear(directory));
        let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(directory);
        let file = file.map_err(|error| unwritable(why_unwritable(directory, &error)))?;
        // Where there are no locks nobody clears, either.
        let _ = file.as_file().try_lock();
        if let Some(mode) = mode {
            // Whatever the umask is.
            let permissions = Permissions::from_mode(mode);
            file.as_file().set_permissions(permissions).map_err(|error| unwritable(error.to_string()))?;
        }
        Ok(Self { file, name: name.to_owned(), path })
    }

    /// The name, as it was given.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Whether it would replace nothing, or as many bytes.
    pub fn is_as_large_as_before(&self) -> bool {
        let before = size(&self.path);
        before == 0 || before == size(self.file.path())
    }

    /// Whether it would replace nothing, or the same bytes. It reads both.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn is_as_before(&self) -> io::Result<bool> {
        if size(&self.path) == 0 {
            return Ok(true);
        }
        Ok(self.is_as_large_as_before() && std::fs::read(&self.path)? == std::fs::read(self.file.path())?)
    }
}

impl Destination for LocalFile {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A slow disk must hold up neither the runtime nor a signal.
        tokio::task::block_in_place(|| self.file.as_file_mut().write_all(bytes))
    }

    async fn commit(self, _: &Summary) -> io::Result<()> {
        tokio::task::block_in_place(|| {
            self.file.as_file().sync_all()?;
            self.file.persist(&self.path)?;
            Ok(())
        })
    }

    async fn abort(self, _: &str) {
        // Dropped, it is gone.
    }
}

/// Removes what exports have left in a directory that were killed. What cannot be removed is in nobody's way.
fn clear(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_part && entry.file_type().is_ok_and(|kind| kind.is_file()) && is_left(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether nobody writes a file any more.
fn is_left(path: &Path) -> bool {
    // Somebody may have put something else there since it was looked at.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(file) = opened else { return false };
    let Ok(metadata) = file.metadata() else { return false };
    let age = metadata.modified().map(|time| time.elapsed());
    metadata.is_file()
        && metadata.uid() == geteuid().as_raw()
        && matches!(age, Ok(Ok(age)) if age > UNLOCKED)
        && file.try_lock().is_ok()
}

/// In bytes; 0 of a file that is not there.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Why there can be no file in a directory; without the name that it would have had until it is complete.
fn why_unwritable(directory: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("there is no directory {}", directory.display()),
        ErrorKind::PermissionDenied => {
            let whose = owner::foreign(directory);
            whose.map_or_else(String::new, |of| {
                format!("{} belongs to {}, and this runs as {}; ", of.place.display(), of.owner, of.user)
            }) + "permission denied"
        }
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_export_left_is_cleared_and_what_others_write_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let age = |path: &Path| {
            let file = File::options().write(true).open(path).expect("a file");
            file.set_modified(long_ago).expect("a time");
        };
        for name in [".headcount-old.part", ".headcount-new.part", ".headcount-old", "old.part"] {
            std::fs::write(at(name), "id\r\n").expect("a file");
        }
        let running = LocalFile::at(&at("running.csv"), None).expect("a file");
        age(running.file.path());
        for name in [".headcount-old.part", ".headcount-old", "old.part"] {
            age(&at(name));
        }
        drop(LocalFile::at(&at("next.csv"), None).expect("a file"));
        let running = running.file.path().file_name().expect("a name").to_string_lossy().into_owned();
        let mut expected = vec![".headcount-new.part".to_owned(), ".headcount-old".to_owned(), running];
        expected.push("old.part".to_owned());
        expected.sort();
        assert_eq!(names(directory.path()), expected);
    }
}

//! A machine with other users: a symbolic link that somebody else has planted is not followed to a place where we write, and a
//! file or a directory that somebody else has planted is not taken for ours.

use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// What lies beside a database under such a name SQLite takes for a part of it.
const PARTS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Where a file of ours is, whose directory is made, for its owner only, where it is missing. The file need not be there.
///
/// # Errors
///
/// The directory cannot be made, or somebody else has planted it, the file, or what SQLite would take for a part of it.
pub fn own_file(path: &Path) -> std::io::Result<PathBuf> {
    let path = follow(path)?;
    if let Some(directory) = path.parent() {
        own_directory(directory)?;
    }
    for part in PARTS {
        refuse_planted(&beside(&path, part))?;
    }
    Ok(path)
}

/// `headcount.db` and `.lock` make `headcount.db.lock`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Where a directory of ours is, which is made, for its owner only, where it is missing.
///
/// # Errors
///
/// It cannot be made, or somebody else has planted it, or one in which it is.
pub fn own_directory(path: &Path) -> std::io::Result<PathBuf> {
    let path = follow(path)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    // Somebody else may have been quicker.
    let path = follow(&path)?;
    path.ancestors().try_for_each(refuse_planted)?;
    Ok(path)
}

/// Whose a place is, if that is neither this user nor root.
pub fn stranger(place: &Path) -> Option<u32> {
    place.metadata().ok().filter(|metadata| !is_trusted(metadata)).map(|metadata| metadata.uid())
}

/// Refuses what a stranger has put where everybody can put something. Elsewhere, whoever may put something there does that in
/// the name of its owner, or was let in by it.
fn refuse_planted(place: &Path) -> std::io::Result<()> {
    let Some((uid, directory)) = stranger(place).zip(place.parent()) else { return Ok(()) };
    let metadata = directory.metadata()?;
    if metadata.mode() & 0o002 == 0 || metadata.uid() == uid {
        return Ok(());
    }
    let problem = format!(
        "{} belongs to another user (uid {uid}), who may have planted it, because everybody can write in {}; name another place, \
         or make it your own with chown",
        place.display(),
        directory.display()
    );
    Err(Error::new(ErrorKind::PermissionDenied, problem))
}

/// Where a path leads that is to be written. Nothing of it need be there.
///
/// # Errors
///
/// A link on the way is not to be trusted. The last part may be a link of ours, or of root's; before it those are fine, too,
/// that stand in a directory in which only its owner can put any.
pub fn follow(path: &Path) -> std::io::Result<PathBuf> {
    let mut to_go = parts(&std::path::absolute(path)?);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = to_go.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        let metadata = match next.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // There is nothing to follow in what is not there.
                to_go.push(next.into());
                return Ok(to_go.iter().rev().collect());
            }
            Err(error) => return Err(error),
        };
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::other(format!("{} leads through too many symbolic links", path.display())));
        }
        if !is_trusted(&metadata) && (to_go.is_empty() || others_write_in(&at)?) {
            return Err(planted(&next, &metadata));
        }
        let target = next.read_link()?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        to_go.extend(parts(&target));
    }
    Ok(at)
}

/// The names in a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// Root may do as it likes in any case.
fn is_trusted(link: &Metadata) -> bool {
    [rustix::process::geteuid().as_raw(), 0].contains(&link.uid())
}

fn others_write_in(directory: &Path) -> std::io::Result<bool> {
    Ok(directory.metadata()?.mode() & 0o022 != 0)
}

fn planted(link: &Path, metadata: &Metadata) -> Error {
    let problem = format!(
        "{} is a symbolic link of another user (uid {}), which is not followed; name the file itself, or another one",
        link.display(),
        metadata.uid()
    );
    Error::new(ErrorKind::PermissionDenied, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn our_own_links_are_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().canonicalize().expect("a path");
        std::fs::create_dir(real.join("out")).expect("a directory");
        symlink("out", real.join("in")).expect("a link");
        symlink(real.join("out/far.csv"), real.join("out/near.csv")).expect("a link");
        symlink("loop.csv", real.join("loop.csv")).expect("a link");
        for (path, expected) in [
            ("out/new.csv", "out/new.csv"),
            ("in/new.csv", "out/new.csv"),
            ("in/near.csv", "out/far.csv"),
            ("in/../new.csv", "new.csv"),
            ("no/such/../place", "no/such/../place"),
        ] {
            assert_eq!(follow(&real.join(path)).expect(path), real.join(expected), "{path}");
        }
        assert!(follow(&real.join("loop.csv")).is_err());
    }
}

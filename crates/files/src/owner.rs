//! Users of the system: what they are called, and whose a place is.

use rustix::process::{geteuid, getuid};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the system calls a user; one that it does not know, by number.
fn name(uid: u32) -> String {
    uzers::get_user_by_uid(uid)
        .map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

/// Who runs this. Of whoever became another with `sudo`, both.
pub fn this_user() -> String {
    let user = name(getuid().as_raw());
    match std::env::var("SUDO_USER") {
        Ok(sudoer) if !sudoer.is_empty() => format!("{user} (sudo by {sudoer})"),
        _ => user,
    }
}

/// A place that belongs to somebody else.
pub struct Foreign {
    pub place: PathBuf,
    pub owner: String,
    /// Who this process acts as.
    pub user: String,
}

/// What of a path belongs to somebody else: the path itself, or the last directory of it that is there.
pub fn foreign(path: &Path) -> Option<Foreign> {
    let path = std::path::absolute(path).ok()?;
    let (place, metadata) =
        path.ancestors().find_map(|place| Some((place.to_owned(), place.metadata().ok()?)))?;
    let user = geteuid().as_raw();
    (metadata.uid() != user).then(|| Foreign { place, owner: name(metadata.uid()), user: name(user) })
}

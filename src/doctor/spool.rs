//! Whether what slow clients have not taken has a place to wait.

use super::Finding;
use crate::config::Config;
use std::io;
use std::path::Path;

/// Looks whether a spool could be made, and makes nothing that stays.
pub(super) fn examine(config: &Config) -> Option<Finding> {
    let directory = &config.data_dir;
    let error = (config.limits.spool_bytes > 0).then(|| try_out(directory))?.err()?;
    Some(Finding::warning(
        "spool",
        format!("no file can be made in {}: {error}", directory.display()),
        "what slow clients have not taken has nowhere to wait: they keep the source waiting, and may fail",
        "let this user write in data_dir, or accept it with limits.spool_bytes = 0",
    ))
}

/// Makes a file without a name there, or in the closest directory above in which that would be made.
fn try_out(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let there = directory.ancestors().find(|place| !matches!(place.try_exists(), Ok(false)));
    tempfile::tempfile_in(there.unwrap_or(&directory)).map(drop)
}

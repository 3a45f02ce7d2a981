//! Whether what slow clients have not taken has a place to wait.

use super::Finding;
use super::files::try_out;
use crate::config::Config;

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

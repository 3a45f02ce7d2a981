//! Files of ours: those that other users of this machine should not read, the certificate, and where slow clients wait.

use super::Finding;
use crate::config::{Config, TlsFiles};
use crate::tls::Tls;
use headcount_files::links;
use headcount_model::database_url::DatabaseUrl;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Looks at the configuration, where a password stands in it, and at the embedded users. Who is in the group of a configuration
/// is for its administrator to say: the service has to read it somehow.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let file =
        Some(&config.file).filter(|file| file.has_password && has_mode(&file.path, 0o007)).map(|file| {
            let file = file.path.display();
            Finding::warning(
                "config",
                format!("{file} holds a password, and other users of this machine can read it"),
                "whoever has the password gets into the database as Headcount does",
                format!("chmod o-rwx {file}"),
            )
        });
    let users =
        config.source.embedded.as_deref().and_then(|file| exposed("source", file, "it holds the users"));
    file.into_iter().chain(users).chain(stranger(config)).collect()
}

/// A warning of the first of our places that is somebody else's. Where everybody could have put it it is not used at all.
fn stranger(config: &Config) -> Option<Finding> {
    let store = match &config.store {
        DatabaseUrl::Sqlite(file) => Some(file.as_path()),
        DatabaseUrl::Postgres(_) => None,
    };
    let places = [Some(config.data_dir.as_path()), store, config.source.embedded.as_deref()];
    let (place, uid) =
        places.into_iter().flatten().find_map(|place| links::stranger(place).map(|uid| (place, uid)))?;
    let place = place.display();
    Some(Finding::warning(
        "owner",
        format!("{place} belongs to another user (uid {uid}), and not to the one that runs this"),
        "its owner can change all that is kept there, and may be shut out of files that others make there",
        format!(
            "run headcount as that user (sudo -u '#{uid}' headcount …), or give this one {place} with chown"
        ),
    ))
}

/// Looks whether a spool could be made, and makes nothing that stays.
pub(super) fn spool(config: &Config) -> Option<Finding> {
    let directory = &config.data_dir;
    let error = (config.limits.spool_bytes > 0).then(|| try_out(directory))?.err()?;
    Some(Finding::warning(
        "spool",
        format!("no file can be made in {}: {error}", directory.display()),
        "what slow clients have not taken has nowhere to wait: they keep the source waiting, and may fail",
        "let this user write in data_dir, or accept it with limits.spool_bytes = 0",
    ))
}

/// Looks at the certificate and its key.
pub(super) fn certificate(files: &TlsFiles) -> Finding {
    if let Err(error) = Tls::load(files.clone()) {
        let why = "the server would not start, or keep its old certificate at SIGHUP";
        return Finding::problem("tls", error.to_string(), why, "correct tls.cert or tls.key");
    }
    let key = files.key.display();
    if Tls::is_key_exposed(files) {
        return Finding::warning(
            "tls",
            format!("{key} can be read by other users of this machine"),
            "whoever has it can pretend to be this server",
            format!("chmod o-r {key}"),
        );
    }
    Finding::ok("tls", format!("the certificate in {} fits its key", files.cert.display()))
}

/// A warning of a file that is its owner's alone, if others may do anything with it.
pub(super) fn exposed(check: &'static str, file: &Path, why: &'static str) -> Option<Finding> {
    has_mode(file, 0o077).then(|| {
        let file = file.display();
        Finding::warning(
            check,
            format!("{file} can be read by other users of this machine"),
            why,
            format!("chmod 600 {file}"),
        )
    })
}

/// Makes a file without a name in a directory, or in the closest one above in which that would be made; nothing stays.
pub(super) fn try_out(directory: &Path) -> std::io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let there = directory.ancestors().find(|place| !matches!(place.try_exists(), Ok(false)));
    tempfile::tempfile_in(there.unwrap_or(&directory)).map(drop)
}

/// Whether a file is there and has any of these permissions.
fn has_mode(file: &Path, permissions: u32) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & permissions != 0)
}

//! `users import`

use super::open_embedded;
use super::terminal::tell;
use crate::config::Config;
use crate::import;
use anyhow::{Context, bail};
use clap::Subcommand;
use headcount_model::compression::Compression;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Load a CSV with the columns of a full export into the embedded users table, all of it or nothing
    Import {
        /// The file
        file: PathBuf,
        /// The file was made with sanitize=false: leave a ' in front of text as it is
        #[arg(long)]
        exact: bool,
    },
}

pub(super) fn run(config: &Config, command: &Command) -> anyhow::Result<()> {
    let Command::Import { file: path, exact } = command;
    let Some(embedded) = &config.source.embedded else {
        bail!(
            "users are imported into the embedded table, but source.url is set to {}, which is never written: import where no \
             configuration sets it, as in an empty directory",
            config.source.url
        );
    };
    let unreadable = || format!("{} cannot be read", path.display());
    let mut file = BufReader::new(File::open(path).with_context(unreadable)?);
    if let Some(remedy) = no_csv(file.fill_buf().with_context(unreadable)?) {
        bail!("{} is refused and nothing is loaded: {remedy}", path.display());
    }
    let mut users = open_embedded(config, embedded)?;
    let count = import::import(file, &mut users, *exact)
        .with_context(|| format!("{} is refused and nothing is loaded", path.display()))?;
    tell!("imported {count} users");
    Ok(())
}

/// What to do with a file that begins like something else than a CSV.
fn no_csv(start: &[u8]) -> Option<&'static str> {
    let is = |magic: &[u8]| start.starts_with(magic);
    match () {
        () if is(Compression::Gzip.magic()) => Some("it is a file of gzip: unpack it first (gunzip)"),
        () if is(Compression::Zstd.magic()) => Some("it is a file of zstd: unpack it first (unzstd)"),
        () if is(b"PAR1") => Some("it is a file of Parquet: import takes a CSV"),
        () if is(b"PK") => Some("it is a workbook or an archive: import takes a CSV"),
        () if is(b"{") || is(b"[") => Some("it is JSON: import takes a CSV"),
        () => None,
    }
}

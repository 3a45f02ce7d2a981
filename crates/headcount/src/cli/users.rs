//! `users import`

use super::open_embedded;
use super::terminal::tell;
use crate::config::Config;
use crate::import;
use anyhow::{Context, bail};
use clap::Subcommand;
use std::fs::File;
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
            "source.url is set to {}, which is never written; leave it out to use the embedded table",
            config.source.url
        );
    };
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut users = open_embedded(config, embedded)?;
    let count = import::import(file, &mut users, *exact)
        .with_context(|| format!("{} is refused and nothing is loaded", path.display()))?;
    tell!("imported {count} users");
    Ok(())
}

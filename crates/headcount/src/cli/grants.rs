//! `grants`: what the role in the URL needs, for somebody who may grant it.

use super::terminal::tell;
use super::{open_source, print};
use crate::config::Config;
use clap::Args;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::plan::Plan;
use headcount_model::text::visible;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The role that is to read the users
    #[arg(long, value_name = "NAME", default_value = "headcount")]
    role: String,
}

/// Prints a statement a line: for every column that is mapped, or named by an expression or a condition, of every table, and for
/// functions that not everybody may run.
pub(super) async fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    if matches!(config.source.url, DatabaseUrl::Sqlite(_)) {
        tell!(
            "the source is a SQLite file, which has no roles: run Headcount as a user who may read the file, and nothing else"
        );
        return Ok(());
    }
    let source = open_source(config)?;
    let grants = source.grants(&Plan::covering(&config.profiles), &arguments.role).await?;
    for it in &grants.read_as_caller {
        tell!(
            "the {} reads with the rights of {}: GRANT what it reads, too",
            visible(it),
            visible(&arguments.role)
        );
    }
    print(&grants.statements.iter().map(|statement| visible(statement) + ";\n").collect::<String>())
}

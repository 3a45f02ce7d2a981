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

/// Prints a statement a line: every column that is mapped, or named by an expression or a condition, of every table.
pub(super) async fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    if matches!(config.source.url, DatabaseUrl::Sqlite(_)) {
        tell!(
            "the source is a SQLite file, which has no roles: run Headcount as a user who may read the file, and nothing else"
        );
        return Ok(());
    }
    let source = open_source(config)?;
    let statements = source.grants(&Plan::covering(&config.profiles), &arguments.role).await?;
    print(&statements.iter().map(|statement| visible(statement) + ";\n").collect::<String>())
}

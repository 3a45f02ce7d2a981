//! `audit list`

use super::open_store;
use super::table::or_dash;
use crate::config::Config;
use crate::store::audit::{Outcome, Record};
use clap::Subcommand;
use std::io::{BufWriter, Write};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List who exported what, newest first
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
        /// At most so many records [default: all]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        limit: Option<i64>,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let Command::List { json, limit } = command;
    let store = open_store(config).await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    // One record at a time: an audit of years must not have to fit into memory.
    let mut separator = "[\n  ";
    store
        .for_each_record(limit, |record| -> anyhow::Result<()> {
            if json {
                write!(out, "{separator}{}", serde_json::to_string(&record)?)?;
                separator = ",\n  ";
            } else {
                writeln!(out, "{}", line(&record))?;
            }
            Ok(())
        })
        .await?;
    if json {
        writeln!(out, "{}", if separator.starts_with('[') { "[]" } else { "\n]" })?;
    }
    Ok(out.flush()?)
}

/// One line for people: when, how it ended, what, who, how much.
fn line(record: &Record) -> String {
    let outcome = record.outcome.map_or("running", Outcome::name);
    let reason = record.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!(
        "{}  {}  {outcome}{reason}  {}  key {}  from {}  {} rows  {} bytes  filters {}",
        record.time,
        record.id,
        record.endpoint,
        or_dash(record.key_name.as_deref()),
        record.client,
        record.rows,
        record.bytes,
        record.filters,
    )
}

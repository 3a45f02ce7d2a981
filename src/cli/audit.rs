//! `audit list`, `audit head`, `audit verify`

use super::table::or_dash;
use super::{existing_store, print};
use crate::config::Config;
use crate::plan::hashed;
use crate::store::Store;
use crate::store::audit::{AddressKey, Outcome, Record, Sought};
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
        /// Only the requests for this address, of which the audit holds no more than a hash
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Print the hash of the newest settled record, to be kept where nobody who can change the store can change it
    Head,
    /// Check that no settled record was changed, removed or put in
    Verify {
        /// A hash that 'audit head' printed once: also check that what was there then is there still
        #[arg(long, value_name = "HASH", value_parser = parse_hash)]
        head: Option<String>,
    },
}

/// 64 hexadecimal digits.
fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a hash has 64 hexadecimal digits".to_owned())
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = existing_store(config).await?;
    match command {
        Command::List { json, limit, email } => {
            let sought = match email {
                Some(email) => Some(sought(&store, &email).await?),
                None => None,
            };
            list(&store, json, limit, sought.as_ref()).await
        }
        Command::Head => print(&(store.audit_head().await? + "\n")),
        Command::Verify { head } => {
            let whole = store.verify_audit(head.as_deref()).await?;
            print(&format!("whole: {} records; the hash of the newest is {}\n", whole.records, whole.head))
        }
    }
}

/// An address as records hold it.
async fn sought(store: &Store, address: &str) -> anyhow::Result<Sought> {
    let key = store.known_pseudonym_key().await?.map(|pseudonyms| AddressKey::new(&pseudonyms));
    Ok(Sought::new(hashed(address), key.as_ref()))
}

async fn list(store: &Store, json: bool, limit: Option<i64>, sought: Option<&Sought>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut left = limit.unwrap_or(i64::MAX);
    // One record at a time: an audit of years must not have to fit into memory.
    let mut separator = "[\n  ";
    store
        .for_each_record(limit.filter(|_| sought.is_none()), |record| -> anyhow::Result<()> {
            if left == 0 || sought.is_some_and(|sought| !sought.is_in(&record)) {
                return Ok(());
            }
            left -= 1;
            if json {
                write!(out, "{separator}{}", crate::visible_json(&serde_json::to_string(&record)?))?;
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
    crate::visible(&format!(
        "{}  {}  {outcome}{reason}  {}  key {}  from {}  {} rows  {} bytes  filters {}",
        record.time,
        record.id,
        record.endpoint,
        or_dash(record.key_name.as_deref()),
        record.client,
        record.rows,
        record.bytes,
        record.filters,
    ))
}

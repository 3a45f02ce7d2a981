//! `audit list`, `audit head`, `audit verify`

mod list;

use super::{existing_store, print};
use crate::config::Config;
use clap::Subcommand;
use headcount_store::audit::Whole;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List who exported what, newest first
    List(list::Arguments),
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
        Command::List(arguments) => list::run(&store, arguments).await,
        Command::Head => print(&(store.audit_head().await? + "\n")),
        Command::Verify { head } => {
            let whole = store.verify_audit(head.as_deref()).await?;
            print(&told(&whole))
        }
    }
}

/// What an audit without a flaw is.
fn told(whole: &Whole) -> String {
    let Whole { records, denials, looks, running, kept, head } = whole;
    let mut text = format!(
        "whole: {records} settled {}, {denials} {} not chained; the hash of the newest is {head}\n",
        if *records == 1 { "record" } else { "records" },
        if *denials == 1 { "denial is" } else { "denials are" },
    );
    if *looks > 0 {
        text += &format!(
            "not chained either: {looks} without an export (HEAD, preflight, client left before it began)\n"
        );
    }
    if *running > 0 {
        text += &format!("not settled yet: {running}\n");
    }
    match kept {
        Some(0) => text += "the hash that was kept is that of an empty audit\n",
        Some(number) => text += &format!("the hash that was kept is record {number}, still there\n"),
        None => {}
    }
    text
}

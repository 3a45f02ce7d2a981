//! `flags list`, `flags enable`, `flags disable`

use super::terminal::{table, tell};
use super::{Usage, configured, existing_store, open_store, place_of_store, print, print_json};
use crate::config::Config;
use crate::service::flags;
use clap::Subcommand;
use headcount_model::timestamp::Timestamp;
use headcount_store::Waiting;
use headcount_store::flags::SetBy;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the flags and who set them
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Switch a flag on, on every instance within a second
    Enable {
        /// The flag, see 'flags list', or the name of its export
        #[arg(value_name = "FLAG|EXPORT")]
        name: String,
    },
    /// Switch a flag off, on every instance within a second; running exports end as usual
    Disable {
        /// The flag, see 'flags list', or the name of its export
        #[arg(value_name = "FLAG|EXPORT")]
        name: String,
    },
}

/// The flag that is meant.
fn flag_of(config: &Config, name: &str) -> Result<String, Usage> {
    flags::named(config, name).map_err(|problem| Usage(format!("{problem}{}", configured(config))))
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let (flag, enabled) = match command {
        Command::List { json } => {
            let flags = existing_store(config).await?.flags(&config.flags).await?;
            if json {
                return print_json(&flags);
            }
            let mut rows = vec![["NAME", "STATE", "SET BY"].map(str::to_owned).to_vec()];
            for flag in flags {
                let state = if flag.enabled { "on" } else { "off" };
                let set_by = if flag.set_by == SetBy::Config { "config" } else { "store" };
                rows.push([&flag.name, state, set_by].map(str::to_owned).to_vec());
            }
            return print(&table(&rows));
        }
        Command::Enable { name } => (flag_of(config, &name)?, true),
        Command::Disable { name } => (flag_of(config, &name)?, false),
    };
    flags::switch(&open_store(config, Waiting::Command).await?, &flag, enabled, Timestamp::now()).await?;
    tell!("{flag} is {} in {}", if enabled { "on" } else { "off" }, place_of_store(config));
    Ok(())
}

//! `flags list`, `flags enable`, `flags disable`

use super::table::table;
use super::terminal::tell;
use super::{Usage, configured, existing_store, open_store, place_of_store, print, print_json};
use crate::config::Config;
use crate::store::flags::SetBy;
use crate::timestamp::Timestamp;
use clap::Subcommand;

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

/// The flag that is called so, or that guards the export of this name.
fn flag_of(config: &Config, name: String) -> Result<String, Usage> {
    if config.flags.known.contains(&name) {
        return Ok(name);
    }
    if let Some(profile) = config.profile(&name) {
        return Ok(profile.permission.clone());
    }
    let known = config.flags.known.join(", ");
    Err(Usage(format!("there is no flag '{name}'; there are {known}{}", configured(config))))
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
        Command::Enable { name } => (flag_of(config, name)?, true),
        Command::Disable { name } => (flag_of(config, name)?, false),
    };
    open_store(config).await?.set_flag(&flag, enabled, Timestamp::now()).await?;
    tell!("{flag} is {} in {}", if enabled { "on" } else { "off" }, place_of_store(config));
    Ok(())
}

//! `flags list`, `flags enable`, `flags disable`

use super::table::table;
use super::terminal::tell;
use super::{Usage, existing_store, open_store, print, print_json};
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
        /// The flag, see 'flags list'
        name: String,
    },
    /// Switch a flag off, on every instance within a second; running exports end as usual
    Disable {
        /// The flag, see 'flags list'
        name: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    if let Command::Enable { name } | Command::Disable { name } = &command
        && !config.flags.known.contains(name)
    {
        let known = config.flags.known.join(", ");
        return Err(Usage(format!("there is no flag '{name}'; there are {known}")).into());
    }
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
        Command::Enable { name } => (name, true),
        Command::Disable { name } => (name, false),
    };
    open_store(config).await?.set_flag(&flag, enabled, Timestamp::now()).await?;
    tell!("{flag} is {}", if enabled { "on" } else { "off" });
    Ok(())
}

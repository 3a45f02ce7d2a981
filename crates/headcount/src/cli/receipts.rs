//! `receipts show`, `receipts public-key`

use super::{existing_store, print, receipt_key, terminal};
use crate::config::Config;
use crate::service::audit;
use anyhow::Context;
use clap::Subcommand;
use headcount_proof::receipt::{Receipt, StoredFile};
use headcount_store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the receipt of an export as JSON
    Show {
        /// Its id: the X-Export-Id of the download, or see 'audit list'
        id: String,
    },
    /// Print the key that receipts are verified with, in PEM; it is made if there was none
    PublicKey,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show { id } => {
            let store = existing_store(config).await?;
            // Byte for byte, as it was signed, unless somebody looks at it.
            let receipt = of_export(&store, &id, None).await?;
            print(&if terminal::is_shown() { headcount_model::text::visible_json(&receipt) } else { receipt })
        }
        Command::PublicKey => {
            let store = existing_store(config).await?;
            print(&receipt_key(&store).await?.public().to_pem())
        }
    }
}

/// The receipt of an export, as a line of JSON; of one that lies in a file also what lies there.
pub(super) async fn of_export(store: &Store, id: &str, stored: Option<StoredFile>) -> anyhow::Result<String> {
    let record = audit::find(store, id, |_| true).await?;
    let record = record
        .with_context(|| format!("there is no export '{}'; see: headcount audit list", id.escape_debug()))?;
    // Only now: where there is no key yet, one is made.
    let receipt = Receipt { stored, ..record.receipt() };
    Ok(receipt.issue(&receipt_key(store).await?)?)
}

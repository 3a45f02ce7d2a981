//! `keys create`, `keys list`, `keys revoke`, `keys rotate`

use super::terminal::{or_dash, table, tell};
use super::{existing_store, open_store, place_of_store, print, print_json, profile_named, told, write_out};
use crate::config::Config;
use crate::service::ServiceError;
use crate::service::keys::{self, Listed, NewKey, Rotated};
use anyhow::Context;
use clap::Subcommand;
use headcount_model::timestamp::Timestamp;
use headcount_store::Waiting;
use headcount_store::keys::{KeyKind, Secret};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it: the only time that it is shown
    Create {
        /// What to call it: who or what will use it
        name: String,
        /// What it is for: 'standard' may export minimal users, 'export' full ones too
        #[arg(long, value_name = "standard|export", value_parser = parse_kind, required_unless_present = "exports")]
        kind: Option<KeyKind>,
        /// In place of a kind: what it may export, and nothing else; may be given several times
        #[arg(long = "export", value_name = "minimal|full|NAME", conflicts_with = "kind")]
        exports: Vec<String>,
        /// A grant: one that the kind lacks is added; naming some that it has keeps only those
        #[arg(long = "grant", value_name = "G")]
        grants: Vec<String>,
        /// A grant that the kind has and this key should not
        #[arg(long = "without", value_name = "G")]
        without: Vec<String>,
        /// How many users it may export on a day (UTC), with all exports together [default: no limit]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        rows_per_day: Option<i64>,
        /// How long it is valid, as in 90d or 12h [default: until it is revoked]
        #[arg(long, value_name = "DURATION", value_parser = parse_lifetime)]
        expires: Option<Duration>,
    },
    /// List the keys; none of them can be shown again
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a key, on every instance within a second
    Revoke {
        /// Its id, see 'keys list', or its name, if no other has it
        #[arg(value_name = "ID|NAME")]
        key: String,
    },
    /// Make a new key like an old one, print it, and end the old one
    Rotate {
        /// Its id, see 'keys list', or its name, if no other has it
        #[arg(value_name = "ID|NAME")]
        key: String,
    },
}

/// Read here, because the command line's own way proposes similar values: one that opens more may be similar.
fn parse_kind(text: &str) -> Result<KeyKind, String> {
    let found = KeyKind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| {
        "expected 'standard' or 'export'; for one of the declared exports, use --export NAME".to_owned()
    })
}

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).ok().filter(|lifetime| !lifetime.is_zero());
    lifetime.ok_or_else(|| "expected a duration, as in 90d or 12h".to_owned())
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, kind, exports, grants, without, rows_per_day, expires } => {
            let of_export = |name: &String| profile_named(config, name).map(|profile| profile.grant.clone());
            let only = exports.iter().map(of_export).collect::<Result<Vec<_>, _>>()?;
            let grants = [only, grants].concat();
            let key = NewKey { name, kind, grants, without, rows_per_day, lifetime: expires };
            let key = key.checked(&config.profiles).map_err(told)?;
            let store = open_store(config, Waiting::Command).await?;
            let (key, secret) = key.create(&store, Timestamp::now()).await.map_err(told)?;
            let (id, name, grants) = (&key.id, &key.name, key.grants.join(", "));
            let store = place_of_store(config);
            tell!("made key {id} '{name}' with {grants} in {store}; it is not shown again");
            hand_out(&secret, id)
        }
        Command::List { json } => {
            let store = existing_store(config).await?;
            let now = Timestamp::now();
            let keys = keys::list(&store, now).await?;
            if json { print_json(&keys) } else { print(&listing(&keys, now)) }
        }
        Command::Revoke { key } => {
            let store = existing_store(config).await.with_context(|| format!("there is no key {key}"))?;
            let id = keys::revoke(&store, &key, Timestamp::now())
                .await
                .map_err(|error| missing_in(config, error))?;
            tell!("revoked {id}");
            Ok(())
        }
        Command::Rotate { key } => {
            let store = existing_store(config).await.with_context(|| format!("there is no key {key}"))?;
            let rotated = keys::rotate(&store, &key, Timestamp::now()).await;
            let rotated = rotated.map_err(|error| missing_in(config, error))?;
            let Rotated { old, key, secret } = rotated;
            tell!("made key {} '{}' and revoked {old}; it is not shown again", key.id, key.name);
            hand_out(&secret, &key.id)
        }
    }
}

/// What went wrong, with the store that was asked: one of another directory has other keys.
fn missing_in(config: &Config, error: ServiceError) -> anyhow::Error {
    match error {
        ServiceError::Missing(problem) => {
            anyhow::anyhow!("{problem}; the store is {}", place_of_store(config))
        }
        error => told(error),
    }
}

/// Writes a key to stdout, where somebody has to take it.
fn hand_out(secret: &Secret, id: &str) -> anyhow::Result<()> {
    write_out(&format!("{}\n", secret.reveal())).with_context(|| {
        format!("nobody has read the key: end it with 'headcount keys revoke {id}', and make another")
    })
}

fn listing(keys: &[Listed], now: Timestamp) -> String {
    let heading =
        ["ID", "NAME", "KIND", "GRANTS", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "ROWS TODAY"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for Listed { key, rows_per_day, rows_today } in keys {
        let budget = rows_today.zip(*rows_per_day).map(|(rows, limit)| format!("{rows} of {limit}"));
        rows.push(vec![
            key.id.clone(),
            key.name.clone(),
            key.kind.name().to_owned(),
            key.grants.join(","),
            key.created_at.to_string(),
            or_dash(
                key.expires_at.map(|expiry| {
                    if expiry > now { expiry.to_string() } else { format!("{expiry} (expired)") }
                }),
            ),
            or_dash(key.last_used_at),
            or_dash(key.revoked_at),
            or_dash(budget),
        ]);
    }
    table(&rows)
}

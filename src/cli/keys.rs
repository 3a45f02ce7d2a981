//! `keys create`, `keys list`, `keys revoke`, `keys rotate`

use super::table::{or_dash, table};
use super::terminal::tell;
use super::{Usage, existing_store, open_store, place_of_store, print, print_json, profile_named};
use crate::config::Config;
use crate::store::Store;
use crate::store::budgets::Day;
use crate::store::keys::{AUDIT_READ, ApiKey, EXPORT_FULL, KeyKind, Secret};
use crate::timestamp::Timestamp;
use anyhow::{Context, bail};
use clap::Subcommand;
use serde::Serialize;
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

const MAX_NAME_LENGTH: usize = 100;

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, kind, exports, grants, without, rows_per_day, expires } => {
            check_name(&name)?;
            let (kind, grants) = granted(config, kind, &exports, &grants, &without)?;
            let store = open_store(config).await?;
            let (key, secret) = new_key(&name, kind, grants, expires)?;
            // First its budget: a key must never be there without it.
            if let Some(rows_per_day) = rows_per_day {
                store.add_budget(&key.id, rows_per_day).await?;
            }
            store.add_key(&key, &secret).await?;
            let (id, grants) = (&key.id, key.grants.join(", "));
            let store = place_of_store(config);
            tell!("made key {id} '{name}' with {grants} in {store}; it is not shown again");
            print(&format!("{}\n", secret.reveal()))
        }
        Command::List { json } => list(&existing_store(config).await?, json).await,
        Command::Revoke { key } => {
            let store = open_store(config).await?;
            let id = id_of(&store, &key).await?;
            if !store.revoke_key(&id, Timestamp::now()).await? {
                bail!(no_such_key(&id));
            }
            tell!("revoked {id}");
            Ok(())
        }
        Command::Rotate { key } => {
            let store = open_store(config).await?;
            rotate(&store, &id_of(&store, &key).await?).await
        }
    }
}

/// The id of a key that was named by its id, or by a name that no other key has that could be meant.
async fn id_of(store: &Store, key: &str) -> anyhow::Result<String> {
    let keys = store.keys().await?;
    if keys.iter().any(|known| known.id == key) {
        return Ok(key.to_owned());
    }
    let is_meant = |known: &&ApiKey| known.name == key && known.revoked_at.is_none();
    let ids: Vec<_> = keys.iter().filter(is_meant).map(|known| known.id.as_str()).collect();
    match ids[..] {
        [id] => Ok(id.to_owned()),
        [] => bail!(no_such_key(key)),
        _ => bail!("{} keys are called '{key}'; name one by its id: {}", ids.len(), ids.join(", ")),
    }
}

/// The kind and the grants of a new key; each that is named must be one that some export needs, or that of the receipts.
fn granted(
    config: &Config,
    kind: Option<KeyKind>,
    exports: &[String],
    named: &[String],
    without: &[String],
) -> anyhow::Result<(KeyKind, Vec<String>)> {
    let of_export = |name: &String| profile_named(config, name).map(|profile| profile.permission.clone());
    let only = exports.iter().map(of_export).collect::<Result<Vec<_>, _>>()?;
    let exports = config.profiles.iter().map(|profile| profile.permission.as_str());
    let known: Vec<_> = exports.chain([AUDIT_READ]).collect();
    if let Some(unknown) = named.iter().chain(without).find(|grant| !known.contains(&grant.as_str())) {
        let problem = format!("there is no grant '{unknown}'; there are {}", known.join(", "));
        return Err(Usage(problem).into());
    }
    let mut grants = match kind {
        Some(kind) => kind.grants_with(named),
        None => [&only, named].concat(),
    };
    grants.sort();
    grants.dedup();
    grants.retain(|grant| !without.contains(grant));
    if grants.is_empty() {
        return Err(Usage("a key without any grant is of no use".to_owned()).into());
    }
    let is_full = grants.iter().any(|grant| grant == EXPORT_FULL);
    Ok((kind.unwrap_or(if is_full { KeyKind::Export } else { KeyKind::Standard }), grants))
}

/// A name stands in the audit and in logs, on one line.
fn check_name(name: &str) -> anyhow::Result<()> {
    let length = name.chars().count();
    if !(1..=MAX_NAME_LENGTH).contains(&length) || name.chars().any(char::is_control) || name.trim() != name {
        let problem = format!(
            "a key's name has 1 to {MAX_NAME_LENGTH} characters, no control characters and no spaces around it"
        );
        return Err(Usage(problem).into());
    }
    Ok(())
}

/// Makes and keeps a key.
pub(super) async fn create(
    store: &Store,
    name: &str,
    kind: KeyKind,
    grants: Vec<String>,
    expires: Option<Duration>,
) -> anyhow::Result<(ApiKey, Secret)> {
    let (key, secret) = new_key(name, kind, grants, expires)?;
    store.add_key(&key, &secret).await?;
    Ok((key, secret))
}

fn new_key(
    name: &str,
    kind: KeyKind,
    grants: Vec<String>,
    expires: Option<Duration>,
) -> anyhow::Result<(ApiKey, Secret)> {
    let created_at = Timestamp::now();
    let expires_at = expires.map(|lifetime| expiry(created_at, lifetime)).transpose()?;
    let secret = Secret::generate(kind, getrandom::fill)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let key = ApiKey {
        id: crate::fresh_id(created_at),
        name: name.to_owned(),
        kind,
        grants,
        created_at,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Ok((key, secret))
}

fn expiry(from: Timestamp, lifetime: Duration) -> anyhow::Result<Timestamp> {
    let micros =
        i64::try_from(lifetime.as_micros()).ok().and_then(|lifetime| from.micros().checked_add(lifetime));
    micros
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| Usage("--expires is too far away".to_owned()).into())
}

fn no_such_key(id: &str) -> String {
    format!("there is no such key, or it is revoked already: {id}; see: headcount keys list")
}

async fn rotate(store: &Store, id: &str) -> anyhow::Result<()> {
    let old = store.find_key(id).await?.with_context(|| no_such_key(id))?;
    let lifetime = old.expires_at.map(|expiry| {
        Duration::from_micros(expiry.micros().saturating_sub(old.created_at.micros()).max(0).unsigned_abs())
    });
    let (key, secret) = new_key(&old.name, old.kind, old.grants, lifetime)?;
    if !store.replace_key(id, &key, &secret, key.created_at).await? {
        bail!(no_such_key(id));
    }
    tell!("made key {} '{}' and revoked {id}; it is not shown again", key.id, key.name);
    print(&format!("{}\n", secret.reveal()))
}

/// A key as it is listed.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    key: ApiKey,
    /// `None`: no limit.
    rows_per_day: Option<i64>,
    /// `None`: not counted.
    rows_today: Option<i64>,
}

async fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let budgets = store.budgets(Day::of(Timestamp::now())).await?;
    let listed = |key: ApiKey| {
        let budget = budgets.get(&key.id);
        let rows_per_day = budget.map(|budget| budget.rows_per_day);
        Listed { key, rows_per_day, rows_today: budget.map(|budget| budget.rows_today) }
    };
    let keys: Vec<_> = store.keys().await?.into_iter().map(listed).collect();
    if json { print_json(&keys) } else { print(&listing(&keys, Timestamp::now())) }
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

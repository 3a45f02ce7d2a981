//! What Headcount keeps for itself: flags that are on, keys that will do tomorrow, files that nobody else reads.

use super::Finding;
use super::files::exposed;
use crate::config::Config;
use crate::database_url::DatabaseUrl;
use crate::store::Store;
use crate::store::keys::ApiKey;
use crate::timestamp::Timestamp;

/// How long before its end a key is worth a warning, in microseconds: two weeks.
const SOON: i64 = 14 * 86_400 * 1_000_000;

const UNREADABLE: &str = "without its store nothing is exported";

/// Looks at the store.
pub(super) async fn examine(config: &Config, store: &Store, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("store", "answers and is up to date")];
    findings.extend(file_mode(&config.store));
    findings.push(flags(config, store).await);
    findings.extend(keys(config, store, now).await);
    findings
}

fn file_mode(url: &DatabaseUrl) -> Option<Finding> {
    let DatabaseUrl::Sqlite(path) = url else { return None };
    exposed("store", path, "it holds the audit, and the key of the pseudonyms")
}

async fn flags(config: &Config, store: &Store) -> Finding {
    let flags = match store.flags(&config.flags).await {
        Ok(flags) => flags,
        Err(error) => return Finding::problem("flags", error.to_string(), UNREADABLE, "see the cause"),
    };
    let on: Vec<_> = flags.iter().filter(|flag| flag.enabled).map(|flag| flag.name.as_str()).collect();
    if on.is_empty() {
        let remedy = "headcount flags enable users:export";
        return Finding::warning("flags", "all off", "every endpoint answers 403", remedy);
    }
    Finding::ok("flags", format!("on: {}", on.join(", ")))
}

async fn keys(config: &Config, store: &Store, now: Timestamp) -> Vec<Finding> {
    let keys = match store.keys().await {
        Ok(keys) => keys,
        Err(error) => return vec![Finding::problem("keys", error.to_string(), UNREADABLE, "see the cause")],
    };
    let is_valid =
        |key: &&ApiKey| key.revoked_at.is_none() && key.expires_at.is_none_or(|expiry| expiry > now);
    let valid: Vec<_> = keys.iter().filter(is_valid).collect();
    let fixed = [config.static_keys.standard, config.static_keys.export].iter().flatten().count();
    if valid.is_empty() && fixed == 0 {
        let remedy = "headcount keys create NAME --kind standard";
        return vec![Finding::warning("keys", "none is valid", "nobody can export over HTTP", remedy)];
    }
    let mut findings = vec![Finding::ok(
        "keys",
        format!("{} valid in the store, {fixed} from the environment", valid.len()),
    )];
    for key in valid {
        if let Some(expiry) = key.expires_at.filter(|expiry| expiry.micros() - now.micros() < SOON) {
            findings.push(Finding::warning(
                "keys",
                format!("key {} '{}' expires at {expiry}", key.id, key.name),
                "whoever uses it will be refused from then on",
                format!("headcount keys rotate {}", key.id),
            ));
        }
    }
    findings
}

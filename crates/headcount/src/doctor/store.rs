//! What Headcount keeps for itself: flags that are on, keys that will do tomorrow, files that nobody else reads.

use super::Finding;
use super::files::{exposed, try_out};
use crate::config::Config;
use headcount_files::links;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::timestamp::Timestamp;
use headcount_store::Store;
use headcount_store::keys::ApiKey;
use std::path::Path;

/// How long before its end a key is worth a warning, in microseconds: two weeks.
const SOON: i64 = 14 * 86_400 * 1_000_000;

const UNREADABLE: &str = "without its store nothing is exported";

/// Looks at the store, if there is one yet.
pub(super) async fn examine(config: &Config, store: Option<&Store>, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![match store {
        Some(_) => Finding::ok("store", "answers and is up to date"),
        None => missing(&config.store).await,
    }];
    findings.extend(locks(&config.store));
    findings.extend(file_mode(&config.store));
    findings.push(flags(config, store).await);
    findings.extend(keys(config, store, now).await);
    findings
}

/// Whether a store that is not there yet could be made.
async fn missing(url: &DatabaseUrl) -> Finding {
    if let DatabaseUrl::Sqlite(path) = url
        && let Err(error) = try_out(path.parent().unwrap_or(Path::new("")))
    {
        let finding = format!("{} is not there, and cannot be made: {error}", path.display());
        return Finding::problem(
            "store",
            finding,
            UNREADABLE,
            "correct store.url or data_dir, or let this user write there",
        );
    }
    let obstacle = Store::obstacle(url).await.unwrap_or_else(|error| Some(error.to_string()));
    if let Some(obstacle) = obstacle {
        let finding = format!("{url} is not there, and cannot be made: {obstacle}");
        return Finding::problem("store", finding, UNREADABLE, "see the cause, or correct store.url");
    }
    Finding::ok("store", "is not there yet: the first key, export or 'headcount serve' makes it")
}

/// Whether a process can show there that it lives, without which it neither exports nor serves.
fn locks(url: &DatabaseUrl) -> Option<Finding> {
    let DatabaseUrl::Sqlite(path) = url else { return None };
    let directory = links::beside(path, ".instances");
    let error = directory.exists().then(|| try_out(&directory))?.err()?;
    Some(Finding::problem(
        "store",
        format!("no file can be made in {}: {error}", directory.display()),
        UNREADABLE,
        format!("give it to the user who runs this, as root: chown -R USER {}", directory.display()),
    ))
}

fn file_mode(url: &DatabaseUrl) -> Option<Finding> {
    let DatabaseUrl::Sqlite(path) = url else { return None };
    exposed("store", path, "it holds the audit, and the key of the pseudonyms")
}

async fn flags(config: &Config, store: Option<&Store>) -> Finding {
    let on: Vec<String> = match store {
        None => config.flags.features.clone(),
        Some(store) => match store.flags(&config.flags).await {
            Ok(flags) => flags.into_iter().filter(|flag| flag.enabled).map(|flag| flag.name).collect(),
            Err(error) => return Finding::problem("flags", error.to_string(), UNREADABLE, "see the cause"),
        },
    };
    if on.is_empty() {
        let remedy = "headcount flags enable users:export";
        return Finding::warning("flags", "all off", "every endpoint answers 403", remedy);
    }
    Finding::ok("flags", format!("on: {}", on.join(", ")))
}

async fn keys(config: &Config, store: Option<&Store>, now: Timestamp) -> Vec<Finding> {
    let keys = match store {
        None => Ok(Vec::new()),
        Some(store) => store.keys().await,
    };
    let keys = match keys {
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

//! API keys: made, listed, ended, replaced.

use super::ServiceError;
use headcount_model::plan::Profile;
use headcount_model::text::fresh_id;
use headcount_model::timestamp::Timestamp;
use headcount_store::Store;
use headcount_store::budgets::Day;
use headcount_store::keys::{AUDIT_READ, ApiKey, EXPORT_FULL, KeyKind, Secret};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

const MAX_NAME_LENGTH: usize = 100;

/// A key that is wanted.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Who or what will use it.
    pub name: String,
    /// Its prefix, and what it may do unless `grants` say otherwise; `None`: `grants` are all that it may.
    pub kind: Option<KeyKind>,
    /// Grants beside those of the kind; naming some that the kind has keeps only those.
    pub grants: Vec<String>,
    /// Grants that the kind has and this key should not.
    pub without: Vec<String>,
    /// How many users it may export on a day (UTC).
    pub rows_per_day: Option<i64>,
    /// How long it is valid.
    pub lifetime: Option<Duration>,
}

/// A key that can be made.
pub struct CheckedKey {
    name: String,
    kind: KeyKind,
    grants: Vec<String>,
    rows_per_day: Option<i64>,
    lifetime: Option<Duration>,
}

impl NewKey {
    /// Looks whether there can be such a key where these exports are declared.
    ///
    /// # Errors
    ///
    /// The name does not fit on a line, a grant is one that nothing needs, or there is none at all.
    pub fn checked(self, profiles: &[Arc<Profile>]) -> Result<CheckedKey, ServiceError> {
        check_name(&self.name)?;
        let exports = profiles.iter().map(|profile| profile.grant.as_str());
        let known: Vec<_> = exports.chain([AUDIT_READ]).collect();
        let unknown = self.grants.iter().chain(&self.without).find(|grant| !known.contains(&grant.as_str()));
        if let Some(unknown) = unknown {
            let problem = format!("there is no grant '{unknown}'; there are {}", known.join(", "));
            return Err(ServiceError::Invalid(problem));
        }
        let mut grants = match self.kind {
            Some(kind) => kind.grants_with(&self.grants),
            None => self.grants,
        };
        grants.sort();
        grants.dedup();
        grants.retain(|grant| !self.without.contains(grant));
        if grants.is_empty() {
            return Err(ServiceError::Invalid("a key without any grant is of no use".to_owned()));
        }
        let is_full = grants.iter().any(|grant| grant == EXPORT_FULL);
        let kind = self.kind.unwrap_or(if is_full { KeyKind::Export } else { KeyKind::Standard });
        let Self { name, rows_per_day, lifetime, .. } = self;
        Ok(CheckedKey { name, kind, grants, rows_per_day, lifetime })
    }
}

impl CheckedKey {
    /// Makes the key and keeps it. The secret is never to be had again.
    ///
    /// # Errors
    ///
    /// It would be valid for longer than times go, or the store or the system fails.
    pub async fn create(self, store: &Store, now: Timestamp) -> Result<(ApiKey, Secret), ServiceError> {
        let (key, secret) = generate(self.name, self.kind, self.grants, self.lifetime, now)?;
        // First its budget: a key must never be there without it.
        if let Some(rows_per_day) = self.rows_per_day {
            store.add_budget(&key.id, rows_per_day).await?;
        }
        store.add_key(&key, &secret).await?;
        Ok((key, secret))
    }
}

/// A name stands in the audit and in logs, on one line.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let length = name.chars().count();
    if !(1..=MAX_NAME_LENGTH).contains(&length) || name.chars().any(char::is_control) || name.trim() != name {
        return Err(ServiceError::Invalid(format!(
            "a key's name has 1 to {MAX_NAME_LENGTH} characters, no control characters and no spaces around it"
        )));
    }
    Ok(())
}

fn generate(
    name: String,
    kind: KeyKind,
    grants: Vec<String>,
    lifetime: Option<Duration>,
    now: Timestamp,
) -> Result<(ApiKey, Secret), ServiceError> {
    let expires_at = lifetime.map(|lifetime| expiry(now, lifetime)).transpose()?;
    let secret = Secret::generate(kind, getrandom::fill).map_err(ServiceError::NoRandom)?;
    let id = fresh_id(now);
    let key =
        ApiKey { id, name, kind, grants, created_at: now, expires_at, last_used_at: None, revoked_at: None };
    Ok((key, secret))
}

fn expiry(from: Timestamp, lifetime: Duration) -> Result<Timestamp, ServiceError> {
    let micros =
        i64::try_from(lifetime.as_micros()).ok().and_then(|lifetime| from.micros().checked_add(lifetime));
    micros
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| ServiceError::Invalid("the expiry is too far away".to_owned()))
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub key: ApiKey,
    /// `None`: no limit.
    pub rows_per_day: Option<i64>,
    /// `None`: not counted.
    pub rows_today: Option<i64>,
}

/// All keys, with what is left of their budgets today.
///
/// # Errors
///
/// The store cannot be reached.
pub async fn list(store: &Store, now: Timestamp) -> Result<Vec<Listed>, ServiceError> {
    let budgets = store.budgets(Day::of(now)).await?;
    let listed = |key: ApiKey| {
        let budget = budgets.get(&key.id);
        let rows_per_day = budget.map(|budget| budget.rows_per_day);
        Listed { key, rows_per_day, rows_today: budget.map(|budget| budget.rows_today) }
    };
    Ok(store.keys().await?.into_iter().map(listed).collect())
}

/// Ends a key, which is named by its id or by a name that is only its own; returns the id.
///
/// # Errors
///
/// There is no such key, or several are called so; or the store cannot be reached.
pub async fn revoke(store: &Store, named: &str, now: Timestamp) -> Result<String, ServiceError> {
    let id = id_of(store, named).await?;
    match store.revoke_key(&id, now).await? {
        true => Ok(id),
        false => Err(no_such_key(&id)),
    }
}

/// A key in the place of another.
pub struct Rotated {
    /// The id of the key that it replaces.
    pub old: String,
    pub key: ApiKey,
    pub secret: Secret,
}

/// Makes a key like another, which is valid as long from now on, draws on its budget, and ends that, all or nothing.
///
/// # Errors
///
/// As for [`revoke`].
pub async fn rotate(store: &Store, named: &str, now: Timestamp) -> Result<Rotated, ServiceError> {
    let id = id_of(store, named).await?;
    let old = store.find_key(&id).await?.ok_or_else(|| no_such_key(&id))?;
    let lifetime = old.expires_at.map(|expiry| {
        Duration::from_micros(expiry.micros().saturating_sub(old.created_at.micros()).max(0).unsigned_abs())
    });
    let (key, secret) = generate(old.name, old.kind, old.grants, lifetime, now)?;
    if !store.replace_key(&id, &key, &secret, key.created_at).await? {
        return Err(no_such_key(&id));
    }
    Ok(Rotated { old: id, key, secret })
}

/// The id of a key that was named by its id, or by a name that no other key has that could be meant.
async fn id_of(store: &Store, named: &str) -> Result<String, ServiceError> {
    let keys = store.keys().await?;
    if keys.iter().any(|known| known.id == named) {
        return Ok(named.to_owned());
    }
    let is_meant = |known: &&ApiKey| known.name == named && known.revoked_at.is_none();
    let ids: Vec<_> = keys.iter().filter(is_meant).map(|known| known.id.as_str()).collect();
    match ids[..] {
        [id] => Ok(id.to_owned()),
        [] => Err(no_such_key(named)),
        _ => Err(ServiceError::Missing(format!(
            "{} keys are called '{named}'; name one by its id: {}",
            ids.len(),
            ids.join(", ")
        ))),
    }
}

fn no_such_key(named: &str) -> ServiceError {
    let problem =
        format!("there is no such key, or it is revoked already: {named}; see: headcount keys list");
    ServiceError::Missing(problem)
}

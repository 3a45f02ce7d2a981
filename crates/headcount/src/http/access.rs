//! Who may, and what is switched on: the key of a request, what it grants, and the flags.

use super::App;
use super::client::counted_as;
use super::error::{ApiError, KeyProblem};
use axum::http::{HeaderMap, header};
use headcount_model::plan::{Column, Profile};
use headcount_model::timestamp::Timestamp;
use headcount_store::keys::{self, ApiKey, KeyKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Hexadecimal digits that tell one value of a key in the environment from another.
const STATIC_KEY_DIGITS: usize = 16;

/// Somebody with a key that is valid now.
pub(super) struct Caller {
    pub(super) key_id: String,
    /// Whether the key is in the store, where there may be a budget for it.
    pub(super) is_stored: bool,
    grants: Vec<String>,
}

/// Whose key it is, valid or not.
pub(super) struct Holder {
    pub(super) key_id: String,
    pub(super) key_name: String,
}

impl Caller {
    /// Lets the caller pass if the key has the grant.
    pub(super) fn require(&self, grant: &str) -> Result<(), ApiError> {
        if self.grants.iter().any(|held| held == grant) {
            Ok(())
        } else {
            Err(ApiError::MissingGrant(grant.to_owned()))
        }
    }

    /// Lets the caller ask an export about a column that it shows as it is, or that another does of the same users for which the key
    /// has the grant. Answers about any other would tell what is not shown: who is an administrator, or, asked often enough, a time
    /// to the microsecond. Whether the flag of that other export is on is not asked: it switches an endpoint, not what a key may know.
    pub(super) fn require_sight(
        &self,
        column: &Column,
        profile: &Profile,
        all: &[Arc<Profile>],
    ) -> Result<(), ApiError> {
        if profile.answers_about(column) {
            return Ok(());
        }
        // One with a condition of its own may leave out users whom this one has.
        let has_all = |other: &Profile| other.condition.is_none() || other.condition == profile.condition;
        let is_showing = |other: &&Arc<Profile>| other.shows(column) && has_all(other);
        let showing = || all.iter().filter(is_showing).map(|other| &other.grant);
        if showing().any(|grant| self.grants.contains(grant)) {
            return Ok(());
        }
        Err(ApiError::HiddenColumn { column: column.name().to_owned(), grants: showing().cloned().collect() })
    }
}

/// Whether a flag is on, or was half a second ago.
pub(super) async fn is_enabled(app: &App, flag: &str) -> Result<bool, ApiError> {
    let flags = || async { Ok::<_, ApiError>(Arc::new(app.store.flags(&app.config.flags).await?)) };
    let flags = app.recent_flags.get((), Instant::now(), flags).await?;
    Ok(flags.iter().any(|state| state.name == flag && state.enabled))
}

/// Finds out whose key a request carries, and notes the holder as soon as it is known.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    client: IpAddr,
    holder: &mut Option<Holder>,
) -> Result<Caller, ApiError> {
    let (now, address) = (Instant::now(), counted_as(client));
    let caller = match identify(app, presented(headers)?, holder).await {
        Ok(caller) => caller,
        Err(error) => return Err(count_failure(app, address, now, error)),
    };
    if let Some(limit) = app.config.limits.requests_per_minute
        && app.key_uses.count(caller.key_id.clone(), now) > limit
    {
        return Err(ApiError::TooManyRequests(app.key_uses.seconds_left(now)));
    }
    Ok(caller)
}

/// Counts a key that is not good, and only that: whoever shares the address and has a good one does not suffer, and whoever has
/// one cannot guess others for longer. From a blocked address what could not be a key changes nothing any more.
fn count_failure(app: &App, address: IpAddr, now: Instant, error: ApiError) -> ApiError {
    let ApiError::InvalidKey(problem) = error else { return error };
    if problem != KeyProblem::Malformed || app.failed_keys.wait(&address, now).is_none() {
        app.failed_keys.failed(address, now);
    }
    app.failed_keys.wait(&address, now).map_or(error, ApiError::TooManyFailedKeys)
}

/// The key in `Authorization: Bearer` (RFC 6750 section 2.1) or `X-API-Key`; if both are there they must be equal.
fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    let bearer = single(headers, header::AUTHORIZATION.as_str())?.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim_matches(' '))
    });
    let key = match (bearer, single(headers, "x-api-key")?) {
        (Some(bearer), Some(key)) if !is_equal(&keys::hash(bearer), &keys::hash(key)) => {
            return Err(ApiError::InvalidKey(KeyProblem::Malformed));
        }
        (bearer, key) => bearer.or(key),
    };
    key.filter(|key| !key.is_empty()).ok_or(ApiError::InvalidKey(KeyProblem::Missing))
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let malformed = ApiError::InvalidKey(KeyProblem::Malformed);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // Static keys may be any text, so this reads more than the visible ASCII of `HeaderValue::to_str`.
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| malformed),
        (Some(_), Some(_)) => Err(malformed),
    }
}

async fn identify(app: &App, key: &str, holder: &mut Option<Holder>) -> Result<Caller, ApiError> {
    let hash = keys::hash(key);
    let static_keys = &app.config.static_keys;
    for (kind, variable, known) in [
        (KeyKind::Standard, "HEADCOUNT_API_KEY", &static_keys.standard),
        (KeyKind::Export, "HEADCOUNT_EXPORT_API_KEY", &static_keys.export),
    ] {
        if known.as_ref().is_some_and(|known| is_equal(known, &hash)) {
            let key_id = static_key_id(app, kind, &hash);
            *holder = Some(Holder { key_id: key_id.clone(), key_name: variable.to_owned() });
            return Ok(Caller { key_id, is_stored: false, grants: kind.usual_grants() });
        }
    }
    if !keys::is_well_formed(key) {
        return Err(ApiError::InvalidKey(KeyProblem::Malformed));
    }
    let key = app.recent_keys.get(hash, Instant::now(), || look_up(app, &hash)).await?;
    *holder = Some(Holder { key_id: key.id.clone(), key_name: key.name.clone() });
    check(&key, Timestamp::now())?;
    Ok(Caller { key_id: key.id.clone(), is_stored: true, grants: key.grants.clone() })
}

/// What a key of the environment is called: whoever has its value has its receipts, and nobody who had an earlier one. Keyed,
/// because it may be a phrase that can be guessed.
fn static_key_id(app: &App, kind: KeyKind, hash: &[u8; 32]) -> String {
    format!("env:{}:{}", kind.name(), &app.static_keys.mac(hash)[..STATIC_KEY_DIGITS])
}

/// Asks the store for a key, and notes there that it is used.
async fn look_up(app: &App, hash: &[u8; 32]) -> Result<Arc<ApiKey>, ApiError> {
    let key = app.store.find_key_by_hash(hash).await?.ok_or(ApiError::InvalidKey(KeyProblem::Unknown))?;
    let now = Timestamp::now();
    if check(&key, now).is_ok() {
        app.store.mark_key_used(&key, now).await?;
    }
    Ok(Arc::new(key))
}

fn check(key: &ApiKey, now: Timestamp) -> Result<(), ApiError> {
    if key.revoked_at.is_some() {
        return Err(ApiError::InvalidKey(KeyProblem::Revoked));
    }
    if key.expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(ApiError::InvalidKey(KeyProblem::Expired));
    }
    Ok(())
}

fn is_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

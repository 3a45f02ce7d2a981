//! Who may: the key of a request, and what it grants.

use super::App;
use super::client::counted_as;
use super::error::{ApiError, KeyProblem};
use crate::store::audit;
use crate::store::keys::{self, KeyKind};
use crate::timestamp::Timestamp;
use axum::http::{HeaderMap, header};
use std::net::IpAddr;
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Somebody with a key that is valid now.
pub(super) struct Caller {
    grants: Vec<String>,
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
}

/// Finds out whose key a request carries, and notes it in the record as soon as it is known.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    client: IpAddr,
    record: &mut audit::Request,
) -> Result<Caller, ApiError> {
    let key = presented(headers)?;
    let (now, address) = (Instant::now(), counted_as(client));
    // From a blocked address only keys that cannot be guessed are looked at: others must not be tried there, and
    // whoever shares the address and has a real key should not suffer.
    if let Some(seconds) = app.failed_keys.wait(&address, now)
        && !keys::is_well_formed(key)
    {
        return Err(ApiError::TooManyFailedKeys(seconds));
    }
    let found = identify(app, key, record).await;
    if let Err(ApiError::InvalidKey(_)) = found {
        app.failed_keys.failed(address, now);
        if let Some(seconds) = app.failed_keys.wait(&address, now) {
            return Err(ApiError::TooManyFailedKeys(seconds));
        }
    }
    let caller = found?;
    app.failed_keys.succeeded(&address);
    if let (Some(limit), Some(key_id)) = (app.config.limits.requests_per_minute, &record.key_id)
        && app.key_uses.count(key_id.clone(), now) > limit
    {
        return Err(ApiError::TooManyRequests(app.key_uses.seconds_left(now)));
    }
    Ok(caller)
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

async fn identify(app: &App, key: &str, record: &mut audit::Request) -> Result<Caller, ApiError> {
    let hash = keys::hash(key);
    let static_keys = &app.config.static_keys;
    for (kind, variable, known) in [
        (KeyKind::Standard, "HEADCOUNT_API_KEY", &static_keys.standard),
        (KeyKind::Export, "HEADCOUNT_EXPORT_API_KEY", &static_keys.export),
    ] {
        if known.as_ref().is_some_and(|known| is_equal(known, &hash)) {
            record.key_id = Some(format!("env:{}", kind.name()));
            record.key_name = Some(variable.to_owned());
            return Ok(Caller { grants: kind.usual_grants() });
        }
    }
    if !keys::is_well_formed(key) {
        return Err(ApiError::InvalidKey(KeyProblem::Malformed));
    }
    let key = app.store.find_key_by_hash(&hash).await?.ok_or(ApiError::InvalidKey(KeyProblem::Unknown))?;
    record.key_id = Some(key.id.clone());
    record.key_name = Some(key.name.clone());
    let now = Timestamp::now();
    if key.revoked_at.is_some() {
        return Err(ApiError::InvalidKey(KeyProblem::Revoked));
    }
    if key.expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(ApiError::InvalidKey(KeyProblem::Expired));
    }
    app.store.mark_key_used(&key, now).await?;
    Ok(Caller { grants: key.grants })
}

fn is_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

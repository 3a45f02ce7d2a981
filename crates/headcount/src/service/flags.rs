//! Feature flags: found by name, and switched.

use super::ServiceError;
use crate::config::Config;
use headcount_model::timestamp::Timestamp;
use headcount_store::Store;

/// The flag that is called so, or that guards the export of this name.
///
/// # Errors
///
/// No flag and no export is called so.
pub fn named(config: &Config, name: &str) -> Result<String, ServiceError> {
    if config.flags.known.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    if let Some(profile) = config.profile(name) {
        return Ok(profile.flag().to_owned());
    }
    let known = config.flags.known.join(", ");
    Err(ServiceError::Invalid(format!("there is no flag '{name}'; there are {known}")))
}

/// Switches a flag, whatever the configuration says, on every instance within a second.
///
/// # Errors
///
/// The store cannot be reached.
pub async fn switch(store: &Store, flag: &str, is_on: bool, now: Timestamp) -> Result<(), ServiceError> {
    Ok(store.set_flag(flag, is_on, now).await?)
}

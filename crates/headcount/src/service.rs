//! What is done with keys, flags and the audit, whoever asks for it: the command line, the API. Nothing here prints, and
//! nothing knows of HTTP; exports are done by [`headcount_export::Exporter`] in the same way.

pub mod audit;
pub mod flags;
pub mod keys;

use headcount_store::StoreError;

/// Why something is not done. Its text says what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It was asked for in a way that cannot be meant.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or no longer.
    #[error("{0}")]
    Missing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gives no random bytes: {0}")]
    NoRandom(getrandom::Error),
}

/// Bytes that nobody can guess.
///
/// # Errors
///
/// The system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], ServiceError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ServiceError::NoRandom)?;
    Ok(bytes)
}

//! Keys that the deployment makes once, for itself, and that all its instances share.

use super::{Store, StoreError};
use crate::encode::mask::PseudonymKey;
use sqlx::Row;

const PSEUDONYMS: &str = "pseudonyms";

impl Store {
    /// The key of this deployment's pseudonyms: `fresh`, which must be random, if there was none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or holds something else under that name.
    pub async fn pseudonym_key(&self, fresh: &[u8; 32]) -> Result<PseudonymKey, StoreError> {
        let insert =
            "INSERT INTO headcount_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        sqlx::query(insert).bind(PSEUDONYMS).bind(crate::hex(fresh)).execute(&self.pool).await?;
        // Of several instances that start at once, the first to insert decides.
        let row = sqlx::query("SELECT value FROM headcount_secrets WHERE name = $1")
            .bind(PSEUDONYMS)
            .fetch_one(&self.pool)
            .await?;
        let key = parse_hex(&row.try_get::<String, _>("value")?);
        let key = key.ok_or_else(|| StoreError::Unreadable("a pseudonym key".to_owned()))?;
        Ok(PseudonymKey::new(&key))
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

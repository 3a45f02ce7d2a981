//! Keys that the deployment makes once, for itself, and that all its instances share.

use super::{Store, StoreError};
use headcount_model::mask::PseudonymKey;
use headcount_proof::signature::SigningKey;
use sqlx::Row;

const PSEUDONYMS: &str = "pseudonyms";
const RECEIPTS: &str = "receipts";

impl Store {
    /// The key of this deployment's pseudonyms: `fresh`, which must be random, if there was none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or holds something else under that name.
    pub async fn pseudonym_key(&self, fresh: &[u8; 32]) -> Result<PseudonymKey, StoreError> {
        Ok(PseudonymKey::new(&self.shared(PSEUDONYMS, fresh).await?))
    }

    /// The same, if there is one: nothing is made.
    ///
    /// # Errors
    ///
    /// As for [`Store::pseudonym_key`].
    pub async fn known_pseudonym_key(&self) -> Result<Option<PseudonymKey>, StoreError> {
        Ok(self.known(PSEUDONYMS).await?.as_ref().map(PseudonymKey::new))
    }

    /// The key that signs this deployment's receipts: made of `fresh`, which must be random, if there was none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or holds something else under that name.
    pub async fn receipt_key(&self, fresh: &[u8; 32]) -> Result<SigningKey, StoreError> {
        let key = SigningKey::from_seed(&self.shared(RECEIPTS, fresh).await?);
        key.ok_or_else(|| StoreError::Unreadable("a receipt key".to_owned()))
    }

    /// The secret of this name: `fresh`, if there was none.
    async fn shared(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
        let insert =
            "INSERT INTO headcount_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.write(sqlx::query(insert).bind(name).bind(headcount_model::text::hex(fresh))).await?;
        // Of several instances that start at once, the first to insert decides.
        self.known(name).await?.ok_or_else(|| unreadable(name))
    }

    async fn known(&self, name: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let row = sqlx::query("SELECT value FROM headcount_secrets WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        let value = row.map(|row| row.try_get::<String, _>("value")).transpose()?;
        value.map(|value| parse_hex(&value).ok_or_else(|| unreadable(name))).transpose()
    }
}

fn unreadable(name: &str) -> StoreError {
    StoreError::Unreadable(format!("a key of {name}"))
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

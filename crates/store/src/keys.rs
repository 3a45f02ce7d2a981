//! API keys: how they look, what they allow, and where their hashes are.

use super::budgets::inheritance;
use super::{Statement, Store, StoreError, answered, in_time};
use headcount_model::named;
use headcount_model::timestamp::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::fmt;

/// The grant of the minimal export.
pub const EXPORT: &str = "users:export";
/// The grant of the full export.
pub const EXPORT_FULL: &str = "users:export_full";
/// The grant of all records and receipts, whoever made the export.
pub const AUDIT_READ: &str = "audit:read";

named! {
    /// What a key is for, which decides its prefix and its usual grants.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub enum KeyKind {
        Standard = "standard",
        Export = "export",
    }
}

impl KeyKind {
    /// The grants that a key of this kind has unless told otherwise.
    pub fn usual_grants(self) -> Vec<String> {
        match self {
            Self::Standard => vec![EXPORT.to_owned()],
            Self::Export => vec![EXPORT.to_owned(), EXPORT_FULL.to_owned()],
        }
    }

    /// The grants of a key for which `named` were asked: naming some of the usual ones keeps only those, any other
    /// is added.
    pub fn grants_with(self, named: &[String]) -> Vec<String> {
        let usual = self.usual_grants();
        let narrows = named.iter().any(|grant| usual.contains(grant));
        let mut grants = if narrows { Vec::new() } else { usual };
        for grant in named {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        grants.sort();
        grants
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Standard => "hc_std_",
            Self::Export => "hc_exp_",
        }
    }
}

/// Everything about a key but the key.
#[derive(Clone, Debug, Serialize)]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub kind: KeyKind,
    pub grants: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key itself. It can be shown once, on purpose; `Debug` shows nothing.
pub struct Secret(String);

impl Secret {
    /// A key of 43 random base62 characters (256 bits) from `fill`, which fills a buffer with random bytes, and the
    /// base62 CRC-32 (ISO-HDLC) of everything before it.
    ///
    /// # Errors
    ///
    /// Those of `fill`.
    pub fn generate<E>(kind: KeyKind, mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = kind.prefix().to_owned();
        let end = key.len() + RANDOM_LENGTH;
        while key.len() < end {
            let mut bytes = [0; 64];
            fill(&mut bytes)?;
            // Four times 62 is 248: leaving out the bytes above keeps the characters equally likely.
            let fair = bytes.iter().filter(|&&byte| byte < 248).map(|byte| BASE62[usize::from(byte % 62)]);
            key.extend(fair.take(end - key.len()).map(char::from));
        }
        let checksum = checksum(&key);
        key.push_str(&checksum);
        Ok(Self(key))
    }

    /// The key in clear, to be shown to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a text has the form of a generated key and its checksum fits: what a typing error does not survive.
pub fn is_well_formed(key: &str) -> bool {
    let prefixes = KeyKind::ALL.map(KeyKind::prefix);
    let Some(rest) = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)) else {
        return false;
    };
    rest.len() == RANDOM_LENGTH + CHECKSUM_LENGTH
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && key.ends_with(&checksum(&key[..key.len() - CHECKSUM_LENGTH]))
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// What is stored instead of a key, and what keys are compared by.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// How long a key's `last_used_at` may be behind: one write a minute is enough to find keys that nobody uses.
const LAST_USED_PRECISION_MICROS: i64 = 60_000_000;

impl Store {
    /// Keeps a new key.
    pub async fn add_key(&self, key: &ApiKey, secret: &Secret) -> Result<(), StoreError> {
        self.write(insertion(key, secret)).await.map(drop)
    }

    /// Keeps `new`, which draws on the budget of the key `old` if that has one, and revokes `old`, all or nothing; `false` if `old`
    /// is not there or revoked already.
    pub async fn replace_key(
        &self,
        old: &str,
        new: &ApiKey,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (_guard, mut transaction) = self.begin_write().await?;
        let revoked =
            sqlx::query("UPDATE headcount_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                .bind(now.micros())
                .bind(old)
                .execute(&mut *transaction)
                .await?;
        if revoked.rows_affected() == 0 {
            return Ok(false);
        }
        insertion(new, secret).execute(&mut *transaction).await?;
        inheritance(old, &new.id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The key whose hash this is, whatever its state.
    pub async fn find_key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        // The index compares hashes, not keys: its timing tells nothing about a key.
        let query = sqlx::query("SELECT * FROM headcount_keys WHERE hash = $1")
            .bind(headcount_model::text::hex(hash));
        let row = answered(query.fetch_optional(&self.pool)).await?;
        row.as_ref().map(read_key).transpose()
    }

    /// The key with this id.
    pub async fn find_key(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let row = sqlx::query("SELECT * FROM headcount_keys WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read_key).transpose()
    }

    /// All keys, oldest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM headcount_keys ORDER BY created_at, id").fetch_all(&self.pool).await?;
        rows.iter().map(read_key).collect()
    }

    /// Revokes a key; `false` if it is not there or revoked already.
    pub async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let revoked =
            sqlx::query("UPDATE headcount_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                .bind(now.micros())
                .bind(id);
        Ok(self.write(revoked).await? == 1)
    }

    /// Notes that a key was used, to the minute.
    pub async fn mark_key_used(&self, key: &ApiKey, now: Timestamp) -> Result<(), StoreError> {
        let known = key.last_used_at.map_or(i64::MIN, Timestamp::micros);
        if now.micros().saturating_sub(known) >= LAST_USED_PRECISION_MICROS {
            let sql = "UPDATE headcount_keys SET last_used_at = $1 WHERE id = $2";
            in_time(self.write(sqlx::query(sql).bind(now.micros()).bind(&key.id))).await?;
        }
        Ok(())
    }
}

fn insertion<'q>(key: &'q ApiKey, secret: &Secret) -> Statement<'q> {
    let sql = "INSERT INTO headcount_keys (id, name, kind, grants, hash, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(&key.id)
        .bind(&key.name)
        .bind(key.kind.name())
        .bind(key.grants.join(" "))
        .bind(headcount_model::text::hex(&hash(secret.reveal())))
        .bind(key.created_at.micros())
        .bind(key.expires_at.map(Timestamp::micros))
}

fn read_key(row: &AnyRow) -> Result<ApiKey, StoreError> {
    let kind: String = row.try_get("kind")?;
    let grants: String = row.try_get("grants")?;
    let known = KeyKind::ALL.into_iter().find(|known| known.name() == kind);
    Ok(ApiKey {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        kind: known.ok_or_else(|| StoreError::Unreadable(format!("a key of kind {kind}")))?,
        grants: grants.split_whitespace().map(str::to_owned).collect(),
        created_at: super::audit::time(row.try_get("created_at")?)?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(super::audit::time).transpose()?,
        last_used_at: row.try_get::<Option<i64>, _>("last_used_at")?.map(super::audit::time).transpose()?,
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(super::audit::time).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn generate(kind: KeyKind) -> Secret {
        let mut next = 0_u8;
        let fill = |bytes: &mut [u8]| {
            for byte in bytes {
                next = next.wrapping_add(101);
                *byte = next;
            }
            Ok::<(), Infallible>(())
        };
        match Secret::generate(kind, fill) {
            Ok(secret) => secret,
        }
    }

    #[test]
    fn keys_have_their_form() {
        let key = generate(KeyKind::Export);
        assert_eq!(key.reveal().len(), 7 + 43 + 6);
        assert!(key.reveal().starts_with("hc_exp_"));
        assert!(is_well_formed(key.reveal()));
        assert!(is_well_formed(generate(KeyKind::Standard).reveal()));
        assert_eq!(format!("{key:?}"), "Secret(…)");
    }

    #[test]
    fn a_key_with_one_other_character_is_refused() {
        let key = generate(KeyKind::Standard);
        for at in 0..key.reveal().len() {
            let mut typo = key.reveal().as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).expect("ASCII");
            assert!(!is_well_formed(&typo), "{typo}");
        }
        for other in ["", "hc_std_", "hc_std_é", &key.reveal()[1..], &key.reveal()[..50]] {
            assert!(!is_well_formed(other), "{other}");
        }
    }

    #[test]
    fn grants_are_added_or_narrowed() {
        let support = "users:export_support";
        for (kind, named, grants) in [
            (KeyKind::Standard, vec![], vec![EXPORT]),
            (KeyKind::Export, vec![], vec![EXPORT, EXPORT_FULL]),
            (KeyKind::Standard, vec![EXPORT_FULL], vec![EXPORT, EXPORT_FULL]),
            (KeyKind::Export, vec![EXPORT], vec![EXPORT]),
            (KeyKind::Export, vec![EXPORT_FULL], vec![EXPORT_FULL]),
            (KeyKind::Standard, vec![support], vec![EXPORT, support]),
            (KeyKind::Export, vec![EXPORT, support], vec![EXPORT, support]),
        ] {
            let named: Vec<_> = named.into_iter().map(str::to_owned).collect();
            assert_eq!(kind.grants_with(&named), grants);
        }
    }
}

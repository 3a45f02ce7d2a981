//! The chain: every settled record of an export has a number and holds the hash of the one before it, so that none can
//! be changed, removed or put in unseen. `docs/audit.md` describes the format.

use super::Scope;
use super::records::{Record, read_record};
use crate::{Store, StoreError};
use headcount_proof::canonical;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Row};

/// What the first record holds in place of a hash.
pub(super) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Records from before the chain that are put into it in one transaction.
const ADOPTED_AT_ONCE: i64 = 500;

/// The SHA-256, in hexadecimal, of a record's canonical JSON, which holds the hash of the record before it. The members of a
/// version are never changed: the hashes of old records are made of them.
pub(super) fn hash(record: &Record) -> String {
    let mut hashed = json!({
        "bytes": record.bytes,
        "client": record.client,
        "duration_ms": record.duration_ms,
        "endpoint": record.endpoint,
        "filters": record.filters,
        "id": record.id,
        "key_id": record.key_id,
        "key_name": record.key_name,
        "outcome": record.outcome,
        "previous": record.previous,
        "reason": record.reason,
        "request_id": record.request_id,
        "rows": record.rows,
        "sequence": record.sequence,
        "sha256": record.sha256,
        "time": record.time,
    });
    if record.version > 1 {
        let Scope { table, masks, conditions, system_user } = &record.scope;
        let further = json!({
            "columns": record.columns,
            "conditions": conditions,
            "ended_at": record.ended_at,
            "masks": masks,
            "snapshot_at": record.snapshot_at,
            "system_user": system_user,
            "table": table,
            "version": record.version,
        });
        if let (Some(hashed), Value::Object(further)) = (hashed.as_object_mut(), further) {
            hashed.extend(further);
        }
    }
    headcount_model::text::hex(&Sha256::digest(canonical::text_with_all_digits(&hashed)))
}

/// The newest record of the chain.
pub(super) struct Head {
    pub(super) sequence: i64,
    pub(super) hash: String,
    has_all: bool,
}

impl Head {
    /// Reads the head.
    pub(super) async fn read(connection: &mut AnyConnection) -> Result<Self, StoreError> {
        Self::select(connection, "SELECT sequence, hash, has_all FROM headcount_audit_head").await
    }

    /// Reads the head and keeps others from lengthening the chain until the transaction of [`Store::begin_write`] ends.
    pub(super) async fn lock(store: &Store, connection: &mut AnyConnection) -> Result<Self, StoreError> {
        if store.is_sqlite() {
            // Whose transaction is alone from its start.
            return Self::read(connection).await;
        }
        Self::select(connection, "SELECT sequence, hash, has_all FROM headcount_audit_head FOR UPDATE").await
    }

    async fn select(connection: &mut AnyConnection, sql: &'static str) -> Result<Self, StoreError> {
        let row = sqlx::query(sql).fetch_optional(connection).await?.ok_or(StoreError::NoHead)?;
        Ok(Self {
            sequence: row.try_get("sequence")?,
            hash: row.try_get("hash")?,
            has_all: row.try_get::<i64, _>("has_all")? != 0,
        })
    }

    /// The settled record as it follows this head.
    pub(super) fn link(&self, record: &Record) -> Record {
        let (sequence, previous) = (Some(self.sequence + 1), Some(self.hash.clone()));
        let mut record = Record { sequence, previous, ..record.clone() };
        record.hash = Some(hash(&record));
        record
    }

    /// Makes a linked record that is written the new head.
    pub(super) fn follow(&mut self, linked: Record) {
        self.sequence += 1;
        self.hash = linked.hash.unwrap_or_default();
    }

    /// Writes the head.
    pub(super) async fn save(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE headcount_audit_head SET sequence = $1, hash = $2, has_all = $3")
            .bind(self.sequence)
            .bind(&self.hash)
            .bind(i64::from(self.has_all))
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Store {
    /// The hash of the newest record of the audit's chain; 64 zeros if there is none.
    pub async fn audit_head(&self) -> Result<String, StoreError> {
        Ok(Head::read(&mut *self.pool.acquire().await?).await?.hash)
    }

    /// Puts what was settled before there was a chain into it, once in the life of a store: a record that turns up
    /// later without being part of it was not written by us.
    pub(crate) async fn adopt_old_records(&self, session: &mut AnyConnection) -> Result<(), StoreError> {
        let mut after = (i64::MIN, String::new());
        loop {
            match Head::read(session).await {
                Ok(head) if !head.has_all => self.adopt_some(&mut after).await?,
                // Without a head nothing can be exported, but keys can still be revoked.
                Ok(_) | Err(StoreError::NoHead) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on with the records whose time and id are beyond `after`.
    async fn adopt_some(&self, after: &mut (i64, String)) -> Result<(), StoreError> {
        let (_guard, mut transaction) = self.begin_write().await?;
        let mut head = Head::lock(self, &mut transaction).await?;
        if head.has_all {
            return Ok(());
        }
        let sql = "SELECT * FROM headcount_audit WHERE (time, id) > ($1, $2) AND sequence IS NULL \
                   AND outcome IS NOT NULL AND outcome <> 'denied' ORDER BY time, id LIMIT $3";
        let old = sqlx::query(sql)
            .bind(after.0)
            .bind(&after.1)
            .bind(ADOPTED_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await?;
        head.has_all = old.is_empty();
        for row in &old {
            let linked = head.link(&read_record(row)?);
            sqlx::query("UPDATE headcount_audit SET sequence = $1, previous = $2, hash = $3 WHERE id = $4")
                .bind(linked.sequence)
                .bind(&linked.previous)
                .bind(&linked.hash)
                .bind(&linked.id)
                .execute(&mut *transaction)
                .await?;
            *after = (linked.time.micros(), linked.id.clone());
            head.follow(linked);
        }
        head.save(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;
    use headcount_model::timestamp::Timestamp;

    #[test]
    fn the_hash_is_that_of_the_canonical_json() {
        let record = Record {
            id: "01HZY".to_owned(),
            time: Timestamp::from_micros(1_704_067_200_000_001).expect("a time"),
            endpoint: "/api/v1/users/export".to_owned(),
            key_id: None,
            key_name: Some("Zoë \"\\ \u{7f}\u{1f}\t\u{2028}/".to_owned()),
            client: "192.0.2.1".to_owned(),
            request_id: None,
            filters: serde_json::json!({"limit": 5, "email": "sha256:00", "is_active": true}),
            outcome: Some(Outcome::Completed),
            reason: None,
            rows: 2,
            bytes: 9_007_199_254_740_991,
            sha256: None,
            duration_ms: Some(0),
            sequence: Some(1),
            previous: Some(START.to_owned()),
            hash: None,
            columns: Some(vec!["id".to_owned()]),
            snapshot_at: None,
            ended_at: None,
            version: 1,
            scope: Scope::default(),
        };
        let canonical = format!(
            "{{\"bytes\":9007199254740991,\"client\":\"192.0.2.1\",\"duration_ms\":0,\
             \"endpoint\":\"/api/v1/users/export\",\
             \"filters\":{{\"email\":\"sha256:00\",\"is_active\":true,\"limit\":5}},\"id\":\"01HZY\",\
             \"key_id\":null,\"key_name\":\"Zoë \\\"\\\\ \u{7f}\\u001f\\t\u{2028}/\",\"outcome\":\"completed\",\
             \"previous\":\"{START}\",\"reason\":null,\"request_id\":null,\"rows\":2,\"sequence\":1,\
             \"sha256\":null,\"time\":\"2024-01-01T00:00:00.000001Z\"}}"
        );
        assert_eq!(hash(&record), headcount_model::text::hex(&Sha256::digest(&canonical)));

        let second = Record {
            version: 2,
            snapshot_at: Timestamp::from_micros(1_704_067_200_000_002),
            scope: Scope {
                table: Some("app.users".to_owned()),
                masks: [("email".to_owned(), "redact".to_owned())].into(),
                conditions: [("source.where".to_owned(), "NOT blocked".to_owned())].into(),
                system_user: None,
            },
            ..record
        };
        let canonical = canonical
            .replace("\"duration_ms\"", "\"columns\":[\"id\"],\"conditions\":{\"source.where\":\"NOT blocked\"},\"duration_ms\"")
            .replace("\"endpoint\"", "\"ended_at\":null,\"endpoint\"")
            .replace("\"outcome\"", "\"masks\":{\"email\":\"redact\"},\"outcome\"")
            .replace(
                ",\"time\":\"2024-01-01T00:00:00.000001Z\"",
                ",\"snapshot_at\":\"2024-01-01T00:00:00.000002Z\",\"system_user\":null,\"table\":\"app.users\",\
                 \"time\":\"2024-01-01T00:00:00.000001Z\",\"version\":2",
            );
        assert_eq!(hash(&second), headcount_model::text::hex(&Sha256::digest(canonical)));
    }
}

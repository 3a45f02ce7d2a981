//! A record of the audit: as it is written, and as it is listed.

use super::{Closing, Outcome, Request, Scope};
use crate::store::{Statement, StoreError};
use crate::timestamp::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// What is written now.
const VERSION: i64 = 2;

/// A record as it is listed.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub id: String,
    pub time: Timestamp,
    pub endpoint: String,
    pub key_id: Option<String>,
    pub key_name: Option<String>,
    pub client: String,
    pub request_id: Option<String>,
    pub filters: serde_json::Value,
    /// `None` while the export runs.
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub rows: i64,
    pub bytes: i64,
    pub sha256: Option<String>,
    pub duration_ms: Option<i64>,
    /// Its number in the chain, from 1 on; `None` while the export runs, and of a request without one.
    pub sequence: Option<i64>,
    /// The hash of the record before it, 64 zeros for the first.
    pub previous: Option<String>,
    /// Its own hash, of everything above; from version 2 on, of everything below as well.
    pub hash: Option<String>,
    pub version: i64,
    /// The names in the header, if they are known.
    pub columns: Option<Vec<String>>,
    pub snapshot_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    #[serde(flatten)]
    pub scope: Scope,
}

impl Record {
    /// The record of a request that is open, or settled if it is known how it ended.
    pub(super) fn of(request: &Request, closing: Option<&Closing>) -> Self {
        Self {
            id: request.id.clone(),
            time: request.time,
            endpoint: request.endpoint.clone(),
            key_id: request.key_id.clone(),
            key_name: request.key_name.clone(),
            client: request.client.clone(),
            request_id: request.request_id.clone(),
            filters: request.filters.clone().into(),
            outcome: closing.map(|closing| closing.outcome),
            reason: closing.and_then(|closing| closing.reason.clone()),
            rows: closing.map_or(0, |closing| closing.rows.cast_signed()),
            bytes: closing.map_or(0, |closing| closing.bytes.cast_signed()),
            sha256: closing.and_then(|closing| closing.sha256.clone()),
            duration_ms: closing.map(|closing| closing.duration_ms.cast_signed()),
            sequence: None,
            previous: None,
            hash: None,
            version: VERSION,
            columns: (!request.columns.is_empty()).then(|| request.columns.clone()),
            snapshot_at: closing.and_then(|closing| closing.snapshot_at),
            ended_at: closing.map(|closing| closing.ended_at),
            scope: request.scope.clone(),
        }
    }
}

#[cfg(test)]
impl Record {
    /// One of nobody's, for nothing.
    pub(crate) fn sample(outcome: Option<Outcome>) -> Self {
        Self { outcome, ..Self::of(&Request::sample("sample"), None) }
    }
}

/// Writes a new record, of the process `instance`.
pub(super) fn insert(record: &Record, instance: i64) -> Statement<'_> {
    let sql = "INSERT INTO headcount_audit (id, time, endpoint, key_id, key_name, client, request_id, filters, \
               outcome, reason, row_count, byte_count, sha256, duration_ms, sequence, previous, hash, column_names, \
               snapshot_at, ended_at, instance, version, scope) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
               $22, $23)";
    sqlx::query(sql)
        .bind(&record.id)
        .bind(record.time.micros())
        .bind(&record.endpoint)
        .bind(&record.key_id)
        .bind(&record.key_name)
        .bind(&record.client)
        .bind(&record.request_id)
        .bind(record.filters.to_string())
        .bind(record.outcome.map(Outcome::name))
        .bind(&record.reason)
        .bind(record.rows)
        .bind(record.bytes)
        .bind(&record.sha256)
        .bind(record.duration_ms)
        .bind(record.sequence)
        .bind(&record.previous)
        .bind(&record.hash)
        .bind(record.columns.as_deref().map(|names| serde_json::Value::from(names).to_string()))
        .bind(record.snapshot_at.map(Timestamp::micros))
        .bind(record.ended_at.map(Timestamp::micros))
        .bind(instance)
        .bind(record.version)
        .bind(record.scope.text())
}

/// Writes how an export ended; `false` if its record is not open any more: another process took this one for dead.
pub(super) async fn settle(connection: &mut AnyConnection, record: &Record) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE headcount_audit SET outcome = $1, reason = $2, row_count = $3, byte_count = $4, sha256 = $5, \
               duration_ms = $6, sequence = $7, previous = $8, hash = $9, snapshot_at = $10, ended_at = $11 \
               WHERE id = $12 AND outcome IS NULL";
    let settled = sqlx::query(sql)
        .bind(record.outcome.map(Outcome::name))
        .bind(&record.reason)
        .bind(record.rows)
        .bind(record.bytes)
        .bind(&record.sha256)
        .bind(record.duration_ms)
        .bind(record.sequence)
        .bind(&record.previous)
        .bind(&record.hash)
        .bind(record.snapshot_at.map(Timestamp::micros))
        .bind(record.ended_at.map(Timestamp::micros))
        .bind(&record.id)
        .execute(connection)
        .await?;
    Ok(settled.rows_affected() == 1)
}

/// Reads a row of `SELECT *`.
pub(super) fn read_record(row: &AnyRow) -> Result<Record, StoreError> {
    let outcome: Option<String> = row.try_get("outcome")?;
    let filters: String = row.try_get("filters")?;
    let columns: Option<String> = row.try_get("column_names")?;
    let scope: Option<String> = row.try_get("scope")?;
    Ok(Record {
        id: row.try_get("id")?,
        time: super::time(row.try_get("time")?)?,
        endpoint: row.try_get("endpoint")?,
        key_id: row.try_get("key_id")?,
        key_name: row.try_get("key_name")?,
        client: row.try_get("client")?,
        request_id: row.try_get("request_id")?,
        filters: serde_json::from_str(&filters)
            .map_err(|_| StoreError::Unreadable("filters that are not JSON".to_owned()))?,
        outcome: outcome.map(|name| outcome_of(&name)).transpose()?,
        reason: row.try_get("reason")?,
        rows: row.try_get("row_count")?,
        bytes: row.try_get("byte_count")?,
        sha256: row.try_get("sha256")?,
        duration_ms: row.try_get("duration_ms")?,
        sequence: row.try_get("sequence")?,
        previous: row.try_get("previous")?,
        hash: row.try_get("hash")?,
        columns: columns
            .map(|names| serde_json::from_str(&names))
            .transpose()
            .map_err(|_| StoreError::Unreadable("column names that are not JSON".to_owned()))?,
        snapshot_at: row.try_get::<Option<i64>, _>("snapshot_at")?.map(super::time).transpose()?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(super::time).transpose()?,
        version: row.try_get("version")?,
        scope: scope.map_or_else(|| Ok(Scope::default()), |text| Scope::parse(&text))?,
    })
}

fn outcome_of(name: &str) -> Result<Outcome, StoreError> {
    let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    known.ok_or_else(|| StoreError::Unreadable(format!("the outcome {name}")))
}

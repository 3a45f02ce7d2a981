//! A record of the audit: as it is written, and as it is listed.

use super::{Closing, Outcome, Request, Scope};
use crate::{Statement, StoreError};
use headcount_model::timestamp::Timestamp;
use headcount_proof::receipt::Receipt;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::borrow::Cow;

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
    pub fn of(request: &Request, closing: Option<&Closing>) -> Self {
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

impl Record {
    /// What a receipt says of it.
    pub fn receipt(self) -> Receipt {
        // Without a digest nothing was counted: the export runs, died with its process, or never began.
        let is_counted = self.sha256.is_some();
        Receipt {
            id: self.id,
            endpoint: self.endpoint,
            columns: self.columns,
            filters: self.filters,
            key_name: self.key_name,
            started_at: self.time,
            snapshot_at: self.snapshot_at,
            ended_at: self.ended_at,
            outcome: self.outcome.map(Outcome::name),
            rows: is_counted.then_some(self.rows),
            bytes: is_counted.then_some(self.bytes),
            sha256: self.sha256,
            scope: (self.version > 1).then_some(self.scope),
            stored: None,
        }
    }
}

/// What an export could show, as the store keeps it.
pub(super) fn scope_text(scope: &Scope) -> String {
    serde_json::to_string(scope).unwrap_or_default()
}

fn parse_scope(text: &str) -> Result<Scope, StoreError> {
    serde_json::from_str(text)
        .map_err(|_| StoreError::Unreadable("what an export could show, which is not JSON".to_owned()))
}

/// A cell of the table.
enum Cell<'a> {
    Text(Option<Cow<'a, str>>),
    Number(Option<i64>),
}

impl<'a> Cell<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(Some(text.into()))
    }

    fn maybe(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::from))
    }

    fn made(text: String) -> Self {
        Self::Text(Some(text.into()))
    }

    fn bind(self, statement: Statement<'a>) -> Statement<'a> {
        match self {
            Self::Text(text) => statement.bind(text.map(Cow::into_owned)),
            Self::Number(number) => statement.bind(number),
        }
    }
}

/// What is known when a request begins, by the names of the columns.
fn begun(record: &Record, instance: i64) -> [(&'static str, Cell<'_>); 12] {
    [
        ("id", Cell::text(&record.id)),
        ("time", Cell::Number(Some(record.time.micros()))),
        ("endpoint", Cell::text(&record.endpoint)),
        ("key_id", Cell::maybe(record.key_id.as_deref())),
        ("key_name", Cell::maybe(record.key_name.as_deref())),
        ("client", Cell::text(&record.client)),
        ("request_id", Cell::maybe(record.request_id.as_deref())),
        ("filters", Cell::made(record.filters.to_string())),
        (
            "column_names",
            Cell::Text(
                record.columns.as_deref().map(|names| serde_json::Value::from(names).to_string().into()),
            ),
        ),
        ("instance", Cell::Number(Some(instance))),
        ("version", Cell::Number(Some(record.version))),
        ("scope", Cell::made(scope_text(&record.scope))),
    ]
}

/// What is known when it has ended.
fn ended(record: &Record) -> [(&'static str, Cell<'_>); 11] {
    [
        ("outcome", Cell::maybe(record.outcome.map(Outcome::name))),
        ("reason", Cell::maybe(record.reason.as_deref())),
        ("row_count", Cell::Number(Some(record.rows))),
        ("byte_count", Cell::Number(Some(record.bytes))),
        ("sha256", Cell::maybe(record.sha256.as_deref())),
        ("duration_ms", Cell::Number(record.duration_ms)),
        ("sequence", Cell::Number(record.sequence)),
        ("previous", Cell::maybe(record.previous.as_deref())),
        ("hash", Cell::maybe(record.hash.as_deref())),
        ("snapshot_at", Cell::Number(record.snapshot_at.map(Timestamp::micros))),
        ("ended_at", Cell::Number(record.ended_at.map(Timestamp::micros))),
    ]
}

/// Writes a new record, of the process `instance`.
pub(super) fn insert(record: &Record, instance: i64) -> Statement<'_> {
    let (names, cells): (Vec<_>, Vec<_>) = begun(record, instance).into_iter().chain(ended(record)).unzip();
    let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
    let sql = format!("INSERT INTO headcount_audit ({}) VALUES ({})", names.join(", "), places.join(", "));
    bound(sql, cells)
}

/// Writes how an export ended; `false` if its record is not open any more: another process took this one for dead.
pub(super) async fn settle(connection: &mut AnyConnection, record: &Record) -> Result<bool, sqlx::Error> {
    let (names, mut cells): (Vec<_>, Vec<_>) = ended(record).into_iter().unzip();
    let set: Vec<_> = names.iter().zip(1..).map(|(name, place)| format!("{name} = ${place}")).collect();
    cells.push(Cell::text(&record.id));
    let (set, id) = (set.join(", "), cells.len());
    let sql = format!("UPDATE headcount_audit SET {set} WHERE id = ${id} AND outcome IS NULL");
    Ok(bound(sql, cells).execute(connection).await?.rows_affected() == 1)
}

/// A statement that holds names of ours only, with its values.
fn bound(sql: String, cells: Vec<Cell<'_>>) -> Statement<'_> {
    cells.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |statement, cell| cell.bind(statement))
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
        scope: scope.map_or_else(|| Ok(Scope::default()), |text| parse_scope(&text))?,
    })
}

fn outcome_of(name: &str) -> Result<Outcome, StoreError> {
    let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    known.ok_or_else(|| StoreError::Unreadable(format!("the outcome {name}")))
}

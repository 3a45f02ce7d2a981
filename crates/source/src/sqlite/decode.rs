//! Cells as SQLite gives them. It lets any value stand in any column.

use super::ids::Ids;
use crate::Database;
use crate::odd_times::OddTime;
use crate::{IdKind, Mapping, parse_uuid};
use headcount_model::plan::{Kind, discreet};
use headcount_model::timestamp::Timestamp;
use headcount_model::value::Value;
use rusqlite::types::ValueRef;

/// Reads a cell as the column's kind wants it, or says what was expected. SQLite lets any value stand in any column.
///
/// The value is written in place: returned, it would be copied twice a cell, which is measurable. So would be a cell that is
/// handed over to a function of its own.
#[inline(always)]
pub(super) fn decode<'a>(
    kind: Kind,
    ids: Ids,
    mapping: &Mapping,
    cell: ValueRef<'a>,
    value: &mut Value<'a>,
) -> Result<(), &'static str> {
    *value = match (kind, cell) {
        (Kind::Id, ValueRef::Null) => return Err("an id"),
        (_, ValueRef::Null) => Value::Null,
        (Kind::Id, ValueRef::Integer(int)) if ids.kind == IdKind::Integer => Value::Int(int),
        (Kind::Id, _) if ids.kind == IdKind::Integer => return Err("an integer id"),
        (Kind::Id, ValueRef::Blob(bytes)) if ids.kind == IdKind::Uuid => {
            Value::Uuid(bytes.try_into().map_err(|_| "a UUID")?)
        }
        (Kind::Id, ValueRef::Text(text)) if ids.kind == IdKind::Uuid => {
            let uuid = parse_uuid(text).ok_or("a UUID")?;
            // In another form it would not stand where its value does, and `after` would not find it.
            if !ids.uuid_form.is_form_of(text) {
                return Err("a UUID that is written like the others");
            }
            Value::Uuid(uuid)
        }
        (Kind::Id, _) if ids.kind == IdKind::Uuid => return Err("a UUID"),
        // Every text stands behind every integer, and `after` is one or the other: pages would leave some out.
        (Kind::Id, ValueRef::Integer(_)) => return Err(MIXED_IDS),
        (Kind::Text | Kind::AsStored, ValueRef::Integer(int)) => Value::Int(int),
        (Kind::Id | Kind::Text | Kind::AsStored, ValueRef::Text(bytes)) => {
            Value::text(bytes).ok_or("valid UTF-8")?
        }
        (Kind::Text | Kind::AsStored, ValueRef::Real(real)) => Value::Float(real),
        (Kind::Id | Kind::Text | Kind::AsStored, _) => return Err("text"),
        (Kind::Bool, ValueRef::Integer(int @ (0 | 1))) => Value::Bool(int == 1),
        // As Rails wrote them before 5.2.
        (Kind::Bool, ValueRef::Text(b"t")) => Value::Bool(true),
        (Kind::Bool, ValueRef::Text(b"f")) => Value::Bool(false),
        (Kind::Bool, _) => return Err("a boolean (0 or 1)"),
        (Kind::Timestamp, ValueRef::Text(text)) if Timestamp::is_printed_form(text) => {
            Value::PrintedTimestamp(text)
        }
        (Kind::Timestamp, cell) => {
            Value::Timestamp(timestamp(cell, mapping).ok_or_else(|| mapping.timestamps.expected())?)
        }
    };
    Ok(())
}

/// What an integer is not where other ids are texts, which only a column without a type holds side by side.
const MIXED_IDS: &str = "a text, as other ids are; id = { sql = \"CAST(id AS TEXT)\" } in [source.columns] makes all of them texts";

/// Text as [`Timestamp::parse_database_text`] reads it, in the table's zone, or an integer in its unit.
pub(super) fn timestamp(cell: ValueRef<'_>, mapping: &Mapping) -> Option<Timestamp> {
    match cell {
        ValueRef::Text(text) => mapping.time_of_text(text),
        ValueRef::Integer(integer) => mapping.timestamps.of_integer(integer),
        _ => None,
    }
}

/// The expression that copes with a cell that is no time, for the end of an error text; empty if there is none.
pub(super) fn time_remedy(cell: ValueRef<'_>, mapping: &Mapping, column: &str) -> String {
    let ValueRef::Text(text) = cell else { return String::new() };
    OddTime::of_text(text).map_or_else(String::new, |odd| odd.remedy(Database::Sqlite, mapping, column))
}

pub(super) fn misfit(cell: ValueRef<'_>, expected: &str) -> String {
    format!("{} is not {expected}", described(cell))
}

/// What a cell is, without what it says: error texts carry no user data.
fn described(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(_) => "this integer".to_owned(),
        ValueRef::Real(_) => "this floating point number".to_owned(),
        ValueRef::Text(text) => format!("this text of {} bytes", text.len()),
        ValueRef::Blob(blob) => format!("this blob of {} bytes", blob.len()),
    }
}

pub(super) fn shown_id(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Integer(id) => id.to_string(),
        ValueRef::Text(id) => discreet(&String::from_utf8_lossy(id)),
        ValueRef::Blob(id) => headcount_model::text::hex(id),
        _ => "?".to_owned(),
    }
}

//! What databases hold where a time should be, and the expressions that cope with it.

use super::Database;
use super::Mapping;
use super::epoch::Unit;
use super::mapping::as_expression;

/// Something that is no time, and that is no accident: applications write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OddTime {
    /// No characters, or nothing but blanks.
    Empty,
    /// `0000-00-00 00:00:00`, which MySQL has for no time.
    Zero,
    /// Digits as text, that count since 1970.
    Epoch(Unit),
    /// `infinity` or `-infinity` as text.
    InfiniteText,
    /// The same as a value of PostgreSQL's types.
    Infinite,
    /// A value of PostgreSQL's types that is not in the years that are printed.
    FarAway,
    /// The same of its type without a zone.
    FarAwayLocal,
    /// A text of the last day that is printed, at whose end it may already be the year 10000 in UTC.
    LastDay,
}

impl OddTime {
    /// What a text that is no time is; `None` if nobody knows.
    pub(super) fn of_text(text: &[u8]) -> Option<Self> {
        if text.iter().all(|&byte| byte == b' ') {
            return Some(Self::Empty);
        }
        if text.starts_with(b"0000-00-00") {
            return Some(Self::Zero);
        }
        if text.starts_with(b"9999-12-31") {
            return Some(Self::LastDay);
        }
        let is_sign = |byte: &u8| matches!(byte, b'-' | b'+');
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let bare = if text.first().is_some_and(is_sign) { &text[1..] } else { text };
        if bare.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::InfiniteText);
        }
        let mut parts = unsigned.split(|&byte| byte == b'.');
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let (whole, fraction) = (parts.next()?, parts.next());
        if parts.next().is_some() || !is_number(whole) || !fraction.is_none_or(is_number) {
            return None;
        }
        Unit::of_digits(whole.len()).map(Self::Epoch)
    }

    /// A SQL expression that makes of a column what can be exported, at the end of an error text.
    pub(super) fn remedy(self, database: Database, mapping: &Mapping, column: &str) -> String {
        let cell = mapping.written(column);
        let zone = mapping.zone.as_ref().and_then(|zone| zone.iana_name());
        let sql = self.sql(database, &cell, zone);
        let reads = match self {
            Self::Epoch(unit) => format!("to read it as {} since 1970", unit.name()),
            _ => "to export NULL for it".to_owned(),
        };
        format!("; {reads}, map {}", as_expression(column, &sql))
    }

    fn sql(self, database: Database, cell: &str, zone: Option<&str>) -> String {
        let unless = |condition: &str| format!("CASE WHEN {cell} {condition} THEN {cell} END");
        match (self, database) {
            (Self::Empty, _) => format!("nullif(trim({cell}), '')"),
            (Self::Zero, _) => unless("NOT LIKE '0000-00-00%'"),
            (Self::InfiniteText, Database::Sqlite) => unless("NOT LIKE '%infinity'"),
            (Self::InfiniteText, Database::Postgres) => unless("NOT ILIKE '%infinity'"),
            (Self::Infinite, _) => format!("CASE WHEN isfinite({cell}) THEN {cell} END"),
            (Self::LastDay, _) => unless("NOT LIKE '9999-12-31%'"),
            (Self::FarAway | Self::FarAwayLocal, _) => {
                let time = match zone.filter(|_| self == Self::FarAwayLocal) {
                    Some(zone) => format!("{cell} AT TIME ZONE '{}'", zone.replace('\'', "''")),
                    None => cell.to_owned(),
                };
                format!("CASE WHEN {time} >= '0001-01-01' AND {time} < '10000-01-01' THEN {cell} END")
            }
            (Self::Epoch(unit), Database::Postgres) => format!(
                "CASE WHEN {cell} ~ '^-?[0-9]+([.][0-9]+)?$' THEN to_timestamp(trunc({cell}::numeric{}, 6)) ELSE {cell}::timestamptz END",
                unit.brought_to(Unit::Seconds).unwrap_or_default()
            ),
            // Compared with a number, a text that reads as that number equals it. The time is a text, which is read in every unit
            // of the mapping and keeps its microseconds.
            (Self::Epoch(unit), Database::Sqlite) => {
                let micros = match unit {
                    Unit::Seconds => format!("{cell} * 1000000"),
                    Unit::Milliseconds => format!("{cell} * 1000"),
                    Unit::Microseconds => cell.to_owned(),
                    Unit::Nanoseconds => format!("{cell} / 1000"),
                };
                format!(
                    "CASE WHEN {cell} = CAST({cell} AS NUMERIC) THEN \
                     (SELECT strftime('%Y-%m-%d %H:%M:%S', micros / 1000000 - (micros % 1000000 < 0), 'unixepoch') \
                     || printf('.%06d', (micros % 1000000 + 1000000) % 1000000) \
                     FROM (SELECT CAST(round({micros}) AS INTEGER) AS micros)) ELSE {cell} END"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expression;
    use headcount_model::plan::Column;

    #[test]
    fn what_is_odd_is_told_by_its_form() {
        for (text, expected) in [
            ("", Some(OddTime::Empty)),
            ("  ", Some(OddTime::Empty)),
            ("0000-00-00", Some(OddTime::Zero)),
            ("0000-00-00 00:00:00.000", Some(OddTime::Zero)),
            ("infinity", Some(OddTime::InfiniteText)),
            ("-Infinity", Some(OddTime::InfiniteText)),
            ("1736332200", Some(OddTime::Epoch(Unit::Seconds))),
            ("-1", Some(OddTime::Epoch(Unit::Seconds))),
            ("1736332200.25", Some(OddTime::Epoch(Unit::Seconds))),
            ("1736332200123", Some(OddTime::Epoch(Unit::Milliseconds))),
            ("1736332200123456", Some(OddTime::Epoch(Unit::Microseconds))),
            ("1736332200123456789", Some(OddTime::Epoch(Unit::Nanoseconds))),
            ("yesterday", None),
            ("12/31/2025", None),
            ("9999-12-31 23:59:59", Some(OddTime::LastDay)),
            ("1.2.3", None),
            ("1.", None),
            (".5", None),
            ("-", None),
        ] {
            assert_eq!(OddTime::of_text(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_remedy_stands_as_it_is_typed() {
        let mut mapping = Mapping::plain("users");
        let remedy = |mapping: &Mapping| OddTime::Empty.remedy(Database::Sqlite, mapping, "created_at");
        assert!(remedy(&mapping).ends_with(r#"map created_at = { sql = "nullif(trim(created_at), '')" }"#));
        mapping.columns = vec![(Column::CREATED_AT, Expression::Column("createdAt".to_owned()))];
        assert!(remedy(&mapping).ends_with(r#"{ sql = "nullif(trim(\"createdAt\"), '')" }"#));
        mapping.columns = vec![(Column::CREATED_AT, Expression::Sql("a -- or b".to_owned()))];
        assert!(remedy(&mapping).ends_with(r#"{ sql = "nullif(trim((a -- or b\n)), '')" }"#));
    }
}

//! Times as text. What a filter takes for one and what an export shows as one are the same texts.

use crate::Mapping;
use headcount_model::timestamp::Timestamp;

/// The last two digits of a year that has a leap day, and the first two of a century that has one; but for the year 0.
macro_rules! fourth {
    () => {
        r"(0[48]|[2468][048]|[13579][26])"
    };
}
/// An offset that the server reads, and one as the name of a zone.
macro_rules! offset {
    () => {
        r"[+-](0\d|1[0-5])(:?[0-5]\d)?"
    };
}
macro_rules! zone {
    () => {
        r"([A-Za-z]{1,6}|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
    };
}

/// The texts that [`read`] reads, all of which the server reads as well. That would take more, such as `tomorrow`.
const ISO_TIME: &str = concat!(
    r"^(([1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])",
    r"-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))",
    r"|(\d\d",
    fourth!(),
    "|",
    fourth!(),
    r"00)-02-29)",
    r"([Tt ]([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d+)?)?",
    r"( ?[Zz]| UTC|",
    offset!(),
    "| ",
    offset!(),
    "( ",
    zone!(),
    r"( m=[+-][\d.]*)?)?)?)?$"
);

/// What of such a text the server does not read as it is read here: digits finer than microseconds, which it would round, any after
/// a leap second, and what Go writes behind an offset.
const FINER_DIGITS: &str = r"(:60|\.\d{6})\.?\d+";
const ZONE_NAME: &str = r"( [+-]\d\d(:?\d\d)?) .*$";

/// A time of day without a zone: what the server would take for one of the session's.
const ZONELESS: &str = r"^\d{4}-\d\d-\d\d[Tt ][\d:.]+$";

/// Reads a cell.
pub(super) fn read(cell: &[u8], mapping: &Mapping) -> Option<Timestamp> {
    // PostgreSQL has no year 0.
    Some(cell).filter(|cell| !cell.starts_with(b"0000")).and_then(|cell| mapping.time_of_text(cell))
}

/// The condition that the time in a text compares with a bound, or cannot be shown.
pub(super) fn compared(text: &str, operator: &str, bound: &str, zone: Option<&str>) -> String {
    // Whatever its own collation takes for digits and letters.
    let cell = format!("{text}::pg_catalog.text COLLATE pg_catalog.\"C\"");
    let time = format!("pg_catalog.regexp_replace({cell}, '{ZONE_NAME}', '\\1')");
    let bare = format!("pg_catalog.regexp_replace({time}, '{FINER_DIGITS}', '\\1')");
    let time = match zone {
        None => format!("{bare}::pg_catalog.timestamptz"),
        Some(zone) => format!(
            "CASE WHEN {cell} OPERATOR(pg_catalog.~) '{ZONELESS}' \
             THEN {bare}::pg_catalog.timestamp AT TIME ZONE {zone} ELSE {bare}::pg_catalog.timestamptz END"
        ),
    };
    // An offset may lead into the year 10000.
    let beyond = format!(
        "{cell} OPERATOR(pg_catalog.~~) '9999-12-31%' \
         AND {time} OPERATOR(pg_catalog.>) '9999-12-31 23:59:59.999999+00'::pg_catalog.timestamptz"
    );
    format!(
        "CASE WHEN {cell} OPERATOR(pg_catalog.~) '{ISO_TIME}' \
         THEN {time} {operator} {bound}::pg_catalog.timestamptz OR {beyond} \
         ELSE {text} IS NOT NULL END"
    )
}

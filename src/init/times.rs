//! What integers mean as times, decided from a few of them.

use super::{Field, Origin, Proposal, Subject, Timestamps};
use crate::source::catalogue::ColumnKind;
use crate::source::quote;

/// What an integer counts since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// 1990 to 2100 in seconds: between the units lies so much that nothing fits two.
const PLAUSIBLE: std::ops::Range<i64> = 631_152_000..4_102_444_800;

/// The unit in which nearly all of these are plausible times; `None` if there is none, or nothing to go by.
pub(super) fn unit(values: &[i64]) -> Option<Unit> {
    // 0 often stands for "never".
    let values: Vec<_> = values.iter().copied().filter(|value| *value != 0).collect();
    let fits = |unit: &Unit| {
        let divisor = match unit {
            Unit::Seconds => 1,
            Unit::Milliseconds => 1_000,
            Unit::Microseconds => 1_000_000,
            Unit::Nanoseconds => 1_000_000_000,
        };
        let plausible = values.iter().filter(|value| PLAUSIBLE.contains(&(**value / divisor))).count();
        !values.is_empty() && plausible * 5 >= values.len() * 4
    };
    [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds, Unit::Nanoseconds].into_iter().find(fits)
}

/// Whether the cells of this column are integers, whatever its type: SQLite lets a `DATETIME` hold them.
pub(super) fn holds_integers(subject: Subject<'_>, column: &str, kind: ColumnKind) -> bool {
    let mut cells = subject.samples.filled(column).peekable();
    match kind {
        ColumnKind::Integer => true,
        ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Other => {
            cells.peek().is_some() && cells.all(|cell| cell.parse::<i64>().is_ok())
        }
        _ => false,
    }
}

/// Settles one unit for the whole table, and rewrites a column that has another, or 0 for "never".
pub(super) fn settle(proposal: &mut Proposal, subject: Subject<'_>) {
    let mut units = Vec::new();
    for (at, mapped) in proposal.columns.iter().enumerate() {
        let Origin::Column(name) = &mapped.from else { continue };
        let Some(column) = subject.table.column(name) else { continue };
        let is_time = matches!(mapped.field, Field::CreatedAt | Field::UpdatedAt);
        if is_time && holds_integers(subject, name, column.kind) {
            units.push((at, name.clone(), unit(&subject.samples.integers(name))));
        }
    }
    if units.is_empty() {
        return;
    }
    if proposal.timestamps == Timestamps::Auto {
        proposal.timestamps = match units.iter().find_map(|(.., unit)| *unit) {
            Some(Unit::Seconds) => Timestamps::Seconds,
            Some(_) => Timestamps::Milliseconds,
            None => {
                let names: Vec<_> = units.iter().map(|(_, name, _)| name.as_str()).collect();
                proposal.warnings.push(format!(
                    "{} holds integers, and there are no rows that would show their unit; \
                     they are read as seconds (source.timestamps)",
                    names.join(" and ")
                ));
                Timestamps::Auto
            }
        };
    }
    for (at, name, unit) in units {
        let mapped = &mut proposal.columns[at];
        let mut integer = quote(&name);
        if subject.samples.integers(&name).contains(&0) {
            integer = format!("nullif({integer}, 0)");
            mapped.from = Origin::Sql(integer.clone());
            mapped.reason.push_str("; 0 is no time, or it would leave as 1970");
        }
        if let Some(factor) = unit.and_then(|unit| factor(unit, proposal.timestamps)) {
            mapped.from = Origin::Sql(format!("{integer} {factor}"));
            mapped.reason.push_str(&format!("; brought to {}", proposal.timestamps.name()));
        }
    }
}

/// What brings a unit to that of the table; `None` if it has it.
fn factor(unit: Unit, timestamps: Timestamps) -> Option<&'static str> {
    match (unit, timestamps) {
        (Unit::Seconds, Timestamps::Milliseconds) => Some("* 1000"),
        (Unit::Microseconds, Timestamps::Milliseconds) => Some("/ 1000"),
        (Unit::Nanoseconds, Timestamps::Milliseconds) => Some("/ 1000000"),
        (Unit::Seconds, _) | (Unit::Milliseconds, Timestamps::Milliseconds) => None,
        (Unit::Milliseconds, _) => Some("/ 1000"),
        (Unit::Microseconds, _) => Some("/ 1000000"),
        (Unit::Nanoseconds, _) => Some("/ 1000000000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        for (values, expected) in [
            (&[1_736_332_200, 1_700_000_000][..], Some(Unit::Seconds)),
            (&[1_736_332_200_123, 0, 1_700_000_000_000], Some(Unit::Milliseconds)),
            (&[1_736_332_200_123_456], Some(Unit::Microseconds)),
            (&[1_736_332_200_123_456_789], Some(Unit::Nanoseconds)),
            (&[0, 0], None),
            (&[], None),
            (&[1, 2, 3], None),
            (&[2024, 2025], None),
            (&[1_736_332_200, 1_736_332_200_000], None),
        ] {
            assert_eq!(unit(values), expected, "{values:?}");
        }
    }
}

//! Maps the columns of a table that nobody has described: by their names, types, uniqueness and a few cells.

mod flags;
pub(super) mod names;

use super::{Ambiguous, Condition, Confidence, Field, Mapped, Origin, Subject, times};
use headcount_model::timestamp::Timestamp;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::{Unit, quote};

/// The best origin of a field, if there is one.
///
/// # Errors
///
/// Two columns are equally good.
pub fn field(field: Field, subject: Subject<'_>) -> Result<Option<Mapped>, Ambiguous> {
    let found = match field {
        Field::Id => id(subject),
        Field::Email => return email(subject),
        Field::Name => name(subject),
        Field::CreatedAt => time(subject, names::CREATED),
        Field::UpdatedAt => time(subject, names::UPDATED),
        Field::IsActive => flags::is_active(subject),
        Field::IsAdmin => flags::is_admin(subject),
    };
    Ok(found.map(|found| found.mapped(field)))
}

/// Conditions that the names of columns suggest.
pub fn conditions(subject: Subject<'_>) -> Vec<Condition> {
    let is_time = |column: &Column| matches!(column.kind, ColumnKind::Timestamp | ColumnKind::Date);
    let deleted = subject.table.columns.iter().find(|column| {
        is_time(column) && names::rank(&column.name, subject.table, names::DELETED_TIMES).is_some()
    });
    let condition = deleted.map(|column| Condition {
        comment: "Without those who are marked as deleted:".to_owned(),
        sql: format!("{} IS NULL", quote(&column.name)),
    });
    condition.into_iter().collect()
}

/// An origin before it is known what for.
struct Found {
    from: Origin,
    confidence: Confidence,
    reason: String,
}

impl Found {
    fn column(column: &Column, confidence: Confidence, reason: impl Into<String>) -> Self {
        Self { from: Origin::Column(column.name.clone()), confidence, reason: reason.into() }
    }

    fn sql(sql: String, confidence: Confidence, reason: impl Into<String>) -> Self {
        Self { from: Origin::Sql(sql), confidence, reason: reason.into() }
    }

    fn mapped(self, field: Field) -> Mapped {
        Mapped { field, from: self.from, confidence: self.confidence, reason: self.reason }
    }
}

/// The column that can tell the rows apart: the primary key, or else a unique column that is named like one. A table
/// named on purpose, as a view has to be, may do with the name alone.
fn id(subject: Subject<'_>) -> Option<Found> {
    let fits = |column: &&Column| {
        let kinds = [ColumnKind::Integer, ColumnKind::Uuid, ColumnKind::Text];
        column.is_readable
            && (kinds.contains(&column.kind)
                || subject.database == Database::Sqlite && column.kind == ColumnKind::Other)
    };
    let columns = || subject.table.columns.iter().filter(fits);
    let is_key = |column: &&Column| column.is_unique && !column.is_nullable;
    if let Some(column) = columns().find(|column| column.in_primary_key && is_key(column)) {
        return Some(Found::column(column, Confidence::High, "primary key"));
    }
    let named = || {
        columns().filter_map(|column| Some((names::rank(&column.name, subject.table, names::ID)?, column)))
    };
    if let Some((_, column)) = named().filter(|(_, column)| is_key(column)).min_by_key(|(rank, _)| *rank) {
        return Some(Found::column(column, Confidence::Medium, "unique, never NULL, and named like an id"));
    }
    let (_, column) = named().filter(|_| subject.table.is_view).min_by_key(|(rank, _)| *rank)?;
    let reason = "named like an id; a view cannot say whether it is unique and never NULL";
    Some(Found::column(column, Confidence::Low, reason))
}

fn email(subject: Subject<'_>) -> Result<Option<Mapped>, Ambiguous> {
    let texts = || subject.usable().filter(|column| is_text(column.kind));
    let ranked = texts().filter_map(|column| Some((names::email_rank(&column.name, subject.table)?, column)));
    // Among columns named equally well, one whose addresses are unique is the one that people sign in with.
    let keyed: Vec<_> = ranked.map(|(rank, column)| ((rank, !column.is_unique), column)).collect();
    if let Some(best) = keyed.iter().map(|(key, _)| *key).min() {
        let best: Vec<_> = keyed.iter().filter(|(key, _)| *key == best).map(|(_, column)| *column).collect();
        let [column] = best[..] else {
            let columns = best.iter().map(|column| column.name.clone()).collect();
            return Err(Ambiguous { field: Field::Email, columns });
        };
        let reason =
            if column.is_unique { "named like an address, and unique" } else { "named like an address" };
        let confidence =
            if keyed.len() == 1 || column.is_unique { Confidence::High } else { Confidence::Medium };
        return Ok(Some(Found::column(column, confidence, reason).mapped(Field::Email)));
    }
    let has_addresses = |column: &&Column| {
        subject.samples.are_addresses(&column.name)
            && names::rank(&column.name, subject.table, names::LOGIN).is_some()
    };
    let login = texts().find(has_addresses);
    Ok(login.map(|column| {
        Found::column(column, Confidence::Medium, "a login whose cells are addresses").mapped(Field::Email)
    }))
}

fn name(subject: Subject<'_>) -> Option<Found> {
    let texts = || subject.usable().filter(|column| is_text(column.kind));
    let best = |list: &[&str]| {
        let ranked =
            texts().filter_map(|column| Some((names::rank(&column.name, subject.table, list)?, column)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, column)| column)
    };
    let (first, last) = (best(names::FIRST_NAME), best(names::LAST_NAME));
    if let Some(column) = best(names::FULL_NAME) {
        let is_plain = names::rank(&column.name, subject.table, &["name"]).is_some();
        return Some(match (first, last) {
            (Some(first), None) if is_plain => name_beside(subject, column, first, [first, column]),
            (None, Some(last)) if is_plain => name_beside(subject, column, last, [column, last]),
            _ => Found::column(column, Confidence::High, "named like a full name"),
        });
    }
    if let (Some(first), Some(last)) = (first, last) {
        return Some(Found::sql(joined([first, last]), Confidence::High, "first and last name"));
    }
    let column = best(names::LOGIN_NAME)?;
    Some(Found::column(column, Confidence::Medium, "there is no full name; this is what the user is called"))
}

/// A plain `name` beside one half of a name: the other half, unless the cells show that it is all of it.
fn name_beside(subject: Subject<'_>, column: &Column, half: &Column, parts: [&Column; 2]) -> Found {
    let (name, half) = (&column.name, &half.name);
    let is_whole = |(name, half): (&str, &str)| {
        name.len() > half.len() && name.to_lowercase().contains(&half.to_lowercase())
    };
    let (whole, all) = subject
        .samples
        .pairs(name, half)
        .fold((0, 0), |(whole, all), pair| (whole + usize::from(is_whole(pair)), all + 1));
    if whole * 2 > all {
        let reason = format!("named like a full name, and {half} is a part of it");
        return Found::column(column, Confidence::High, reason);
    }
    let (confidence, reason) = match all {
        0 => (
            Confidence::Low,
            format!("{name} is taken for what {half} leaves out; no cells show whether it is the full name"),
        ),
        _ => (Confidence::Medium, format!("{name} is what {half} leaves out")),
    };
    Found::sql(joined(parts), confidence, reason)
}

/// Two halves of a name; NULL where there is neither.
fn joined(parts: [&Column; 2]) -> String {
    let [first, last] = parts.map(|column| match column.is_nullable {
        true => format!("coalesce({}, '')", quote(&column.name)),
        false => quote(&column.name),
    });
    format!("nullif(trim({first} || ' ' || {last}), '')")
}

/// A time by its name, if its type and its cells can be one.
fn time(subject: Subject<'_>, list: &[&str]) -> Option<Found> {
    let ranked =
        subject.usable().filter_map(|column| Some((names::rank(&column.name, subject.table, list)?, column)));
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().find_map(|(_, column)| as_time(subject, column))
}

fn as_time(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    if times::holds_integers(subject, &column.name, column.kind) {
        let integers = subject.samples.integers(&column.name);
        let is_plausible = Unit::of(&integers).is_some();
        return match integers.iter().any(|integer| *integer != 0) {
            true => is_plausible
                .then(|| Found::column(column, Confidence::High, "its name, and times as integers")),
            false => Some(Found::column(column, Confidence::Low, "its name; there are no times to look at")),
        };
    }
    match column.kind {
        ColumnKind::Timestamp | ColumnKind::Date => {
            Some(Found::column(column, Confidence::High, format!("its name and type ({})", column.type_name)))
        }
        ColumnKind::Text => {
            let mut cells = subject.samples.filled(&column.name).peekable();
            let is_filled = cells.peek().is_some();
            let reads = cells.all(|cell| Timestamp::parse_database_text(cell.as_bytes()).is_some());
            (is_filled && reads).then(|| match subject.database {
                Database::Sqlite => Found::column(column, Confidence::High, "its name, and times as text"),
                Database::Postgres => Found::sql(
                    format!("{quoted}::timestamptz"),
                    Confidence::Medium,
                    "its name, and times as text",
                ),
            })
        }
        ColumnKind::Number => {
            let mut cells = subject.samples.filled(&column.name).map(str::parse::<f64>);
            let seconds: Vec<_> = cells.by_ref().filter_map(Result::ok).map(|value| value as i64).collect();
            let reason = "its name, and seconds with a fraction";
            (Unit::of(&seconds) == Some(Unit::Seconds)).then(|| match subject.database {
                Database::Sqlite => {
                    Found::sql(format!("CAST({quoted} AS INTEGER)"), Confidence::Medium, reason)
                }
                Database::Postgres => {
                    Found::sql(format!("to_timestamp({quoted})"), Confidence::Medium, reason)
                }
            })
        }
        _ => None,
    }
}

fn is_text(kind: ColumnKind) -> bool {
    kind == ColumnKind::Text
}

#[cfg(test)]
mod tests;

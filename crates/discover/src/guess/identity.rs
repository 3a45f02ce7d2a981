//! What tells users apart, and what they are called.

use super::{Found, elsewhere, names};
use crate::{Ambiguous, Confidence, Field, Origin, Subject};
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::quote;

/// The column that can tell the rows apart: the primary key, or else a unique column that is named like one. A table
/// named on purpose, as a view has to be, may do with the name alone.
pub(super) fn id(subject: Subject<'_>) -> Option<Found> {
    let fits = |column: &&Column| column.is_readable && can_be_an_id(subject.database(), column);
    let columns = || subject.table.columns.iter().filter(fits);
    let is_secret = |column: &Column| subject.why_sensitive(column).is_some();
    let is_key = |column: &&Column| column.is_unique && !column.is_nullable;
    if let Some(column) = columns().find(|column| column.in_primary_key && is_key(column)) {
        return Some(Found::column(column, Confidence::High, "primary key"));
    }
    let named = || names::in_order(columns(), subject.table, names::ID);
    if let Some(column) = named().find(|column| is_key(column) && !is_secret(column)) {
        return Some(Found::column(column, Confidence::Medium, "unique, never NULL, and named like an id"));
    }
    // An address would stand in the audit, in the log and in error texts.
    let has_none = |column: &&Column| {
        let is_address = names::email_rank(&column.name, subject.table).is_some();
        column.is_unique && !is_address && !is_secret(column) && !subject.samples.has_nulls(&column.name)
    };
    let by_name = |column: &&Column| {
        let lists = [names::ID, names::LOGIN_NAME, &["name", "email"]];
        lists
            .iter()
            .position(|list| names::rank(&column.name, subject.table, list).is_some())
            .unwrap_or(lists.len())
    };
    if let Some(column) = columns().filter(has_none).min_by_key(by_name) {
        let reason =
            "unique; it may be NULL, though no cell of the sample is, and an export would fail at it";
        return Some(Found::column(column, Confidence::Low, reason));
    }
    let column = named().next().filter(|_| subject.table.is_view)?;
    let reason = "named like an id; a view cannot say whether it is unique and never NULL";
    Some(Found::column(column, Confidence::Low, reason))
}

/// Whether exports can be in the order of such a column.
fn can_be_an_id(database: Database, column: &Column) -> bool {
    let kinds = [ColumnKind::Integer, ColumnKind::Uuid, ColumnKind::Text];
    kinds.contains(&column.kind) || database == Database::Sqlite && column.kind == ColumnKind::Other
}

/// Why no column of a table can tell its rows apart, and what to do; nothing if one can.
pub fn why_no_id(subject: Subject<'_>) -> Option<String> {
    if id(subject).is_some() {
        return None;
    }
    let key: Vec<_> = subject.table.columns.iter().filter(|column| column.in_primary_key).collect();
    let table = &subject.table.name;
    Some(match key[..] {
        [] => format!(
            "{table} has no column that is unique: neither a primary key nor a unique index; make one, or a view that numbers \
             its rows by what never changes"
        ),
        [column] => format!(
            "the key of {table}, {}, is of the type {}, in whose order exports cannot be; make a view of the table with {} as \
             its id, and name it with --table",
            column.name,
            column.type_name,
            match (subject.database(), column.kind) {
                (Database::Postgres, ColumnKind::Number) => {
                    format!("{0}::bigint, or, if it has more than 18 digits, {0}::text", quote(&column.name))
                }
                (Database::Postgres, _) => format!("{}::text", quote(&column.name)),
                (Database::Sqlite, _) => format!("CAST({} AS TEXT)", quote(&column.name)),
            }
        ),
        _ => {
            let names: Vec<_> = key.iter().map(|column| column.name.as_str()).collect();
            let parts: Vec<_> = names.iter().map(|name| quote(name)).collect();
            format!(
                "{table} has a key of several columns ({}), and exports are in the order of one; make a view of the table \
                 with {} as its id, and name it with --table",
                names.join(", "),
                parts.join(" || '/' || ")
            )
        }
    })
}

/// The column with the addresses: by its name, unless its cells say otherwise, or by its cells.
///
/// # Errors
///
/// Two columns are equally good.
pub(super) fn email(subject: Subject<'_>) -> Result<Option<Found>, Ambiguous> {
    let texts = || subject.usable().filter(move |column| subject.is_text(column));
    let has_addresses = |column: &&Column| subject.samples.are_addresses(&column.name);
    let is_possible = |column: &&Column| !subject.samples.is_filled(&column.name) || has_addresses(column);
    let named = texts().filter(is_possible);
    let ranked = named.filter_map(|column| Some((names::email_rank(&column.name, subject.table)?, column)));
    // Cells go before names. Among columns named equally well, one whose addresses are unique is the one that people sign in with.
    let key = |rank, column: &Column| (!has_addresses(&column), rank, !column.is_unique);
    let keyed: Vec<_> = ranked.map(|(rank, column)| (key(rank, column), column)).collect();
    let best = keyed.iter().map(|(key, _)| *key).min();
    let login = texts().filter(has_addresses).min_by_key(|column| {
        let is_login = names::rank(&column.name, subject.table, names::LOGIN).is_some();
        (!is_login, !column.is_unique)
    });
    // A column that is named so and empty, or nearly so, beside one that has them.
    let filled = |column: &Column| subject.samples.filled(&column.name).count();
    let most = keyed.iter().map(|(_, column)| filled(column)).max().unwrap_or(0);
    let gives_way =
        |login: &&Column| names::email_rank(&login.name, subject.table).is_none() && filled(login) > 2 * most;
    match (best, login) {
        (_, Some(login)) if gives_way(&login) => {
            let is_named = names::rank(&login.name, subject.table, names::LOGIN).is_some();
            let (confidence, reason) = match is_named {
                true => (Confidence::Medium, "a login whose cells are addresses"),
                false => (Confidence::Low, "its cells are addresses, whatever its name says"),
            };
            Ok(Some(Found::column(login, confidence, reason)))
        }
        (Some(best), _) => {
            let equal: Vec<_> =
                keyed.iter().filter(|(key, _)| *key == best).map(|(_, column)| *column).collect();
            let [column] = equal[..] else {
                let columns = equal.iter().map(|column| column.name.clone()).collect();
                return Err(Ambiguous { field: Field::Email, columns });
            };
            let reason =
                if column.is_unique { "named like an address, and unique" } else { "named like an address" };
            let is_sure = keyed.len() == 1 || column.is_unique;
            let confidence = if is_sure { Confidence::High } else { Confidence::Medium };
            Ok(Some(Found::column(column, confidence, reason)))
        }
        (None, _) => Ok(elsewhere::email(subject)),
    }
}

/// What users are called. What tells them apart need not be it.
pub(super) fn name(subject: Subject<'_>) -> Option<Found> {
    let mut found = any_name(subject)?;
    if id(subject).is_some_and(|id| id.from == found.from) {
        found.confidence = found.confidence.min(Confidence::Medium);
        found.reason.push_str("; it is the id, too");
    }
    Some(found)
}

fn any_name(subject: Subject<'_>) -> Option<Found> {
    let texts = || subject.usable().filter(move |column| subject.is_text(column));
    // What is filled goes before what is not.
    let best = |list: &[&str]| {
        let named = names::in_order(texts(), subject.table, list);
        named.min_by_key(|column| !subject.samples.is_filled(&column.name))
    };
    let (first, last) = (best(names::FIRST_NAME), best(names::LAST_NAME));
    if let Some(column) = best(names::FULL_NAME) {
        let is_plain = names::rank(&column.name, subject.table, &["name"]).is_some();
        return Some(match (first, last) {
            (Some(first), None) if is_plain => {
                or_login(subject, name_beside(subject, column, first, [first, column]), &[first, column])
            }
            (None, Some(last)) if is_plain => {
                or_login(subject, name_beside(subject, column, last, [column, last]), &[column, last])
            }
            _ => or_login(
                subject,
                Found::column(column, Confidence::High, "named like a full name"),
                &[column],
            ),
        });
    }
    if let (Some(first), Some(last)) = (first, last) {
        let found = Found::sql(joined([first, last]), Confidence::High, "first and last name");
        return Some(or_login(subject, found, &[first, last]));
    }
    if let Some(found) = elsewhere::name(subject) {
        return Some(found);
    }
    let column = best(names::LOGIN_NAME)?;
    Some(Found::column(column, Confidence::Medium, "there is no full name; this is what the user is called"))
}

/// Or the login, for those who have none of the parts of a name, where a row of the sample shows that there are some.
fn or_login(subject: Subject<'_>, found: Found, parts: &[&Column]) -> Found {
    let samples = subject.samples;
    let has_name = |row: &usize| parts.iter().any(|part| samples.is_filled_in(&part.name, *row));
    let (with, without): (Vec<_>, Vec<_>) = (0..samples.rows()).partition(has_name);
    let logins = subject.usable().filter(|column| subject.is_text(column));
    let ranked = logins.filter_map(|column| {
        let login = names::rank(&column.name, subject.table, names::LOGIN_NAME);
        // Beside a real name, a plain name is a login.
        let plain = names::rank(&column.name, subject.table, &["name"]).map(|_| usize::MAX);
        let is_part = parts.iter().any(|part| part.name == column.name);
        Some((login.or(plain).filter(|_| !is_part)?, column))
    });
    let helps = |login: &Column| {
        !with.is_empty() && without.iter().any(|row| samples.is_filled_in(&login.name, *row))
    };
    let login =
        ranked.filter(|(_, login)| helps(login)).min_by_key(|(rank, _)| *rank).map(|(_, column)| column);
    let Some(login) = login else { return found };
    let sql = match &found.from {
        Origin::Column(name) => format!("coalesce(nullif({}, ''), {})", quote(name), quote(&login.name)),
        Origin::Sql(sql) => format!("coalesce({sql}, {})", quote(&login.name)),
        Origin::Nothing => return found,
    };
    let reason = format!("{}, or else the login", found.reason);
    Found::sql(sql, found.confidence.min(Confidence::Medium), reason)
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

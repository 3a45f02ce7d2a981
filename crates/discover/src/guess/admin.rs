//! Whether somebody is an administrator: by a flag, by a word out of a few, or by a role in another table.

use super::{Found, called, flags, names, roles, words};
use crate::{Confidence, Origin, Subject, Suggestion};
use headcount_model::sensitive;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::quote;
use std::collections::BTreeSet;

pub(super) fn is_admin(subject: Subject<'_>) -> Option<Found> {
    let mut hints = Vec::new();
    let (own, elsewhere) = (own(subject, &mut hints), roles::is_admin(subject));
    match (own, elsewhere) {
        (Some(own), Some(elsewhere))
            if elsewhere.from != Origin::Nothing && elsewhere.confidence > Confidence::Low =>
        {
            Some(either(subject, own, elsewhere).with_hints(hints))
        }
        (Some(found), _) | (None, Some(found)) => Some(found.with_hints(hints)),
        (None, None) => Found::hints_only("no column says it in a way that could be read", hints),
    }
}

/// By a column of the table itself; what else its columns may mean is added to the hints.
pub(super) fn own(subject: Subject<'_>, hints: &mut Vec<Suggestion>) -> Option<Found> {
    let mut of_nobody = None;
    for column in called(subject, names::ADMIN) {
        let Some(sign) = flags::yes(subject, column) else {
            hints.extend(numbers(subject, column));
            continue;
        };
        let mut found = Found::sign(&sign);
        let mut cells = subject.samples.filled(&column.name).peekable();
        let names_nobody = cells.peek().is_some() && cells.all(words::is_no) && subject.samples.rows() > 1;
        if !names_nobody {
            // What numbers say, nobody knows here; and who is of the staff need not be an administrator.
            hints.extend(called(subject, names::ROLE).find_map(|column| numbers(subject, column)));
            if !hints.is_empty() {
                let is_staff = names::joined(&column.name).ends_with("staff");
                found.confidence =
                    if is_staff { Confidence::Low } else { found.confidence.min(Confidence::Medium) };
            }
            return Some(found);
        }
        found.reason.push_str("; it is nobody in the sample");
        of_nobody = of_nobody.or(Some(found));
    }
    for column in called(subject, names::ROLE) {
        match role(subject, column) {
            Some(found) => return Some(found),
            None => hints.extend(numbers(subject, column).or_else(|| other_words(subject, column))),
        }
    }
    of_nobody.map(|mut found| {
        // Where another column may say it, who knows.
        found.confidence =
            if hints.is_empty() { found.confidence.min(Confidence::Medium) } else { Confidence::Low };
        found
    })
}

/// Administrators by what the table says of itself, and by roles.
fn either(subject: Subject<'_>, own: Found, roles: Found) -> Found {
    let sql = |found: &Found| match &found.from {
        Origin::Column(name) => subject.table.column(name).map(flags::condition).unwrap_or_default(),
        Origin::Sql(sql) => sql.clone(),
        Origin::Nothing => String::new(),
    };
    let mut found = Found::sql(
        format!("{} OR {}", sql(&own), sql(&roles)),
        own.confidence.min(roles.confidence),
        format!("{}, or {}", own.reason, roles.reason),
    );
    found.reads = roles.reads;
    found.with_hints(own.hints).with_hints(roles.hints)
}

/// A role out of a few, or several in one cell, of which one is an administrator's.
fn role(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    let cells = || subject.samples.filled(&column.name);
    let admins = |roles: &mut dyn Iterator<Item = &str>| {
        let mut found: Vec<_> = roles.filter(|role| words::is_admin(role)).map(str::to_owned).collect();
        found.sort();
        found.dedup();
        (!found.is_empty()).then_some(found)
    };
    let is_list = |open: char, close: char| {
        let mut cells = cells().peekable();
        cells.peek().is_some() && cells.all(|cell| cell.starts_with(open) && cell.ends_with(close))
    };
    // Lists of words only: within objects they may mean anything.
    let has_objects = || cells().any(|cell| cell.contains(['{', ':']));
    if is_list('[', ']') && !has_objects() {
        let found = admins(&mut cells().flat_map(in_quotes))?;
        let sql = match subject.database() {
            Database::Sqlite => format!(
                "CASE WHEN json_valid({quoted}) THEN EXISTS (SELECT 1 FROM json_each({quoted}) AS role WHERE role.value {}) \
                 ELSE 0 END",
                flags::one_of(&found)
            ),
            Database::Postgres => {
                format!(
                    "coalesce(nullif({quoted}::text, '')::jsonb ?| ARRAY[{}], false)",
                    flags::list(&found)
                )
            }
        };
        return Some(Found::sql(sql, Confidence::Medium, "its name, and the words in its JSON arrays"));
    }
    if column.type_name.starts_with('_') && is_list('{', '}') {
        let found =
            admins(&mut cells().flat_map(|cell| {
                cell.trim_matches(['{', '}']).split(',').map(|role| role.trim_matches('"'))
            }))?;
        let sql = format!("coalesce({quoted}::text[] && ARRAY[{}], false)", flags::list(&found));
        return Some(Found::sql(sql, Confidence::Medium, "its name, and the words in its arrays"));
    }
    if !matches!(column.kind, ColumnKind::Text | ColumnKind::Enum) {
        return None;
    }
    if let Some(separator) = separator(&column.name, cells()) {
        let found = admins(&mut cells().flat_map(|cell| cell.split(separator).map(str::trim)))?;
        let sql: Vec<_> =
            found.iter().map(|role| is_in_list(subject.database(), &quoted, separator, role)).collect();
        let reason = format!("its name, and the words in its lists, between which stands '{separator}'");
        return Some(Found::sql(sql.join(" OR "), Confidence::Medium, reason));
    }
    let found = admins(&mut flags::values(subject, column).into_iter())?;
    let sql = flags::is_one_of(subject, column, &found);
    Some(match column.kind {
        // An owner may be one of houses.
        ColumnKind::Enum if !found.iter().all(|role| words::is_owner(role)) => {
            Found::sql(sql, Confidence::High, "its name, and the values of its type")
        }
        ColumnKind::Enum => Found::sql(sql, Confidence::Medium, "its name, and the values of its type"),
        _ => Found::sql(sql, Confidence::Medium, "its name, and the words in the sample"),
    })
}

/// What stands between the roles of one cell, if some cells have several.
fn separator<'a>(column: &str, cells: impl Iterator<Item = &'a str>) -> Option<char> {
    let cells: Vec<_> = cells.collect();
    let splits = |separator: &char| {
        let is_word =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "_-.:".contains(c));
        let all_words = |cell: &&str| cell.split(*separator).map(str::trim).all(is_word);
        cells.iter().any(|cell| cell.contains(*separator)) && cells.iter().all(all_words)
    };
    // `Group Admin` is one role.
    let is_plural = column.ends_with(['s', 'S']);
    [',', ';', '|', ' '].into_iter().filter(|separator| *separator != ' ' || is_plural).find(splits)
}

/// Whether a list in one cell has a role, as a word of its own: others begin or end alike.
fn is_in_list(database: Database, column: &str, separator: char, role: &str) -> String {
    let bare = match separator {
        ' ' => format!("coalesce({column}, '')"),
        _ => format!("replace(coalesce({column}, ''), ' ', '')"),
    };
    let separator = flags::literal(&separator.to_string());
    let role = flags::literal(role);
    match database {
        Database::Sqlite => {
            format!("instr({separator} || {bare} || {separator}, {separator} || {role} || {separator}) > 0")
        }
        Database::Postgres => format!("{role} = ANY (string_to_array({bare}, {separator}))"),
    }
}

/// The texts in a JSON array.
fn in_quotes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('"').skip(1).step_by(2)
}

/// A role as a number, which only the application can read: one of few, or bits.
fn numbers(subject: Subject<'_>, column: &Column) -> Option<Suggestion> {
    let is_reference = subject.table.references.iter().any(|reference| reference.column == column.name);
    if column.kind != ColumnKind::Integer || is_reference {
        return None;
    }
    let values: BTreeSet<_> = subject.samples.integers(&column.name).into_iter().collect();
    let (first, last) = (values.first()?, values.last()?);
    if values.len() > 12 {
        return None;
    }
    let quoted = quote(&column.name);
    // Values that share bits and are far apart are masks; small ones are levels.
    let is_mask = *last >= 16 && values.iter().any(|value| value.count_ones() > 1);
    let listed = values.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    Some(match is_mask {
        true => Suggestion {
            comment: format!(
                "{} holds {listed}, which look like bits. For the bit 1, for example:",
                column.name
            ),
            sql: format!("coalesce({quoted}, 0) & 1 = 1"),
        },
        false => {
            // Of levels the highest, of roles the first.
            let is_level =
                sensitive::words(&column.name).iter().any(|word| matches!(word.as_str(), "level" | "rank"));
            let admin = if is_level { last } else { first };
            Suggestion {
                comment: format!("{} holds {listed}. If {admin} is an administrator:", column.name),
                sql: format!("coalesce({quoted}, -1) = {admin}"),
            }
        }
    })
}

/// Words that are no administrator's that is known, to choose from.
fn other_words(subject: Subject<'_>, column: &Column) -> Option<Suggestion> {
    let values = flags::shown_values(subject, column)?;
    let is_text = matches!(column.kind, ColumnKind::Text | ColumnKind::Enum);
    let first = values.first().filter(|_| is_text)?;
    let sql = format!("coalesce({}, '') = {}", flags::as_text(subject, column), flags::literal(first));
    let listed = values.join(", ");
    Some(Suggestion {
        comment: format!("{} holds {listed}. If the first is an administrator:", column.name),
        sql,
    })
}

//! Whether somebody is active: whatever says that somebody is not counts, and all of it together.

use super::flags::{self, Sign};
use super::{Found, called, names, words};
use crate::others::Others;
use crate::{Confidence, Subject, Suggestion};
use headcount_model::sensitive;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::quote;

pub(super) fn is_active(subject: Subject<'_>) -> Option<Found> {
    let mut signs = Vec::new();
    let mut hints = Vec::new();
    for (list, read) in READERS {
        for column in called(subject, list) {
            if signs.iter().any(|sign: &Sign<'_>| sign.column.name == column.name) {
                continue;
            }
            signs.extend(read(subject, column));
        }
    }
    for column in called(subject, names::STATUS) {
        let is_read = signs.iter().any(|sign: &Sign<'_>| sign.column.name == column.name);
        hints.extend(unread(subject, column).filter(|_| !is_read));
    }
    let signs: Vec<_> = signs.into_iter().map(|sign| ending(subject, sign, &mut hints)).collect();
    // What would leave nobody active is not meant so, such as a confirmation that is never asked for.
    let is_borne_out = |sign: &Sign<'_>| !names_everybody_inactive(subject, sign.column);
    let (kept, dropped): (Vec<_>, Vec<_>) = signs.into_iter().partition(is_borne_out);
    hints.extend(dropped.iter().map(|sign| Suggestion {
        comment: format!("{} says so of nobody in the sample. If it counts, join:", sign.column.name),
        sql: sign.sql.clone(),
    }));
    hints.extend(of_its_own(subject));
    match joined(&kept) {
        Some(mut found) => {
            if !hints.is_empty() {
                found.confidence = found.confidence.min(Confidence::Medium);
            }
            if has_no_password(subject) {
                found.confidence = found.confidence.min(Confidence::Medium);
                found.reason.push_str("; some have no password, and may only be invited");
            }
            Some(found.with_hints(hints))
        }
        None => Found::hints_only("no column says it in a way that could be read", hints),
    }
}

/// Whether some of the sample have no password where others have one.
fn has_no_password(subject: Subject<'_>) -> bool {
    let is_password = |column: &&Column| {
        sensitive::by_name(&column.name).is_some_and(|rule| matches!(rule, "password" | "passwd" | "pwd"))
    };
    let mut passwords = subject.table.columns.iter().filter(is_password);
    passwords.any(|column| subject.samples.has_nulls(&column.name) && subject.samples.is_filled(&column.name))
}

/// What makes all users of something inactive, such as the organization that they are of: a hint, because it may be no matter.
fn of_its_own(subject: Subject<'_>) -> Option<Suggestion> {
    subject.table.references.iter().find_map(|reference| {
        let table = subject.catalogue.tables.iter().find(|table| table.name == reference.table)?;
        let is_other = table.name != subject.table.name;
        let flag = table.columns.iter().find(|column| {
            column.kind == ColumnKind::Bool && names::rank(&column.name, table, names::INACTIVE).is_some()
        });
        let flag = flag.filter(|_| is_other)?;
        let comment = format!("{} of {} is not looked at. If it counts, join:", flag.name, table.name);
        let sql = format!(
            "NOT EXISTS (SELECT 1 FROM {} AS o WHERE o.{} = {}.{} AND o.{})",
            Others::written(table),
            quote(&reference.to),
            quote(subject.table.name.name()),
            quote(&reference.column),
            quote(&flag.name)
        );
        Some(Suggestion { comment, sql })
    })
}

/// A ban that a column beside it ends: over is over.
fn ending<'a>(subject: Subject<'a>, mut sign: Sign<'a>, hints: &mut Vec<Suggestion>) -> Sign<'a> {
    let is_negative = sign.says.starts_with("not ");
    let end = subject
        .usable()
        .find(|column| is_negative && names::is_end_of_a_ban(&column.name, &sign.column.name));
    let Some(end) = end else { return sign };
    sign.is_sure = false;
    match (subject.database(), end.kind) {
        (Database::Postgres, ColumnKind::Timestamp) => {
            sign.sql = format!("({} OR coalesce({} <= now(), false))", sign.sql, quote(&end.name));
            sign.says.push_str(&format!(" any more ({})", end.name));
        }
        _ => hints.push(Suggestion {
            comment: format!(
                "{} says when that ends, which is not looked at here, because it would take the clock. With times as text:",
                end.name
            ),
            sql: format!("{} OR coalesce({} <= CURRENT_TIMESTAMP, 0)", sign.sql, quote(&end.name)),
        }),
    }
    sign
}

type Reader = for<'a> fn(Subject<'a>, &'a Column) -> Option<Sign<'a>>;

/// The lists of names, each with how a column of it is read.
const READERS: [(&[&str], Reader); 6] = [
    (names::ACTIVE, flags::yes),
    (names::STATUS, state),
    (names::INACTIVE, flags::no),
    (names::INACTIVE_TIMES, |subject, column| {
        let is_flag_name = names::rank(&column.name, subject.table, names::INACTIVE).is_some();
        flags::never(subject, column, is_flag_name)
    }),
    (names::CONFIRMED, flags::yes),
    (names::CONFIRMED, flags::once),
];

/// A state out of a few: those that say "active", or, if none does, all but those that say something else.
fn state<'a>(subject: Subject<'a>, column: &'a Column) -> Option<Sign<'a>> {
    if !matches!(column.kind, ColumnKind::Text | ColumnKind::Enum) {
        return None;
    }
    let values = flags::values(subject, column);
    let active: Vec<_> = values.iter().copied().filter(|value| words::is_active(value)).collect();
    let inactive: Vec<_> = values.iter().copied().filter(|value| words::is_inactive(value)).collect();
    let sql = match (&active[..], &inactive[..]) {
        ([], []) => return None,
        ([], inactive) => {
            format!("coalesce({}, '') NOT IN ({})", flags::as_text(subject, column), flags::list(inactive))
        }
        (active, _) => flags::is_one_of(subject, column, active),
    };
    let others: Vec<_> =
        values.iter().copied().filter(|value| !active.contains(value) && !inactive.contains(value)).collect();
    let mut by = match column.kind {
        ColumnKind::Enum => "its name, and the values of its type".to_owned(),
        _ => "its name, and the words in the sample".to_owned(),
    };
    if !others.is_empty() {
        by.push_str(&format!("; there are {}, too", others.join(", ")));
    }
    let says = if active.is_empty() {
        format!("no other {}", column.name)
    } else {
        format!("{} {}", column.name, active.join(" or "))
    };
    let is_sure = column.kind == ColumnKind::Enum && !active.is_empty();
    Some(Sign { is_sure, ..Sign::of(column, sql, says, by) })
}

/// What a column may mean that holds numbers, or words that nobody knows.
fn unread(subject: Subject<'_>, column: &Column) -> Option<Suggestion> {
    let values = flags::shown_values(subject, column)?;
    let first = subject.samples.most_frequent(&column.name).or(values.first().copied())?;
    let example = match column.kind {
        ColumnKind::Integer => format!("{} = {first}", quote(&column.name)),
        ColumnKind::Text | ColumnKind::Enum if values.len() > 1 => {
            format!("{} = {}", flags::as_text(subject, column), flags::literal(first))
        }
        _ => return None,
    };
    let values = values.join(", ");
    Some(Suggestion {
        comment: format!("{} holds {values}, and may say who is active; if most are:", column.name),
        sql: example,
    })
}

/// Whether every row of the sample is one of those that a column says are not active; one row alone says nothing.
fn names_everybody_inactive(subject: Subject<'_>, column: &Column) -> bool {
    let is_positive = [names::ACTIVE, names::CONFIRMED]
        .iter()
        .any(|list| names::rank(&column.name, subject.table, list).is_some());
    let says_no = |cell: Option<&str>| cell.is_none_or(|cell| cell.is_empty() || words::is_no(cell));
    let cells = subject.samples.cells(&column.name);
    cells.len() > 1
        && cells.iter().map(Option::as_deref).all(|cell| says_no(cell) == is_positive)
        && !matches!(column.kind, ColumnKind::Enum)
        && names::rank(&column.name, subject.table, names::STATUS).is_none()
}

fn joined(signs: &[Sign<'_>]) -> Option<Found> {
    let all_sure = signs.iter().all(|sign| sign.is_sure);
    let confidence = if all_sure { Confidence::High } else { Confidence::Medium };
    match signs {
        [] => None,
        [sign] if sign.says == sign.column.name => Some(Found::sign(sign)),
        [sign] => Some(Found::sql(sign.sql.clone(), confidence, format!("{}: {}", sign.says, sign.by))),
        _ => {
            let sql: Vec<_> = signs.iter().map(Sign::condition).collect();
            let says: Vec<_> = signs.iter().map(|sign| sign.says.as_str()).collect();
            Some(Found::sql(sql.join(" AND "), confidence, says.join(", ")))
        }
    }
}

//! What is wrong with a proposal, as far as it shows: in the mapping, and in a few rows read through it.

use super::guess::names;
use super::{Confidence, Field, Mapped, Origin, Proposal, Subject, TimestampEncoding};
use headcount_model::sensitive;
use headcount_model::timestamp::Timestamp;
use headcount_source::catalogue::{Row, Sample};
use headcount_source::quote;
use std::collections::BTreeSet;

/// What the mapping itself shows.
pub(super) fn of_mapping(proposal: &Proposal, subject: Subject<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for mapped in &proposal.columns {
        match &mapped.from {
            // A preset that knows why there is nothing is sure of it.
            Origin::Nothing if mapped.confidence == Confidence::Low => {
                warnings.push(format!(
                    "{}: {}, so it is empty for everybody",
                    mapped.field.name(),
                    mapped.reason
                ));
            }
            Origin::Column(name) if subject.table.column(name).is_some_and(|column| !column.is_readable) => {
                warnings.push(format!("{}: this role may not read column {name}", mapped.field.name()));
            }
            Origin::Column(name) if mapped.field == Field::Id && holds_addresses(subject, name) => {
                warnings.push(format!(
                    "id: column {name} holds addresses, and ids stand in the audit, in the log and in error texts"
                ));
            }
            Origin::Sql(_) if mapped.field == Field::Name && mapped.confidence == Confidence::Low => {
                warnings.push(format!("name: {}", mapped.reason));
            }
            _ => {}
        }
    }
    if subject.table.has_row_security {
        warnings.push(format!(
            "row security is on for {}: a role that is not its owner needs BYPASSRLS, or its exports fail",
            subject.table.name
        ));
    }
    warnings
}

fn holds_addresses(subject: Subject<'_>, column: &str) -> bool {
    subject.samples.are_addresses(column) || names::email_rank(column, subject.table).is_some()
}

/// The name in a mapping that looks like a credential's, if there is one.
pub fn credential(from: &Origin) -> Option<String> {
    let names = match from {
        Origin::Column(name) => vec![name.clone()],
        Origin::Sql(sql) => sensitive::identifiers(sql),
        Origin::Nothing => Vec::new(),
    };
    names.into_iter().find(|name| sensitive::by_name(name).is_some())
}

/// The rows that the mapping gives: every field, of the first users in the order of their ids.
pub fn request(proposal: &Proposal, subject: Subject<'_>, limit: u32) -> Sample {
    let expressions = proposal.columns.iter().map(|mapped| mapped.expression(proposal.database)).collect();
    // Without an index the order would be a sort of the whole table.
    let id = proposal.columns.iter().find_map(|mapped| match &mapped.from {
        Origin::Column(name) if mapped.field == Field::Id => subject.table.column(name),
        _ => None,
    });
    Sample {
        table: subject.table.name.clone(),
        expressions,
        condition: proposal.condition.as_ref().map(|condition| condition.sql.clone()),
        order_by: id.filter(|id| id.is_indexed).map(|id| quote(&id.name)),
        limit,
        search_path: proposal.search_path.clone(),
    }
}

/// What the rows show: cells that an export would refuse, or that are not what their column is for.
pub fn of_rows(proposal: &Proposal, rows: &[Row]) -> Vec<String> {
    let warnings = proposal.columns.iter().enumerate().filter_map(|(at, mapped)| {
        let cells: Vec<_> = rows.iter().map(|row| row.get(at).and_then(Option::as_deref)).collect();
        of_cells(mapped, proposal.timestamps, &cells)
    });
    warnings.collect()
}

fn of_cells(mapped: &Mapped, timestamps: TimestampEncoding, cells: &[Option<&str>]) -> Option<String> {
    let problem = match mapped.field {
        Field::Id => return of_ids(cells),
        Field::Name => return None,
        Field::Email => "do not look like addresses",
        Field::CreatedAt | Field::UpdatedAt => "are no times; an export would fail at them",
        Field::IsActive | Field::IsAdmin => "are no booleans (or 0 and 1); an export would fail at them",
    };
    let misfits = cells.iter().flatten().filter(|cell| !is_fit(mapped.field, cell, timestamps)).count();
    (misfits > 0)
        .then(|| format!("{}: {misfits} of {} sampled cells {problem}", mapped.field.name(), cells.len()))
}

fn is_fit(field: Field, cell: &str, timestamps: TimestampEncoding) -> bool {
    match field {
        Field::Email => cell.is_empty() || cell.contains('@'),
        Field::CreatedAt | Field::UpdatedAt => is_time(cell, timestamps),
        Field::IsActive | Field::IsAdmin => matches!(cell, "t" | "f" | "0" | "1" | "true" | "false"),
        Field::Id | Field::Name => true,
    }
}

fn of_ids(cells: &[Option<&str>]) -> Option<String> {
    let different: BTreeSet<_> = cells.iter().flatten().collect();
    if cells.iter().any(Option::is_none) {
        return Some("id: NULL in the sample; an export would fail at it".to_owned());
    }
    (different.len() < cells.len())
        .then(|| "id: the sample has the same id twice, so it is not unique".to_owned())
}

fn is_time(cell: &str, timestamps: TimestampEncoding) -> bool {
    match cell.parse::<i64>() {
        Ok(integer) => timestamps.of_integer(integer).is_some(),
        Err(_) => Timestamp::parse_database_text(cell.as_bytes()).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(field: Field, cells: &[Option<&str>]) -> Option<String> {
        let mapped =
            Mapped { field, from: Origin::Nothing, confidence: Confidence::High, reason: String::new() };
        of_cells(&mapped, TimestampEncoding::Auto, cells)
    }

    #[test]
    fn cells_that_do_not_fit_are_counted_and_not_shown() {
        for (field, cells, expected) in [
            (Field::Id, &[Some("1"), Some("2")][..], None),
            (Field::Id, &[Some("1"), None], Some("NULL in the sample")),
            (Field::Id, &[Some("1"), Some("1")], Some("same id twice")),
            (Field::Email, &[Some("a@b"), None, Some("")], None),
            (
                Field::Email,
                &[Some("a@b"), Some("Ada")],
                Some("email: 1 of 2 sampled cells do not look like addresses"),
            ),
            (Field::CreatedAt, &[Some("2025-01-08 10:30:00+00"), Some("1736332200"), None], None),
            (Field::CreatedAt, &[Some("infinity")], Some("created_at: 1 of 1")),
            (Field::CreatedAt, &[Some("yesterday")], Some("created_at: 1 of 1")),
            (Field::CreatedAt, &[Some("1736332200000")], Some("created_at: 1 of 1")),
            (Field::IsActive, &[Some("t"), Some("0"), None], None),
            (Field::IsAdmin, &[Some("2"), Some("yes")], Some("is_admin: 2 of 2")),
        ] {
            let found = problem(field, cells);
            assert_eq!(found.is_some(), expected.is_some(), "{field:?} {cells:?} {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }

    #[test]
    fn an_expression_cannot_hide_a_credential() {
        let found = |sql: &str| credential(&Origin::Sql(sql.to_owned()));
        assert_eq!(found("coalesce(name, \"passwordHash\")").as_deref(), Some("passwordHash"));
        assert_eq!(found("name || 'password'"), None);
        assert_eq!(credential(&Origin::Column("salt".to_owned())).as_deref(), Some("salt"));
    }
}

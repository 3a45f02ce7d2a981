//! What is wrong with a proposal, as far as it shows: in the mapping, and in a few rows read through it.

use super::guess::names;
use super::{Confidence, Field, Mapped, Origin, Proposal, Subject, Suggestion, TimestampEncoding};
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

/// One field alone, of one row; nothing where it is no expression.
pub fn request_of(proposal: &Proposal, subject: Subject<'_>, field: Field) -> Option<Sample> {
    let mapped = proposal.columns.iter().find(|mapped| mapped.field == field)?;
    let Origin::Sql(sql) = &mapped.from else { return None };
    Some(Sample { expressions: vec![sql.clone()], order_by: None, ..request(proposal, subject, 1) })
}

/// Takes an expression out that the database refuses; it stays as something to choose from.
pub fn take_out(proposal: &mut Proposal, field: Field, error: &str) {
    for mapped in proposal.columns.iter_mut().filter(|mapped| mapped.field == field) {
        if let Origin::Sql(sql) = std::mem::replace(&mut mapped.from, Origin::Nothing) {
            let comment = format!("The database refuses it here ({error}):");
            mapped.hints.insert(0, Suggestion { comment, sql });
        }
        mapped.confidence = Confidence::Low;
        mapped.reason = "what was found could not be tried".to_owned();
        mapped.reads.clear();
        proposal.warnings.push(format!("{}: {error}, so it is empty for everybody", field.name()));
    }
}

/// Looks at rows that the mapping gives: cells that an export would refuse, or that are not what their column is for, are warned
/// of, and nothing is sure that they contradict.
pub fn look_at(proposal: &mut Proposal, rows: &[Row]) {
    for (at, mapped) in proposal.columns.iter_mut().enumerate() {
        let cells: Vec<_> = rows.iter().map(|row| row.get(at).and_then(Option::as_deref)).collect();
        if let Some(warning) = of_cells(mapped, proposal.timestamps, &cells) {
            mapped.confidence = Confidence::Low;
            proposal.warnings.push(warning);
        }
    }
}

/// The times of the users who came last, by their ids; nothing where that would take a sort, or where the times have a zone.
pub fn newest(proposal: &Proposal, subject: Subject<'_>) -> Option<Sample> {
    let created = proposal.columns.iter().find(|mapped| mapped.field == Field::CreatedAt)?;
    let Origin::Column(name) = &created.from else { return None };
    let request = request(proposal, subject, NEWEST);
    let order_by = request.order_by.as_ref().filter(|_| proposal.without_zone.contains(name))?;
    Some(Sample { expressions: vec![quote(name)], order_by: Some(format!("{order_by} DESC")), ..request })
}

/// Rows that are read for that.
pub const NEWEST: u32 = 20;

/// Times that are still to come were not written in UTC.
pub fn look_at_the_clock(proposal: &mut Proposal, newest: &[Row], now: Timestamp) {
    let times =
        newest.iter().filter_map(|row| Timestamp::parse_database_text(row.first()?.as_ref()?.as_bytes()));
    let Some(last) = times.max() else { return };
    let ahead = last.micros() - now.micros();
    const MINUTE: i64 = 60_000_000;
    // No zone is further east.
    if (5 * MINUTE..14 * 60 * MINUTE).contains(&ahead) {
        let hours = (ahead + 59 * MINUTE) / (60 * MINUTE);
        proposal.warnings.push(format!(
            "created_at: the newest of the users is up to {hours} h ahead of the clock, so its times are not in UTC; set source.stored_time_zone \
             to the zone of the application"
        ));
        for mapped in proposal.columns.iter_mut().filter(|mapped| mapped.field == Field::CreatedAt) {
            mapped.confidence = Confidence::Low;
        }
    }
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
        let mapped = Mapped::new(field, Origin::Nothing, Confidence::High, String::new());
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

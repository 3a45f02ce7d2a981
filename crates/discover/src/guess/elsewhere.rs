//! Addresses and names of users in tables of their own, beside that of the users.

use super::flags::{self, Sign};
use super::roles::{Step, to_users};
use super::{Found, names};
use crate::others::Others;
use crate::{Confidence, Subject};
use headcount_model::sensitive;
use headcount_source::catalogue::{Column, ColumnKind, Table};
use headcount_source::quote;

/// Words in the names of tables with a user's own addresses. Contacts, invitations and the like have those of others.
const ADDRESSES: [&str; 9] =
    ["email", "emails", "mail", "mails", "address", "addresses", "identity", "identities", "threepids"];
const OTHERS: [&str; 34] = [
    "collected",
    "contact",
    "contacts",
    "invitation",
    "invitations",
    "log",
    "logs",
    "history",
    "change",
    "changes",
    "verification",
    "template",
    "templates",
    "queue",
    "blocked",
    "blacklist",
    "banned",
    "whitelist",
    "allowed",
    "denied",
    "suppressed",
    "bounced",
    "bounces",
    "unsubscribed",
    "subscription",
    "subscriptions",
    "newsletter",
    "sent",
    "received",
    "recipients",
    "message",
    "messages",
    "old",
    "pending",
];
/// Words in the names of tables with what a user is called.
const PROFILES: [&str; 4] = ["profile", "profiles", "identity", "identities"];
/// Words in the names of tables with what a user is, to which that of the users refers.
const PERSONS: [&str; 10] = [
    "partner", "person", "persons", "people", "party", "profile", "profiles", "contact", "contacts",
    "employee",
];
/// What marks the first of several.
const FIRST: [&str; 7] = ["default", "isdefault", "primary", "isprimary", "main", "standard", "preferred"];

fn texts(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|column| column.kind == ColumnKind::Text && column.is_readable)
}

/// The address of a user, where another table has it.
pub(super) fn email(subject: Subject<'_>) -> Option<Found> {
    let of_table = |table: &Table| {
        let is_of_mail = sensitive::words(table.name.name())
            .iter()
            .any(|word| word.contains("mail") || word == "threepids");
        let rank = |column: &Column| {
            let is_address = is_of_mail && ["address", "value"].contains(&column.name.as_str());
            names::email_rank(&column.name, table).or(is_address.then_some(4))
        };
        let ranked = texts(table).filter_map(|column| Some((rank(column)?, column.name.clone())));
        ranked.min().map(|(_, column)| column)
    };
    found(subject, &ADDRESSES, of_table, "the first address")
}

/// What a user is called, where another table has it.
pub(super) fn name(subject: Subject<'_>) -> Option<Found> {
    let of_table = |table: &Table| {
        names::in_order(texts(table), table, names::FULL_NAME).next().map(|column| column.name.clone())
    };
    found(subject, &PROFILES, of_table, "the name").filter(|found| found.confidence > Confidence::Low)
}

/// The first table whose name says so, and that refers to the users.
fn found(
    subject: Subject<'_>,
    words: &[&str],
    column: impl Fn(&Table) -> Option<String>,
    what: &str,
) -> Option<Found> {
    let users = subject.table;
    if let Some(found) = of_person(subject, &column, what) {
        return Some(found);
    }
    let tables = subject.catalogue.tables.iter().filter(|table| {
        let called = sensitive::words(table.name.name());
        let has = |list: &[&str]| called.iter().any(|word| list.contains(&word.as_str()));
        has(words)
            && !has(&OTHERS)
            && !table.is_view
            && !std::ptr::eq(*table, users)
            && table.name.schema() == users.name.schema()
    });
    let mut tables = tables.filter_map(|table| Some((table, column(table)?, to_users(table, users)?)));
    let (table, column, (step, is_declared)) = tables.next()?;
    let confidence = if is_declared { Confidence::Medium } else { Confidence::Low };
    let (sql, columns) = select(subject, table, &column, step);
    Some(Found::sql(sql, confidence, format!("{what} in {}", table.name)).reading(table, columns))
}

/// What the person says to which a user refers.
fn of_person(subject: Subject<'_>, column: &impl Fn(&Table) -> Option<String>, what: &str) -> Option<Found> {
    let mut tables = subject.table.references.iter().filter_map(|reference| {
        let table = subject.catalogue.tables.iter().find(|table| table.name == reference.table)?;
        let called = sensitive::words(table.name.name());
        let person = called.last().filter(|word| PERSONS.contains(&word.as_str()))?;
        // `partner_id`, and not `emergency_contact_id` or `manager_id`, which is somebody else.
        let own = names::joined(&reference.column);
        let own = own.strip_suffix("id").unwrap_or(&own);
        let is_own = own == person || person.strip_suffix('s') == Some(own);
        (is_own && table.name != subject.table.name).then_some(())?;
        Some((table, column(table)?, reference))
    });
    let (table, column, reference) = tables.next()?;
    let sql = format!(
        "(SELECT e.{} FROM {} AS e WHERE e.{} = {}.{})",
        quote(&column),
        Others::written(table),
        quote(&reference.to),
        quote(subject.table.name.name()),
        quote(&reference.column)
    );
    let found = Found::sql(sql, Confidence::Medium, format!("{what} in {}", table.name));
    Some(found.reading(table, vec![reference.to.clone(), column]))
}

/// The cell of the first row of a user, and the columns that finding it takes.
fn select(subject: Subject<'_>, table: &Table, column: &str, step: Step<'_>) -> (String, Vec<String>) {
    let mut columns = vec![step.column.to_owned(), column.to_owned()];
    let mut conditions =
        format!("e.{} = {}.{}", quote(step.column), quote(subject.table.name.name()), quote(step.to));
    let mut order = Vec::new();
    if let Some(medium) = table.columns.iter().find(|column| column.name == "medium") {
        conditions.push_str(" AND e.\"medium\" = 'email'");
        columns.push(medium.name.clone());
    }
    let of_table = Subject { table, samples: &Default::default(), ..subject };
    let is_gone = |column: &&Column| {
        names::rank(&column.name, table, names::INACTIVE).is_some() || column.name == "del"
    };
    if let Some(Sign { column: gone, .. }) =
        table.columns.iter().filter(is_gone).find_map(|column| flags::no(of_table, column))
    {
        let no = match gone.kind {
            ColumnKind::Bool => format!("e.{} IS NOT TRUE", quote(&gone.name)),
            _ => format!("coalesce(e.{}, 0) = 0", quote(&gone.name)),
        };
        conditions.push_str(&format!(" AND {no}"));
        columns.push(gone.name.clone());
    }
    // The users may refer to one of theirs.
    if let Some(own) = subject.table.references.iter().find(|reference| reference.table == table.name) {
        let is_it =
            format!("e.{} = {}.{}", quote(&own.to), quote(subject.table.name.name()), quote(&own.column));
        order.push(format!("CASE WHEN {is_it} THEN 0 ELSE 1 END"));
        columns.push(own.to.clone());
    }
    let is_first = |column: &&Column| {
        matches!(column.kind, ColumnKind::Bool | ColumnKind::Integer)
            && FIRST.contains(&names::joined(&column.name).as_str())
    };
    if let Some(first) = table.columns.iter().find(is_first) {
        let is_it = if first.kind == ColumnKind::Bool { "" } else { " = 1" };
        order.push(format!("CASE WHEN e.{}{is_it} THEN 0 ELSE 1 END", quote(&first.name)));
        columns.push(first.name.clone());
    }
    let key = table.columns.iter().find(|column| column.in_primary_key && column.is_unique);
    let last = key.map_or(column, |key| key.name.as_str());
    order.push(format!("e.{}", quote(last)));
    if !columns.iter().any(|known| known == last) {
        columns.push(last.to_owned());
    }
    let sql = format!(
        "(SELECT e.{} FROM {} AS e WHERE {conditions} ORDER BY {} LIMIT 1)",
        quote(column),
        Others::written(table),
        order.join(", ")
    );
    (sql, columns)
}

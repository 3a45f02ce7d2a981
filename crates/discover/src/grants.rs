//! The least that a PostgreSQL role needs for the exports: statements for somebody who may grant it.

use super::{Mapped, Origin, Proposal, Subject};
use headcount_model::sensitive;
use headcount_model::text::visible;
use headcount_source::catalogue::{Catalogue, Database, Table};
use headcount_source::{TableName, quote};
use std::collections::BTreeSet;

/// `CREATE ROLE` and `GRANT`s for the columns that are read, and no others; `None` on SQLite, which has no roles.
pub fn statements(proposal: &Proposal, subject: Subject<'_>, catalogue: &Catalogue) -> Option<String> {
    let database = catalogue.name.as_ref().filter(|_| proposal.database == Database::Postgres)?;
    let table = &subject.table.name;
    let bypass = if subject.table.has_row_security { " BYPASSRLS" } else { "" };
    let mut statements = format!(
        "CREATE ROLE headcount LOGIN{bypass} PASSWORD '...';\nGRANT CONNECT ON DATABASE {} TO headcount;\n",
        visible(&quote(database))
    );
    if let Some(schema) = table.schema() {
        statements.push_str(&format!("GRANT USAGE ON SCHEMA {} TO headcount;\n", visible(&quote(schema))));
    }
    statements.push_str(&select(table, &columns(proposal, subject.table)));
    for (other, columns) in proposal.preset.map_or(&[][..], |preset| preset.reads) {
        let other = TableName::new(table.schema().map(str::to_owned), (*other).to_owned());
        statements.push_str(&select(&other, columns));
    }
    for (other, columns) in proposal.columns.iter().flat_map(|mapped| &mapped.reads) {
        if let Some(schema) = other.schema().filter(|schema| Some(*schema) != table.schema()) {
            statements
                .push_str(&format!("GRANT USAGE ON SCHEMA {} TO headcount;\n", visible(&quote(schema))));
        }
        statements.push_str(&select(other, &columns.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    Some(statements)
}

/// Names stay on their line, whatever is in them: what follows could look like a statement of ours.
fn select(table: &TableName, columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| visible(&quote(column))).collect();
    format!("GRANT SELECT ({}) ON {} TO headcount;\n", columns.join(", "), visible(&table.quoted()))
}

/// The table's columns that the mapping and its condition name, in the order of the table.
pub fn columns<'a>(proposal: &Proposal, table: &'a Table) -> Vec<&'a str> {
    let mut named: BTreeSet<String> = proposal.columns.iter().flat_map(names).collect();
    named.extend(proposal.condition.iter().flat_map(|condition| sensitive::identifiers(&condition.sql)));
    // PostgreSQL folds names that are not quoted; a name too many in another table's part of an expression is no harm.
    let is_named = |column: &str| named.iter().any(|name| name == column || name.to_lowercase() == column);
    let columns = table.columns.iter().map(|column| column.name.as_str());
    columns.filter(|column| is_named(column) && sensitive::by_name(column).is_none()).collect()
}

fn names(mapped: &Mapped) -> Vec<String> {
    match &mapped.from {
        Origin::Column(name) => vec![name.clone()],
        Origin::Sql(sql) => sensitive::identifiers(sql),
        Origin::Nothing => Vec::new(),
    }
}

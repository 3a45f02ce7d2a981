//! Finds a table by the name that somebody typed.

use headcount_model::text::visible;
use headcount_source::TableName;
use headcount_source::catalogue::{Catalogue, Table};

/// The table of this name: exactly, or else whatever the case. Without a schema the one goes first that the name alone means.
///
/// # Errors
///
/// There is none, or there are several; with their names.
pub fn find<'a>(catalogue: &'a Catalogue, name: &TableName) -> Result<&'a Table, String> {
    let is_same = |table: &&Table, equal: fn(&str, &str) -> bool| {
        let schema_fits = match (name.schema(), table.name.schema()) {
            (Some(wanted), Some(schema)) => equal(wanted, schema),
            (Some(wanted), None) => equal(wanted, "main"),
            (None, _) => true,
        };
        schema_fits && equal(name.name(), table.name.name())
    };
    let matching = |equal| catalogue.tables.iter().filter(|table| is_same(table, equal)).collect::<Vec<_>>();
    let mut found = matching(|wanted, name| wanted == name);
    if found.is_empty() {
        found = matching(|wanted, name| wanted.to_lowercase() == name.to_lowercase());
    }
    if let [table] = found[..] {
        return Ok(table);
    }
    let meant: Vec<_> = found.iter().copied().filter(|table| table.is_found_by_name).collect();
    if let (None, [table]) = (name.schema(), &meant[..]) {
        return Ok(table);
    }
    if found.is_empty() {
        return Err(format!("there is no table {name}; the tables are {}", listed(catalogue.tables.iter())));
    }
    Err(format!("there are several tables {name}; say which: {}", listed(found.into_iter())))
}

/// Names, at most so many that they can be read.
pub fn listed<'a>(tables: impl Iterator<Item = &'a Table>) -> String {
    const SHOWN: usize = 30;
    let names: Vec<_> = tables.map(|table| visible(&table.name.parseable())).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count <= SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{catalogue, table};

    #[test]
    fn names_are_found_by_schema_and_case() {
        let named = ["a.users", "public.users", "b.Odd", "c.Odd", "d.people", "public.people", "e.staff"];
        let mut tables: Vec<_> = named.iter().map(|name| table(name, &[])).collect();
        for table in &mut tables {
            table.is_found_by_name = ["a.users", "d.people"].contains(&table.name.to_string().as_str());
        }
        let catalogue = catalogue(tables);
        let found = |name: &str| {
            let name: TableName = name.parse().expect("a name");
            find(&catalogue, &name).map(|table| table.name.to_string())
        };
        assert_eq!(found("a.users").as_deref(), Ok("a.users"));
        assert_eq!(found("public.users").as_deref(), Ok("public.users"));
        assert_eq!(found("users").as_deref(), Ok("a.users"));
        assert_eq!(found("People").as_deref(), Ok("d.people"));
        assert_eq!(found("staff").as_deref(), Ok("e.staff"));
        assert_eq!(found("b.odd").as_deref(), Ok("b.Odd"));
        assert!(found("odd").is_err_and(|error| error.contains("b.Odd, c.Odd")));
        assert!(found("persons").is_err_and(|error| error.contains("public.users")));
    }
}

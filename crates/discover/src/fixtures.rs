//! Catalogues in a few words, for the tests.

use headcount_source::TableName;
use headcount_source::catalogue::{Catalogue, Column, ColumnKind, Database, Reference, Table};

pub(crate) fn catalogue(tables: Vec<Table>) -> Catalogue {
    Catalogue {
        database: Database::Postgres,
        name: Some("app".to_owned()),
        time_zone: Some("UTC".to_owned()),
        tables,
    }
}

/// A table with columns such as `id pk int`, `email text unique`, `role enum=user,admin null` or `role_id int ->roles.id`.
pub(crate) fn table(name: &str, columns: &[&str]) -> Table {
    let name: TableName = name.parse().expect("a name");
    let references = columns.iter().filter_map(|column| {
        let (own, words) = column.split_once(' ')?;
        let (table, to) = words.split_once("->")?.1.split_once('.')?;
        Some(Reference {
            column: own.to_owned(),
            table: table.parse().expect("a name"),
            to: to.split(' ').next().unwrap_or_default().to_owned(),
        })
    });
    let references = references.collect();
    let mut columns: Vec<_> = columns.iter().map(|column| self::column(column)).collect();
    let keys = columns.iter().filter(|column| column.in_primary_key).count();
    columns.iter_mut().for_each(|column| column.is_unique |= column.in_primary_key && keys == 1);
    Table {
        name,
        is_view: false,
        rows: None,
        referenced_by: 0,
        references,
        has_row_security: false,
        is_found_by_name: true,
        columns,
    }
}

fn column(text: &str) -> Column {
    let (name, words) = text.split_once(' ').expect("a name and a type");
    let words: Vec<_> = words.split(' ').collect();
    let labels = words.iter().find_map(|word| word.strip_prefix("enum="));
    let kind = words.iter().find_map(|word| match *word {
        "int" => Some(ColumnKind::Integer),
        "text" => Some(ColumnKind::Text),
        "bool" => Some(ColumnKind::Bool),
        "time" => Some(ColumnKind::Timestamp),
        "uuid" => Some(ColumnKind::Uuid),
        "json" => Some(ColumnKind::Other),
        _ => None,
    });
    Column {
        name: name.to_owned(),
        type_name: words.join(" "),
        kind: if labels.is_some() { ColumnKind::Enum } else { kind.expect("a type") },
        labels: labels.into_iter().flat_map(|labels| labels.split(',')).map(str::to_owned).collect(),
        is_nullable: words.contains(&"null"),
        default: words.iter().find_map(|word| word.strip_prefix("default=")).map(str::to_owned),
        in_primary_key: words.contains(&"pk"),
        is_unique: words.contains(&"unique"),
        is_indexed: false,
        is_readable: true,
    }
}

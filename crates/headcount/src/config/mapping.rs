//! `[source]` as a [`Mapping`].

use super::environment::Layers;
use super::file::SourceSection;
use headcount_model::formula::starts_like_formula;
use headcount_model::moment;
use headcount_model::plan::{Column, Kind};
use headcount_model::sensitive;
use headcount_source::{Expression, Mapping, TableName, names};
use jiff::tz::TimeZone;

const EXPECTED: &str =
    "expected a column's name, or a table with 'column' or 'sql', as in { sql = \"status = 'active'\" }";

/// Reads where the columns are. Nothing that looks like a credential may be among them unless the file allows it by name.
pub(super) fn mapping(layers: &Layers<'_>, section: SourceSection) -> anyhow::Result<Mapping> {
    let table: TableName = match layers.pick("source.table", section.table)? {
        Some(table) => table,
        None => TableName::from(DEFAULT_TABLE),
    };
    let mut columns = Vec::new();
    let mut has_text_ids = false;
    for (name, value) in &section.columns {
        let key = format!("source.columns.{name}");
        let (column, expression, is_as_text) = layers.in_file(&key, column(name, value))?;
        has_text_ids |= is_as_text;
        layers.in_file(&key, refuse_sensitive(&column, &expression, &table, &section.allow_sensitive))?;
        columns.push((column, expression));
    }
    let zone = section.stored_time_zone.as_deref();
    let zone = zone.map(|name| layers.in_file("source.stored_time_zone", moment::zone(name))).transpose()?;
    let filter = section.filter.map(|sql| layers.in_file("source.where", condition(sql))).transpose()?;
    let search_path = section
        .search_path
        .map(|path| layers.in_file("source.search_path", search_path(&path)))
        .transpose()?;
    Ok(Mapping {
        table,
        columns,
        filter,
        timestamps: section.timestamps,
        zone: zone.filter(|zone| *zone != TimeZone::UTC),
        has_text_ids,
        search_path,
        consistency: section.consistency,
    })
}

/// SQL that chooses users.
pub(super) fn condition(sql: String) -> Result<String, String> {
    if !sql.trim().is_empty() && sensitive::is_balanced(&sql) {
        return Ok(sql);
    }
    Err("expected an SQL condition with as many closing as opening parentheses".to_owned())
}

const DEFAULT_TABLE: &str = "users";

/// Schemas as PostgreSQL's own setting lists them, separated by commas, or as an array.
fn search_path(value: &toml::Value) -> Result<Vec<String>, String> {
    let schemas = match value {
        toml::Value::String(text) => names(text),
        toml::Value::Array(names) => {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let schemas = schemas.filter(|names| names.iter().all(|name| !name.is_empty() && !name.contains('\0')));
    let schemas = schemas.ok_or("expected names of schemas, as in [\"app\", \"extensions\"]")?;
    if schemas.iter().any(|schema| schema == "pg_catalog" || schema.starts_with("pg_temp")) {
        return Err("pg_catalog goes first and pg_temp last in any case: leave them out".to_owned());
    }
    Ok(schemas)
}

/// A column, what it is, and whether it is an id that stays as it is written.
fn column(name: &str, value: &toml::Value) -> Result<(Column, Expression, bool), String> {
    let (expression, kind, is_as_text) = match value {
        toml::Value::String(own) => (Expression::Column(own.clone()), None, false),
        toml::Value::Table(table) => detailed(table)?,
        _ => return Err(EXPECTED.to_owned()),
    };
    let (Expression::Column(text) | Expression::Sql(text)) = &expression;
    if text.trim().is_empty() || text.contains('\0') {
        return Err(EXPECTED.to_owned());
    }
    if let Some(contract) = Column::CONTRACT.into_iter().find(|column| column.name() == name) {
        if kind.is_some() {
            return Err(format!("'type' is only for further columns; the type of '{name}' is fixed"));
        }
        if is_as_text && contract != Column::ID {
            return Err("'as' is only for 'id': as = \"text\"".to_owned());
        }
        return Ok((contract, expression, is_as_text));
    }
    if is_as_text {
        return Err("'as' is only for 'id'; a further column takes type = \"text\"".to_owned());
    }
    let is_usable = !name.is_empty()
        && name.len() <= 63
        && !name.contains([',', '\''])
        && !name.chars().any(char::is_control);
    if !is_usable {
        return Err("expected a name of 1 to 63 bytes without commas and single quotes".to_owned());
    }
    // It stands in the header as it is.
    if starts_like_formula(name.as_bytes()) || name.starts_with('\u{feff}') {
        let problem =
            "the name must not start like a formula; choose another, as in score = \"the column's own name\"";
        return Err(problem.to_owned());
    }
    Ok((Column::further(name.to_owned(), kind.unwrap_or(Kind::AsStored)), expression, false))
}

fn detailed(table: &toml::Table) -> Result<(Expression, Option<Kind>, bool), String> {
    if let Some(unknown) = table.keys().find(|key| !matches!(key.as_str(), "column" | "sql" | "type" | "as"))
    {
        return Err(format!("unknown key '{unknown}', {EXPECTED}"));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("'{key}' must be text")),
    };
    let expression = match (text("column")?, text("sql")?) {
        (Some(column), None) => Expression::Column(column),
        (None, Some(sql)) => Expression::Sql(sql),
        _ => return Err(EXPECTED.to_owned()),
    };
    let kind = match text("type")?.as_deref() {
        None => None,
        Some("text") => Some(Kind::Text),
        Some("timestamp") => Some(Kind::Timestamp),
        Some("boolean") => Some(Kind::Bool),
        Some(_) => return Err("'type' must be 'text', 'timestamp' or 'boolean'".to_owned()),
    };
    let is_as_text = match text("as")?.as_deref() {
        None => false,
        Some("text") => true,
        Some(_) => return Err("'as' must be 'text'".to_owned()),
    };
    Ok((expression, kind, is_as_text))
}

/// By name; what the cells look like is for `init` and `check` to say, which read some.
fn refuse_sensitive(
    column: &Column,
    expression: &Expression,
    table: &TableName,
    allowed: &[String],
) -> Result<(), String> {
    if let Expression::Sql(sql) = expression
        && !sensitive::is_balanced(sql)
    {
        return Err("expected an SQL expression with as many closing as opening parentheses".to_owned());
    }
    if let Expression::Sql(sql) = expression
        && sensitive::takes_whole_row(sql, table.name())
        && !allowed.iter().any(|allowed| allowed == table.name())
    {
        return Err(format!(
            "takes whole rows of {table}, credentials included; name the columns that it needs, or list {table} in source.allow_sensitive"
        ));
    }
    let mut names = vec![column.name().to_owned()];
    match expression {
        Expression::Column(own) => names.push(own.clone()),
        Expression::Sql(sql) => names.extend(sensitive::identifiers(sql)),
    }
    for name in names {
        let Some(word) = sensitive::by_name(&name) else { continue };
        if !allowed.contains(&name) {
            return Err(format!(
                "'{name}' looks like a credential ({word}) and is not exported; \
                 if it is none, list it in source.allow_sensitive = [\"{name}\"]"
            ));
        }
    }
    Ok(())
}

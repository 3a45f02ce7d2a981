//! `[exports.NAME]` as [`Profile`]s.

use super::environment::Layers;
use super::file::ExportSection;
use super::mapping::condition;
use headcount_model::formula::starts_like_formula;
use headcount_model::mask::Mask;
use headcount_model::plan::{Column, FormatName, Profile, ProfileColumn, filterable_columns};
use headcount_source::{MAX_COLUMNS, Mapping};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names whose flag is that of an endpoint which is no profile, or is kept for one.
const RESERVED: [&str; 4] = ["alive", "simple", "jobs", "parts"];

/// The two built-in profiles and those that the file declares, which come after them by name.
pub(super) fn profiles(
    layers: &Layers<'_>,
    mut sections: BTreeMap<String, ExportSection>,
    mapping: &Mapping,
) -> anyhow::Result<Vec<Arc<Profile>>> {
    let mut profiles = Vec::new();
    for built_in in [Profile::minimal(), Profile::full()] {
        let section = sections.remove(&built_in.name).unwrap_or_default();
        let key = format!("exports.{}", built_in.name);
        if section.columns.is_some() {
            let problem = "this export keeps its columns; declare another one, as in [exports.support]";
            layers.in_file(&format!("{key}.columns"), Err::<(), _>(problem.to_owned()))?;
        }
        profiles.push(Arc::new(complete(layers, &key, built_in, section)?));
    }
    for (name, mut section) in sections {
        let key = format!("exports.{name}");
        layers.in_file(&key, check_name(&name))?;
        let columns = columns(section.columns.take().unwrap_or_default(), mapping);
        let columns = layers.in_file(&format!("{key}.columns"), columns)?;
        profiles.push(Arc::new(complete(layers, &key, Profile::declared(&name, columns), section)?));
    }
    Ok(profiles)
}

/// Sets the format, the file name, the condition, the masks and what may be asked about though it is not shown.
fn complete(
    layers: &Layers<'_>,
    key: &str,
    mut profile: Profile,
    section: ExportSection,
) -> anyhow::Result<Profile> {
    if let Some(format) = section.format {
        let format = layers.in_file(&format!("{key}.format"), parse_format(&format))?;
        profile.filename = profile.filename_in(format);
        profile.format = format;
    }
    if let Some(filename) = section.filename {
        let filename = check_filename(filename).and_then(|name| check_ending(name, profile.format));
        profile.filename = layers.in_file(&format!("{key}.filename"), filename)?;
    }
    if let Some(sql) = section.condition {
        profile.condition = Some(layers.in_file(&format!("{key}.where"), condition(sql))?);
    }
    for (name, mask) in section.mask {
        let key = format!("{key}.mask.{name}");
        layers.in_file(&key, set_mask(&mut profile.columns, &name, mask))?;
    }
    let filters = section.filters.iter().map(|name| filterable(name)).collect();
    profile.filters = layers.in_file(&format!("{key}.filters"), filters)?;
    Ok(profile)
}

fn parse_format(name: &str) -> Result<FormatName, String> {
    FormatName::parse(name).ok_or_else(|| format!("expected one of {}", FormatName::NAMES.join(", ")))
}

/// The column of this name, if there is a parameter that asks about it.
fn filterable(name: &str) -> Result<Column, String> {
    filterable_columns().find(|column| column.name() == name).ok_or_else(|| {
        let known: Vec<_> = filterable_columns().map(|column| column.name().to_owned()).collect();
        format!("no parameter filters by '{}'; expected some of {}", name.escape_debug(), known.join(", "))
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let is_usable = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 40
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_usable {
        return Err("expected a name of 1 to 40 characters of a-z, 0-9 and _, a letter first".to_owned());
    }
    if RESERVED.contains(&name) {
        return Err(format!("the feature flag users:export_{name} is taken; choose another name"));
    }
    Ok(())
}

fn check_filename(name: String) -> Result<String, String> {
    let is_usable = !name.is_empty()
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '"'));
    if is_usable {
        Ok(name)
    } else {
        Err("expected a file name without path, quotes or control characters".to_owned())
    }
}

/// Refuses a name that ends like a file of another format.
fn check_ending(name: String, format: FormatName) -> Result<String, String> {
    let ending = name.rsplit_once('.').and_then(|(_, ending)| FormatName::parse(ending));
    match ending.filter(|ending| *ending != format) {
        Some(other) => {
            let (format, other) = (format.name(), other.name());
            Err(format!(
                "expected a name that ends in .{format}, as the format of this export is {format} and not {other}"
            ))
        }
        None => Ok(name),
    }
}

fn columns(values: Vec<toml::Value>, mapping: &Mapping) -> Result<Vec<ProfileColumn>, String> {
    if values.is_empty() {
        return Err("expected the columns to show, as in [\"id\", { column = \"email\", as = \"E-mail\" }]"
            .to_owned());
    }
    if values.len() > MAX_COLUMNS {
        return Err(format!("expected at most {MAX_COLUMNS} columns"));
    }
    let mut columns: Vec<ProfileColumn> = Vec::new();
    for value in values {
        let column = profile_column(&value, mapping)?;
        if columns.iter().any(|known| known.shown_name() == column.shown_name()) {
            return Err(format!("the name '{}' is there more than once", column.shown_name()));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn profile_column(value: &toml::Value, mapping: &Mapping) -> Result<ProfileColumn, String> {
    let expected = || "expected a column's name or { column = \"NAME\", as = \"SHOWN NAME\" }".to_owned();
    let (name, renamed) = match value {
        toml::Value::String(name) => (name, None),
        toml::Value::Table(table) => {
            let text = |key| table.get(key).and_then(toml::Value::as_str);
            let renamed = text("as").ok_or_else(expected)?;
            if table.len() != 2 || renamed.is_empty() {
                return Err(expected());
            }
            // It stands in the header as it is, and in 'fields' between commas.
            if starts_like_formula(renamed.as_bytes())
                || renamed.trim() != renamed
                || renamed
                    .chars()
                    .any(|c| c.is_control() || matches!(c, ',' | '\u{200b}'..='\u{202e}' | '\u{feff}'))
            {
                let problem =
                    "must not start like a formula, nor have a comma, control characters or spaces around it";
                return Err(format!("the name '{}' {problem}", renamed.escape_debug()));
            }
            match table.get("column") {
                Some(toml::Value::String(name)) => (name, Some(renamed.to_owned())),
                _ => return Err(expected()),
            }
        }
        _ => return Err(expected()),
    };
    let declared = mapping.columns.iter().map(|(column, _)| column.clone());
    let mut known = Column::CONTRACT.into_iter().chain(declared);
    let Some(column) = known.find(|column| column.name() == name) else {
        return Err(format!("'{name}' is not a column; declare it in [source.columns]"));
    };
    Ok(ProfileColumn { column, renamed, mask: None })
}

fn set_mask(columns: &mut [ProfileColumn], name: &str, mask: Mask) -> Result<(), String> {
    let mut masked = columns.iter_mut().filter(|shown| shown.column.name() == name).peekable();
    if masked.peek().is_none() {
        return Err("there is no such column in this export".to_owned());
    }
    masked.for_each(|shown| shown.mask = Some(mask));
    Ok(())
}

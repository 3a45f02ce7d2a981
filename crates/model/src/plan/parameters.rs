//! The parameters of an export and how their texts become a [`Plan`].

use super::format::{CsvOptions, Delimiter, FormatName, Formats, OutputFormat, problem_of_null};
use super::{Column, Filter, Plan, Profile, ProfileColumn, discreet, hashed};
use crate::formula::unsanitized;
use crate::timestamp::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A parameter of an export: all that the query string, a form, the command line, the OpenAPI document and the audit know of it.
#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// What it does, without what its values look like.
    pub description: &'static str,
    pub kind: ParameterKind,
    /// The column that it asks about: its answer tells of every user how their value compares.
    pub column: Option<Column>,
    /// Reads its value into a plan.
    set: fn(&mut Plan, &'static str, &str) -> Result<(), ParameterError>,
    /// Its value in a plan, as the audit keeps it; `None` where it is the default.
    get: fn(&Plan) -> Option<Value>,
}

/// What the values of a parameter look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// The name of a format.
    Format,
    /// One of these words; the first holds if nothing is said.
    Word(&'static [&'static str]),
    /// Any short text.
    Text,
    /// An address, or an id: any text.
    Address,
    Id,
    /// Names of columns, separated by commas.
    Columns,
    /// A moment; a date or a month stands for its first.
    Time,
    /// `true` or `false`, with what holds if nothing is said.
    Boolean {
        default: Option<bool>,
    },
    /// A whole number from 1 on.
    Count,
}

/// Every parameter that an export takes. One that is not here is refused.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "format",
        description: "The format of the export, in any letter case",
        kind: ParameterKind::Format,
        column: None,
        // Read before all others, which depend on it.
        set: |_, _, _| Ok(()),
        get: |plan| {
            let name = plan.format.name();
            (name != FormatName::Csv).then(|| name.name().into())
        },
    },
    Parameter {
        name: "email",
        description: "Only the users with exactly this address, case included",
        kind: ParameterKind::Address,
        column: Some(Column::EMAIL),
        set: |plan, _, value| plan.filter(Filter::Email(email(value)?)),
        get: |plan| {
            plan.filters.iter().find_map(|filter| match filter {
                Filter::Email(email) => Some(hashed(email).into()),
                _ => None,
            })
        },
    },
    Parameter {
        name: "fields",
        description: "Which of the endpoint's columns to show, separated by commas, in the order wanted",
        kind: ParameterKind::Columns,
        column: None,
        set: |plan, _, value| {
            plan.columns = fields(&plan.profile, value)?;
            Ok(())
        },
        get: |plan| (plan.columns != plan.profile.columns).then(|| plan.column_names().join(",").into()),
    },
    Parameter {
        name: "created_after",
        description: "Only users created at this time or later",
        kind: ParameterKind::Time,
        column: Some(Column::CREATED_AT),
        set: |plan, name, value| plan.filter(Filter::AtOrAfter(Column::CREATED_AT, time(name, value)?)),
        get: |plan| plan.lower_bound(&Column::CREATED_AT).map(text),
    },
    Parameter {
        name: "created_before",
        description: "Only users created before this time",
        kind: ParameterKind::Time,
        column: Some(Column::CREATED_AT),
        set: |plan, name, value| plan.filter(Filter::Before(Column::CREATED_AT, time(name, value)?)),
        get: |plan| plan.upper_bound(&Column::CREATED_AT).map(text),
    },
    Parameter {
        name: "updated_after",
        description: "Only users last changed at this time or later",
        kind: ParameterKind::Time,
        column: Some(Column::UPDATED_AT),
        set: |plan, name, value| plan.filter(Filter::AtOrAfter(Column::UPDATED_AT, time(name, value)?)),
        get: |plan| plan.lower_bound(&Column::UPDATED_AT).map(text),
    },
    Parameter {
        name: "updated_before",
        description: "Only users last changed before this time",
        kind: ParameterKind::Time,
        column: Some(Column::UPDATED_AT),
        set: |plan, name, value| plan.filter(Filter::Before(Column::UPDATED_AT, time(name, value)?)),
        get: |plan| plan.upper_bound(&Column::UPDATED_AT).map(text),
    },
    Parameter {
        name: "is_active",
        description: "Only active (`true`) or only inactive (`false`) users",
        kind: ParameterKind::Boolean { default: None },
        column: Some(Column::IS_ACTIVE),
        set: |plan, name, value| plan.filter(Filter::Is(Column::IS_ACTIVE, boolean(name, value)?)),
        get: |plan| plan.flag(&Column::IS_ACTIVE).map(Value::from),
    },
    Parameter {
        name: "is_admin",
        description: "Only administrators (`true`) or only others (`false`)",
        kind: ParameterKind::Boolean { default: None },
        column: Some(Column::IS_ADMIN),
        set: |plan, name, value| plan.filter(Filter::Is(Column::IS_ADMIN, boolean(name, value)?)),
        get: |plan| plan.flag(&Column::IS_ADMIN).map(Value::from),
    },
    Parameter {
        name: "limit",
        description: "At most so many users. Without it there is no limit",
        kind: ParameterKind::Count,
        column: None,
        set: |plan, _, value| {
            plan.limit = Some(limit(value)?);
            Ok(())
        },
        get: |plan| plan.limit.map(Value::from),
    },
    Parameter {
        name: "after",
        description: "Only users whose id is greater than this: the last id of the page before",
        kind: ParameterKind::Id,
        column: Some(Column::ID),
        set: |plan, name, value| {
            plan.after = Some(after(name, value)?);
            Ok(())
        },
        get: |plan| plan.after.as_deref().map(|after| discreet(after).into()),
    },
    Parameter {
        name: "bom",
        description: "`true` starts the file with a byte order mark, for Excel",
        kind: ParameterKind::Boolean { default: Some(false) },
        column: None,
        set: |plan, name, value| {
            plan.csv(name)?.bom = boolean(name, value)?;
            Ok(())
        },
        get: |plan| plan.format.csv()?.bom.then_some(Value::Bool(true)),
    },
    Parameter {
        name: "sanitize",
        description: "`false` leaves out the `'` in front of text that a spreadsheet would take for a formula",
        kind: ParameterKind::Boolean { default: Some(true) },
        column: None,
        set: |plan, name, value| {
            plan.csv(name)?.sanitize = boolean(name, value)?;
            Ok(())
        },
        get: |plan| (!plan.format.csv()?.sanitize).then_some(Value::Bool(false)),
    },
    Parameter {
        name: "delimiter",
        description: "What separates the fields of a CSV",
        kind: ParameterKind::Word(&Delimiter::NAMES),
        column: None,
        set: |plan, name, value| {
            plan.csv(name)?.delimiter = delimiter(name, value)?;
            Ok(())
        },
        get: |plan| {
            let delimiter = plan.format.csv()?.delimiter;
            (delimiter != Delimiter::Comma).then(|| delimiter.name().into())
        },
    },
    Parameter {
        name: "null",
        description: "What stands for NULL in a CSV, at most 16 characters; a field that is the same is quoted. Empty if not given",
        kind: ParameterKind::Text,
        column: None,
        set: |plan, name, value| {
            plan.csv(name)?.null = null(name, value)?;
            Ok(())
        },
        get: |plan| {
            let null = &plan.format.csv()?.null;
            (!null.is_empty()).then(|| null.as_str().into())
        },
    },
    Parameter {
        name: "header",
        description: "`false` leaves out the names of the columns at the start of a CSV",
        kind: ParameterKind::Boolean { default: Some(true) },
        column: None,
        set: |plan, name, value| {
            plan.csv(name)?.header = boolean(name, value)?;
            Ok(())
        },
        get: |plan| (!plan.format.csv()?.header).then_some(Value::Bool(false)),
    },
    Parameter {
        name: "preflight",
        description: "`true` answers with what the export would be, as JSON, instead of the export",
        kind: ParameterKind::Boolean { default: Some(false) },
        column: None,
        set: |plan, name, value| {
            plan.preflight = boolean(name, value)?;
            Ok(())
        },
        get: |plan| plan.preflight.then_some(Value::Bool(true)),
    },
];

/// A parameter that cannot be used. Its text is for the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("Unsupported format. {} supported.", listed(.0))]
    Format(&'static [FormatName]),
    #[error("Unknown parameter '{name}'. The parameters are {known}.")]
    Unknown { name: String, known: String },
    #[error("Parameter '{0}' is given more than once.")]
    Repeated(&'static str),
    #[error("Parameter '{name}' {problem}.")]
    Invalid { name: &'static str, problem: String },
    /// As before, of a value with a space: where it was in a URL or a form, that is what an unescaped `+` becomes.
    #[error("Parameter '{name}' {problem}.")]
    Spaced { name: &'static str, problem: String },
}

impl ParameterError {
    /// A parameter that is known, with what is wrong with it.
    pub fn invalid(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { name, problem: problem.into() }
    }

    /// One that is none of those that are known.
    pub fn unknown(name: &str, known: &[&str]) -> Self {
        Self::Unknown { name: shortened(name), known: known.join(", ") }
    }

    /// The time that a parameter says, if it says one.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn time(name: &'static str, value: &str) -> Result<Timestamp, Self> {
        time(name, value)
    }
}

/// The columns that some parameter asks about, in the order of the full export.
pub fn filterable_columns() -> impl Iterator<Item = Column> {
    let is_asked_about =
        |column: &Column| PARAMETERS.iter().any(|parameter| parameter.column.as_ref() == Some(column));
    Column::CONTRACT.into_iter().filter(is_asked_about)
}

impl Plan {
    /// Makes a plan of decoded name and value pairs, as they come from a query string, a form or a command line, in one of these
    /// formats.
    ///
    /// # Errors
    ///
    /// The first pair that is unknown, repeated or has a value that does not fit.
    pub fn parse<'a>(
        profile: &Arc<Profile>,
        formats: Formats,
        pairs: impl IntoIterator<Item = (&'a str, &'a str), IntoIter: Clone>,
    ) -> Result<Self, ParameterError> {
        let pairs = pairs.into_iter();
        let mut plan = Self::new(Arc::clone(profile));
        plan.format = OutputFormat::of(format(formats, pairs.clone())?);
        let mut seen = Vec::new();
        for (name, value) in pairs {
            let Some(parameter) = PARAMETERS.iter().find(|known| known.name == name) else {
                let known: Vec<_> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
                return Err(ParameterError::unknown(name, &known));
            };
            if seen.contains(&parameter.name) {
                return Err(ParameterError::Repeated(parameter.name));
            }
            seen.push(parameter.name);
            // PostgreSQL text cannot hold it, so no user can match; SQLite must not answer differently.
            if value.contains('\0') && parameter.kind != ParameterKind::Format {
                return Err(ParameterError::invalid(parameter.name, "must not contain a NUL character"));
            }
            (parameter.set)(&mut plan, parameter.name, value)?;
        }
        if plan.after.is_some() && !profile.takes_after() {
            return Err(ParameterError::invalid("after", "cannot be used here, where ids are masked"));
        }
        if plan.format.csv().is_some_and(|csv| csv.sanitize) {
            // A page's last id is given back as it was shown.
            plan.after = plan.after.map(|after| unsanitized(&after).to_owned());
        }
        plan.check_bounds()?;
        Ok(plan)
    }

    /// Bounds that are the wrong way round match nobody, which looks like an answer.
    fn check_bounds(&self) -> Result<(), ParameterError> {
        for (column, after, before) in [
            (Column::CREATED_AT, "created_after", "created_before"),
            (Column::UPDATED_AT, "updated_after", "updated_before"),
        ] {
            let bounds = self.lower_bound(&column).zip(self.upper_bound(&column));
            if bounds.is_some_and(|(lower, upper)| lower >= upper) {
                return Err(ParameterError::invalid(after, format!("must be earlier than '{before}'")));
            }
        }
        Ok(())
    }

    /// What the audit is told of the plan: every parameter that differs from its default, an address only as `sha256:` and the hash
    /// in hexadecimal, of which it keeps an HMAC.
    pub fn summary(&self) -> Map<String, Value> {
        let values = PARAMETERS.iter().map(|parameter| (parameter.name.to_owned(), (parameter.get)(self)));
        values.filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What is chosen of CSV.
    fn csv(&mut self, parameter: &'static str) -> Result<&mut CsvOptions, ParameterError> {
        let format = self.format.name().name();
        self.format.csv_mut().ok_or_else(|| {
            ParameterError::invalid(parameter, format!("is for the format csv, and this export is {format}"))
        })
    }

    fn filter(&mut self, filter: Filter) -> Result<(), ParameterError> {
        self.filters.push(filter);
        Ok(())
    }

    fn lower_bound(&self, column: &Column) -> Option<Timestamp> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::AtOrAfter(of, time) if of == column => Some(*time),
            _ => None,
        })
    }

    fn upper_bound(&self, column: &Column) -> Option<Timestamp> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Before(of, time) if of == column => Some(*time),
            _ => None,
        })
    }

    fn flag(&self, column: &Column) -> Option<bool> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Is(of, value) if of == column => Some(*value),
            _ => None,
        })
    }
}

fn text(time: Timestamp) -> Value {
    time.to_string().into()
}

/// The format that is asked for, or the one that is given unasked.
fn format<'a>(
    formats: Formats,
    mut pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<FormatName, ParameterError> {
    let asked = pairs.find(|(name, _)| *name == "format").map_or("", |(_, value)| value);
    formats.parse(asked).ok_or(ParameterError::Format(formats.offered))
}

/// The names of formats as the subject of a sentence.
fn listed(formats: &[FormatName]) -> String {
    match formats {
        [only] => format!("Only '{}' is", only.name()),
        several => {
            let names: Vec<_> = several.iter().map(|format| format!("'{}'", format.name())).collect();
            format!("{} are", names.join(", "))
        }
    }
}

fn delimiter(name: &'static str, value: &str) -> Result<Delimiter, ParameterError> {
    Delimiter::parse(value).ok_or_else(|| {
        ParameterError::invalid(name, format!("must be one of {}", Delimiter::NAMES.join(", ")))
    })
}

fn null(name: &'static str, value: &str) -> Result<String, ParameterError> {
    match problem_of_null(value) {
        Some(problem) => Err(ParameterError::invalid(name, problem)),
        None => Ok(value.to_owned()),
    }
}

fn after(name: &'static str, value: &str) -> Result<String, ParameterError> {
    if value.is_empty() {
        return Err(ParameterError::invalid(name, "is empty; leave it out to start at the first user"));
    }
    Ok(value.to_owned())
}

fn fields(profile: &Profile, value: &str) -> Result<Vec<ProfileColumn>, ParameterError> {
    let mut columns: Vec<ProfileColumn> = Vec::new();
    for name in value.split(',') {
        let Some(column) = profile.column(name) else {
            let problem = format!(
                "names '{}', which is not a column here; the columns are {}",
                shortened(name),
                profile.column_names().join(", ")
            );
            return Err(ParameterError::invalid("fields", problem));
        };
        if columns.contains(column) {
            return Err(ParameterError::invalid("fields", format!("names '{name}' more than once")));
        }
        columns.push(column.clone());
    }
    Ok(columns)
}

/// An address as it was given. No filter at all and one that nobody can match, such as one that was pasted with what stood around
/// it, would both look like an answer.
fn email(value: &str) -> Result<String, ParameterError> {
    if value.is_empty() {
        return Err(ParameterError::invalid("email", "is empty; leave it out to export everybody"));
    }
    let Some((place, blank)) = value.chars().enumerate().find(|(_, c)| is_blank(*c)) else {
        return Ok(value.to_owned());
    };
    let what = if blank == ' ' { "a space".to_owned() } else { format!("U+{:04X}", u32::from(blank)) };
    let problem =
        format!("must have no white space or control character in it, but character {} is {what}", place + 1);
    Err(match blank {
        ' ' => ParameterError::Spaced { name: "email", problem },
        _ => ParameterError::invalid("email", problem),
    })
}

/// White space, also of no width, and what steers a terminal.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

fn time(name: &'static str, value: &str) -> Result<Timestamp, ParameterError> {
    Timestamp::parse_bound(value).ok_or_else(|| {
        let problem = "must be a time with offset as in 2025-01-08T10:30:00Z (RFC 3339), or a date or month in UTC as in \
                       2025-01-08 or 2025-01"
            .to_owned();
        // Where an offset stands, not between date and time.
        if value.bytes().skip("2025-01-08T".len()).any(|byte| byte == b' ') {
            return ParameterError::Spaced { name, problem };
        }
        ParameterError::Invalid { name, problem }
    })
}

fn boolean(name: &'static str, value: &str) -> Result<bool, ParameterError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ParameterError::invalid(name, "must be 'true' or 'false'")),
    }
}

fn limit(value: &str) -> Result<i64, ParameterError> {
    // `parse` alone would also take a leading +.
    let digits_only = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(limit) if limit >= 1 && digits_only => Ok(limit),
        _ => Err(ParameterError::invalid("limit", format!("must be a whole number from 1 to {}", i64::MAX))),
    }
}

/// Enough of a foreign name to recognise it, without control characters.
fn shortened(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;

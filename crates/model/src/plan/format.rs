//! The formats of an export, and what can be chosen of each.

use crate::formula::starts_like_formula;
use crate::named;
use serde::Serialize;

named! {
    /// A format, without what can be chosen of it. Its name stands in parameters, in the configuration and at the end of a file's name.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub enum FormatName {
        #[default]
        Csv = "csv",
        Ndjson = "ndjson",
        Json = "json",
        Parquet = "parquet",
        Xlsx = "xlsx",
    }
}

impl FormatName {
    /// Of the content, without parameters: RFC 7111 for CSV, RFC 8259 section 11 for JSON, IANA's registry for Parquet and
    /// workbooks; lines of JSON have one by use alone.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// Of the content, as a header says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            other => other.media_type(),
        }
    }

    /// Whether a file is text, which people can read and compression makes smaller.
    pub fn is_text(self) -> bool {
        match self {
            Self::Csv | Self::Ndjson | Self::Json => true,
            Self::Parquet | Self::Xlsx => false,
        }
    }

    /// The format of a name, in any letter case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| name.eq_ignore_ascii_case(format.name()))
    }
}

/// The formats that an endpoint or a command gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    pub offered: &'static [FormatName],
    /// The one that is given unasked.
    pub default: FormatName,
}

impl Formats {
    /// CSV and nothing else.
    pub const CSV: Self = Self { offered: &[FormatName::Csv], default: FormatName::Csv };

    /// All that there are.
    pub fn any(default: FormatName) -> Self {
        Self { offered: &FormatName::ALL, default }
    }

    /// The format of a name, if it is offered; the default if there is none.
    pub(super) fn parse(self, name: &str) -> Option<FormatName> {
        if name.is_empty() {
            return Some(self.default);
        }
        FormatName::parse(name).filter(|format| self.offered.contains(format))
    }
}

/// The format of an export, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Csv(CsvOptions),
    Ndjson,
    Json,
    Parquet,
    Xlsx,
}

/// What can be chosen of CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the file starts with a byte order mark.
    pub bom: bool,
    /// Whether text that looks like a formula is marked.
    pub sanitize: bool,
    pub delimiter: Delimiter,
    /// What stands for NULL. If it is not empty, nothing else stands in the file like this: a field that is the same is quoted.
    pub null: String,
    /// Whether the file starts with the names of the columns.
    pub header: bool,
}

named! {
    /// What separates the fields of a record.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub enum Delimiter {
        #[default]
        Comma = "comma",
        Semicolon = "semicolon",
        Tab = "tab",
    }
}

impl Delimiter {
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|delimiter| delimiter.name() == name)
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { bom: false, sanitize: true, delimiter: Delimiter::Comma, null: String::new(), header: true }
    }
}

impl Default for OutputFormat {
    fn default() -> Self {
        Self::of(FormatName::default())
    }
}

impl OutputFormat {
    /// A format, with nothing chosen of it.
    pub fn of(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv(CsvOptions::default()),
            FormatName::Ndjson => Self::Ndjson,
            FormatName::Json => Self::Json,
            FormatName::Parquet => Self::Parquet,
            FormatName::Xlsx => Self::Xlsx,
        }
    }

    pub fn name(&self) -> FormatName {
        match self {
            Self::Csv(_) => FormatName::Csv,
            Self::Ndjson => FormatName::Ndjson,
            Self::Json => FormatName::Json,
            Self::Parquet => FormatName::Parquet,
            Self::Xlsx => FormatName::Xlsx,
        }
    }

    /// What was chosen of CSV; `None` of another format.
    pub fn csv(&self) -> Option<&CsvOptions> {
        match self {
            Self::Csv(options) => Some(options),
            _ => None,
        }
    }

    pub(super) fn csv_mut(&mut self) -> Option<&mut CsvOptions> {
        match self {
            Self::Csv(options) => Some(options),
            _ => None,
        }
    }
}

/// The characters that may stand for NULL.
const MAX_NULL: usize = 16;

/// What is wrong with a text that is to stand for NULL, if anything is: it must be a field as it is, whatever separates fields.
pub(super) fn problem_of_null(text: &str) -> Option<String> {
    if text.chars().count() > MAX_NULL {
        return Some(format!("must have at most {MAX_NULL} characters"));
    }
    if starts_like_formula(text.as_bytes()) {
        return Some("must not begin like a formula, as with = + - @".to_owned());
    }
    if text.contains([',', ';', '"']) || text.contains(char::is_control) {
        return Some("must have no comma, semicolon, quote or control character in it".to_owned());
    }
    // Alone on a line, PostgreSQL takes it for the end of the data, and quoted it would be a text.
    (text == "\\.")
        .then(|| "must not be '\\.', which PostgreSQL's COPY takes for the end of the data".to_owned())
}

//! The formats of an export, and what can be chosen of each.

/// The format of an export, with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Csv(CsvOptions),
}

/// What can be chosen of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the file starts with a byte order mark.
    pub bom: bool,
    /// Whether text that looks like a formula is marked.
    pub sanitize: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { bom: false, sanitize: true }
    }
}

impl Default for OutputFormat {
    fn default() -> Self {
        Self::Csv(CsvOptions::default())
    }
}

impl OutputFormat {
    /// What was chosen of CSV.
    pub fn csv(&mut self) -> &mut CsvOptions {
        match self {
            Self::Csv(options) => options,
        }
    }

    /// Of the content (RFC 7111 for CSV).
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Csv(_) => "text/csv; charset=utf-8",
        }
    }
}

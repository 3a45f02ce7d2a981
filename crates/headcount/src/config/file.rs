//! `headcount.toml` as it is written.

use super::LogFormat;
use anyhow::Context;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::mask::Mask;
use headcount_source::{Consistency, TimestampEncoding};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that is read from the working directory unless another is named.
pub(crate) const FILE_NAME: &str = "headcount.toml";

/// What stands above all sections.
const TOP_LEVEL: [&str; 4] = ["listen", "data_dir", "features", "trusted_proxies"];
/// Keys of `[source]`, which at the top would be of nothing.
const OF_SOURCE: [&str; 9] = [
    "url",
    "table",
    "where",
    "time_zone",
    "stored_time_zone",
    "timestamps",
    "search_path",
    "consistency",
    "allow_sensitive",
];

/// Where the configuration was looked for.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub is_there: bool,
    /// Whether a password stands in it, used or not.
    pub has_password: bool,
}

impl File {
    /// Where relative paths in it start.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) listen: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) features: Option<Vec<String>>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) source: SourceSection,
    pub(super) store: StoreSection,
    pub(super) exports: BTreeMap<String, ExportSection>,
    pub(super) log: LogSection,
    pub(super) limits: LimitsSection,
    pub(super) tls: TlsSection,
}

impl ConfigFile {
    fn has_password(&self) -> bool {
        let urls = [&self.source.url, &self.store.url].into_iter().flatten();
        urls.filter_map(|url| url.parse::<DatabaseUrl>().ok()).any(|url| url.has_password())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SourceSection {
    pub(super) url: Option<String>,
    pub(super) table: Option<String>,
    pub(super) search_path: Option<toml::Value>,
    pub(super) columns: toml::Table,
    #[serde(rename = "where")]
    pub(super) filter: Option<String>,
    pub(super) timestamps: TimestampEncoding,
    pub(super) consistency: Consistency,
    pub(super) time_zone: Option<String>,
    pub(super) stored_time_zone: Option<String>,
    pub(super) parallelism: Option<usize>,
    pub(super) immutable: bool,
    pub(super) allow_sensitive: Vec<String>,
}

impl SourceSection {
    /// Whether it says what only a table that is not ours can need.
    pub(super) fn describes_a_table(&self) -> bool {
        !self.columns.is_empty()
            || self.filter.is_some()
            || self.search_path.is_some()
            || self.stored_time_zone.is_some()
            || self.timestamps != TimestampEncoding::default()
            || self.consistency != Consistency::default()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreSection {
    pub(super) url: Option<String>,
}

// Written by hand because the URLs can hold passwords.
impl fmt::Debug for SourceSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSection").field("table", &self.table).finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSection").finish_non_exhaustive()
    }
}

/// Columns are read by hand, as is the search path: serde's own error for "a name or a table" says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExportSection {
    pub(super) columns: Option<Vec<toml::Value>>,
    pub(super) format: Option<String>,
    pub(super) filename: Option<String>,
    #[serde(rename = "where")]
    pub(super) condition: Option<String>,
    pub(super) mask: BTreeMap<String, Mask>,
    pub(super) filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    pub(super) format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    pub(super) concurrent_exports: Option<i64>,
    pub(super) concurrent_exports_per_key: Option<i64>,
    pub(super) queue: Option<i64>,
    pub(super) queue_timeout: Option<String>,
    pub(super) client_stall: Option<String>,
    pub(super) spool_bytes: Option<i64>,
    pub(super) source_hold: Option<String>,
    pub(super) source_stall: Option<String>,
    pub(super) connections: Option<i64>,
    pub(super) connections_per_address: Option<i64>,
    pub(super) shutdown_grace: Option<String>,
    pub(super) failed_keys_per_minute: Option<u32>,
    pub(super) requests_per_minute: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Reads the file; one that nobody named may be missing, and then is empty.
pub(super) fn read_file(named: Option<&Path>) -> anyhow::Result<(File, ConfigFile)> {
    let path = named.unwrap_or(Path::new(FILE_NAME));
    let (text, is_there) = match std::fs::read_to_string(path) {
        Ok(text) => (text, true),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            (String::new(), false)
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let written: ConfigFile = toml::from_str(&text).map_err(|error| {
        // The whole error would quote the line, and the line could hold a password.
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let key = error.span().and_then(|_| text.lines().nth(line - 1)).and_then(key_of_line);
        let misplaced = key.and_then(|key| misplaced(&text, line, key)).unwrap_or_default();
        let key = key.map_or_else(String::new, |key| format!(", key '{key}'"));
        anyhow::anyhow!("{}, line {line}{key}: {}{misplaced}", path.display(), without_texts(error.message()))
    })?;
    let file = File { path: path.to_owned(), is_there, has_password: written.has_password() };
    Ok((file, written))
}

/// What to do with a key of the file's top that stands in a section, where TOML takes it for one of that.
fn misplaced(text: &str, line: usize, key: &str) -> Option<String> {
    let before = || text.lines().take(line.saturating_sub(1));
    let is_section = |line: &&str| line.trim_start().starts_with('[');
    match before().find(is_section) {
        Some(first) if TOP_LEVEL.contains(&key) => {
            Some(format!("; {key} belongs above {}, at the top of the file", first.trim()))
        }
        None if OF_SOURCE.contains(&key) => Some(format!("; {key} belongs below [source]")),
        _ => None,
    }
}

/// What stands before the `=`, or the section's name. Of a line that is neither nothing is told.
fn key_of_line(line: &str) -> Option<&str> {
    let key = line.split('=').next()?.trim().trim_matches(['[', ']']);
    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"');
    (!key.is_empty() && key.chars().all(is_key)).then_some(key)
}

/// What is wrong, without the text that stands in the wrong place: it may be a whole address, with its password.
fn without_texts(message: &str) -> String {
    match (message.find("string \""), message.rfind('"')) {
        (Some(start), Some(end)) => format!("{}a text{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

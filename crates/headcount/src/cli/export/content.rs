//! What is in the file of an export, by the options and by the end of its name.

use crate::cli::Usage;
use headcount_model::compression::Compression;
use headcount_model::plan::FormatName;
use std::path::Path;

/// Endings of files that are something else, whatever is asked for.
const OTHERS: [&str; 13] =
    ["xls", "xlsm", "ods", "xml", "html", "pdf", "db", "sqlite", "bz2", "xz", "zip", "7z", "lz4"];

/// What the name of a file says of what is in it; what it does not say may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) format: Option<FormatName>,
    /// Whether it is a CSV whose fields are separated by tabs.
    pub(super) has_tabs: bool,
    pub(super) compression: Option<Compression>,
}

impl Ending {
    /// As in `users.csv` or `users.ndjson.gz`.
    pub(super) fn of(file: &Path) -> Result<Self, Usage> {
        let (file_stem, compression) = match compression(file) {
            Some(compression) => (file.with_extension(""), Some(compression)),
            None => (file.to_owned(), None),
        };
        let ending = ending(&file_stem);
        if let Some(other) = OTHERS.iter().find(|other| **other == ending) {
            return Err(Usage(format!(
                "{}: .{other} is no format of exports; the formats are {}, and .gz or .zst may follow",
                file.display(),
                FormatName::NAMES.join(", ")
            )));
        }
        let format = match &*ending {
            "jsonl" => Some(FormatName::Ndjson),
            "tsv" => Some(FormatName::Csv),
            other => FormatName::parse(other),
        };
        Ok(Self { format, has_tabs: ending == "tsv", compression })
    }

    /// Refuses a file that would be called something else than what is in it.
    pub(super) fn check(
        self,
        file: &Path,
        format: FormatName,
        compression: Option<Compression>,
    ) -> Result<(), Usage> {
        let file = file.display();
        if let Some(named) = self.format.filter(|named| *named != format) {
            let (format, named) = (format.name(), named.name());
            return Err(Usage(format!(
                "{file}: the format is {format}, and the name ends like a file of {named}"
            )));
        }
        let Some(chosen) = compression else { return Ok(()) };
        let name = chosen.name();
        match self.compression {
            Some(named) if named != chosen => {
                let ending = named.ending();
                Err(Usage(format!("{file}: --compress says {name}, and the name ends with .{ending}")))
            }
            None if self.format.is_some() => {
                let ending = chosen.ending();
                Err(Usage(format!("{file}: what {name} makes is called {file}.{ending}")))
            }
            _ => Ok(()),
        }
    }
}

/// In lower case.
fn ending(file: &Path) -> String {
    file.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn compression(file: &Path) -> Option<Compression> {
    let ending = ending(file);
    Compression::ALL.into_iter().find(|compression| compression.ending() == ending)
}

/// The value of `--compress`.
pub(super) fn parse_compression(name: &str) -> Result<Compression, String> {
    let known = Compression::ALL.into_iter().find(|compression| compression.name() == name);
    known.ok_or_else(|| "expected gzip or zstd".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(name: &str) -> Option<Ending> {
        Ending::of(Path::new(name)).ok()
    }

    #[test]
    fn a_name_says_what_is_in_the_file() {
        let is = |format, compression| Some(Ending { format, has_tabs: false, compression });
        assert_eq!(ending("users.csv"), is(Some(FormatName::Csv), None));
        assert_eq!(ending("a.b/users.NDJSON.GZ"), is(Some(FormatName::Ndjson), Some(Compression::Gzip)));
        assert_eq!(ending("users.jsonl.zst"), is(Some(FormatName::Ndjson), Some(Compression::Zstd)));
        assert_eq!(ending("users"), is(None, None));
        assert_eq!(ending("users.txt"), is(None, None));
        assert_eq!(ending("users.2026.gz"), is(None, Some(Compression::Gzip)));
        assert!(
            ending("users.tsv.gz").is_some_and(|tsv| tsv.has_tabs && tsv.format == Some(FormatName::Csv))
        );
        assert_eq!(ending("users.xls"), None);
        assert_eq!(ending("users.zip.gz"), None);
    }

    #[test]
    fn a_name_that_says_something_else_is_refused() {
        let check = |name: &str, format, compression| {
            let file = Path::new(name);
            Ending::of(file).and_then(|ending| ending.check(file, format, compression)).is_ok()
        };
        assert!(check("users.csv", FormatName::Csv, None));
        assert!(check("users", FormatName::Json, Some(Compression::Zstd)));
        assert!(check("users.csv.gz", FormatName::Csv, Some(Compression::Gzip)));
        assert!(!check("users.csv", FormatName::Json, None));
        assert!(!check("users.csv.gz", FormatName::Csv, Some(Compression::Zstd)));
    }
}

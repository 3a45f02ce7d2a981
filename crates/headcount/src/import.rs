//! Loads a CSV with the full columns into the embedded users table: all of it or nothing.

use csv::StringRecord;
use headcount_model::formula::unsanitized;
use headcount_model::plan::Column;
use headcount_model::timestamp::Timestamp;
use headcount_source::embedded::{EmbeddedError, EmbeddedUsers, User};
use std::io::Read;

/// Why a file was refused. Nothing of it was loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("line {line}, column {column}: {problem}")]
    Cell { line: u64, column: String, problem: String },
    #[error("line {line}: {problem}")]
    Record { line: u64, problem: String },
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the users table cannot be written: {0}")]
    Table(#[from] EmbeddedError),
}

/// Loads every record of `file` and returns how many there were. `exact` takes text as it stands; otherwise the `'`
/// that sanitizing put in front of it is taken off.
///
/// # Errors
///
/// The first thing that does not fit, with its line and column. The table is then as it was.
pub fn import(file: impl Read, users: &mut EmbeddedUsers, exact: bool) -> Result<u64, ImportError> {
    let watched = Watched { file, quotes_are_odd: false, last: 0, is_crlf: None };
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(watched);
    let mut record = StringRecord::new();
    let order = match reader.read_record(&mut record).map_err(|error| csv_error(error, reader.get_ref()))? {
        true => column_order(&record)?,
        false => {
            return Err(ImportError::Record { line: 1, problem: "the file is empty".to_owned() });
        }
    };
    let loading = users.load()?;
    let mut count = 0;
    while reader.read_record(&mut record).map_err(|error| csv_error(error, reader.get_ref()))? {
        let line = line_of(record.position(), reader.get_ref());
        if record.len() != order.len() {
            let problem = format!("expected {} fields, found {}", order.len(), record.len());
            return Err(ImportError::Record { line, problem });
        }
        let user = Cells { record: &record, order: &order, line, exact }.user()?;
        if !loading.add(&user)? {
            let problem = format!("{} is taken, by the table or by an earlier line", user.id);
            return Err(ImportError::Cell { line, column: Column::ID.name().to_owned(), problem });
        }
        count += 1;
    }
    if reader.get_ref().quotes_are_odd {
        let problem = "a quoted field is never closed: the file seems to be cut".to_owned();
        return Err(ImportError::Record { line: reader.position().line(), problem });
    }
    // A whole file may end without a line break, but hardly so.
    if reader.get_ref().last == b',' {
        let problem =
            "the file ends with a comma: it seems to be cut; if it is whole, put a line break at its end";
        return Err(ImportError::Record { line: reader.position().line(), problem: problem.to_owned() });
    }
    loading.commit()?;
    Ok(count)
}

/// Where in a record each of the full columns stands.
fn column_order(header: &StringRecord) -> Result<Vec<usize>, ImportError> {
    let columns = &Column::CONTRACT;
    let names: Vec<_> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    let position = |column: &Column| names.iter().position(|name| *name == column.name());
    let order: Option<Vec<_>> = columns.iter().map(position).collect();
    order.filter(|order| order.len() == names.len()).ok_or_else(|| {
        let expected: Vec<_> = columns.iter().map(|column| column.name()).collect();
        let is_separated_otherwise = names.len() == 1 && names[0].contains(['\t', ';']);
        let hint = if is_separated_otherwise { ", separated by commas (delimiter=comma)" } else { "" };
        let problem = format!("expected the columns {}{hint}", expected.join(","));
        ImportError::Record { line: 1, problem }
    })
}

fn csv_error<R>(error: csv::Error, file: &Watched<R>) -> ImportError {
    let line = line_of(error.position(), file);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => ImportError::Read(error),
        csv::ErrorKind::Utf8 { err, .. } => {
            let column = Column::CONTRACT.get(err.field()).map_or("?", Column::name).to_owned();
            ImportError::Cell { line, column, problem: "not valid UTF-8".to_owned() }
        }
        _ => ImportError::Record { line, problem: "not CSV".to_owned() },
    }
}

/// One record, read by column.
struct Cells<'a> {
    record: &'a StringRecord,
    order: &'a [usize],
    line: u64,
    exact: bool,
}

impl<'a> Cells<'a> {
    fn user(&self) -> Result<User<'a>, ImportError> {
        let id = self
            .parsed(&Column::ID, "an integer, as the embedded users table needs", |text| text.parse().ok())?;
        Ok(User {
            id: id.ok_or_else(|| self.problem(&Column::ID, "is empty"))?,
            email: self.text(&Column::EMAIL),
            name: self.text(&Column::NAME),
            created_at: self.time(&Column::CREATED_AT)?,
            updated_at: self.time(&Column::UPDATED_AT)?,
            is_active: self.boolean(&Column::IS_ACTIVE)?,
            is_admin: self.boolean(&Column::IS_ADMIN)?,
        })
    }

    /// The cell; an empty one is NULL.
    fn cell(&self, column: &Column) -> Option<&'a str> {
        let index = Column::CONTRACT.iter().position(|full| full == column)?;
        self.record.get(*self.order.get(index)?).filter(|text| !text.is_empty())
    }

    fn text(&self, column: &Column) -> Option<&'a str> {
        let text = self.cell(column)?;
        Some(if self.exact { text } else { unsanitized(text) })
    }

    fn time(&self, column: &Column) -> Result<Option<Timestamp>, ImportError> {
        self.parsed(column, "a time as in 2025-01-08T10:30:00Z", Timestamp::parse_rfc3339)
    }

    fn boolean(&self, column: &Column) -> Result<Option<bool>, ImportError> {
        self.parsed(column, "true or false", |text| text.parse().ok())
    }

    fn parsed<T>(
        &self,
        column: &Column,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(text) = self.cell(column) else {
            return Ok(None);
        };
        parse(text).map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            self.problem(column, format!("expected {expected}, found '{}'", shown.escape_debug()))
        })
    }

    fn problem(&self, column: &Column, problem: impl Into<String>) -> ImportError {
        ImportError::Cell { line: self.line, column: column.name().to_owned(), problem: problem.into() }
    }
}

/// The line on which a record starts. With CRLF the reader's position is still before the LF of the record above.
fn line_of<R>(position: Option<&csv::Position>, file: &Watched<R>) -> u64 {
    let Some(position) = position else { return 0 };
    position.line() + u64::from(file.is_crlf == Some(true) && position.byte() > 0)
}

/// Looks at what passes for what the reader does not tell.
struct Watched<R> {
    file: R,
    /// In whole CSV quotes are even; the reader takes the end of the file for the end of an open quoted field.
    quotes_are_odd: bool,
    last: u8,
    /// Whether lines end in CRLF, as the first of them tells.
    is_crlf: Option<bool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read(buffer)?;
        let bytes = &buffer[..length];
        self.quotes_are_odd ^= memchr::memchr_iter(b'"', bytes).count() % 2 == 1;
        if self.is_crlf.is_none() {
            self.is_crlf = memchr::memchr(b'\n', bytes).map(|at| {
                let before = at.checked_sub(1).map_or(self.last, |before| bytes[before]);
                before == b'\r'
            });
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;

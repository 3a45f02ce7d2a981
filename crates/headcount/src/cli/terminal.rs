//! What people read: the one way to stderr, and to a stdout that is a terminal. Names and values from a database or a file may hold
//! anything, also what steers a terminal, and nothing of that gets there.

use headcount_model::text::visible;
use std::fmt::Arguments;
use std::io::{IsTerminal, Stdout, Write};

/// Writes a line to stderr. Whatever it quotes stays on it.
macro_rules! tell {
    ($($arguments:tt)*) => { $crate::cli::terminal::line(format_args!($($arguments)*)) };
}
pub(in crate::cli) use tell;

/// What [`tell`] does with its text.
pub(in crate::cli) fn line(text: Arguments<'_>) {
    // A closed stderr is no reason to panic.
    let _ = writeln!(std::io::stderr(), "{}", visible(&text.to_string()));
}

/// Writes lines of our own to stderr. What they quote has to be [`visible`] already, or it could begin a line.
pub(in crate::cli) fn lines(text: &str) {
    text.lines().for_each(|text| tell!("{text}"));
}

/// Writes a question to stderr, and stays on its line.
pub(in crate::cli) fn prompt(text: &str) -> std::io::Result<()> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{}", visible(text))?;
    stderr.flush()
}

/// Whether somebody looks at stdout.
pub(in crate::cli) fn is_shown() -> bool {
    std::io::stdout().is_terminal()
}

/// Where an export goes that has no file: byte for byte, unless somebody looks at it.
pub(in crate::cli) fn stdout() -> Box<dyn Write + Send> {
    let stdout = std::io::stdout();
    if is_shown() { Box::new(Shown(stdout)) } else { Box::new(stdout) }
}

/// Text on a terminal, line by line.
struct Shown(Stdout);

impl Write for Shown {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let shown = shown(&String::from_utf8_lossy(text));
        self.0.write_all(shown.as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Lines as they end, with what else would steer a terminal replaced.
fn shown(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix('\r') {
        Some(line) => visible(line) + "\r",
        None => visible(line),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Lines of cells, each column as wide as its widest cell; the last one is not padded.
pub(in crate::cli) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let padded: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// An optional value, or a dash.
pub(in crate::cli) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_steering_goes() {
        assert_eq!(
            shown("id,name\r\n1,\u{1b}[2Jä\rb\n2,\u{9b}"),
            "id,name\r\n1,\u{fffd}[2Jä\u{fffd}b\n2,\u{fffd}"
        );
    }
}

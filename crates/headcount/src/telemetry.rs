//! Logs.

use crate::config::LogFormat;
use headcount_model::text::visible;
use headcount_store::audit::hidden;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Starts logging to stderr. `RUST_LOG` chooses what is logged; without it everything from `level` on.
pub fn start_logging(format: Option<LogFormat>, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
    let writer = move || Line { is_coloured: is_terminal };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(is_terminal);
    // A second start keeps the first subscriber, which is what a test in one process wants.
    let _ = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}

/// Writes each event to stderr as one line, whatever names and messages from elsewhere are in it: the library takes the sequences
/// that steer a terminal out of values, but leaves line breaks to them. Errors say of an address only its digest, which whoever has
/// a list of addresses can undo, so that it goes, too.
struct Line {
    /// Whether the library itself steers the terminal.
    is_coloured: bool,
}

impl Write for Line {
    /// Takes a whole event, as the library hands it over.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = hidden(&String::from_utf8_lossy(event));
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = if self.is_coloured {
            text.split('\u{1b}').map(visible).collect::<Vec<_>>().join("\u{1b}")
        } else {
            visible(text)
        };
        line.push('\n');
        std::io::stderr().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! A workbook of one sheet (ECMA-376 part 1, section 18; the container is part 2's): what opens with a double click.
//!
//! Text is an inline string, which no spreadsheet runs as a formula. Rows and cells do not say where they are: they follow each
//! other (section 18.3.1.73), so that their parts can be written without knowing how many came before.

mod cells;
mod workbook;

use crate::masks::Masks;
use crate::{Assembler, Encoder, Format};
use bytes::Bytes;
use cells::{Cells, Widths};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use workbook::Workbook;

/// Users in a sheet: its rows, but for the header (Microsoft, "Excel specifications and limits").
pub const MAX_ROWS: u64 = 1_048_575;

/// The format, and what its parts know together.
#[derive(Clone, Debug, Default)]
pub struct Xlsx(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rows: AtomicU64,
    /// Of the first rows; there once a part has written them.
    widths: Mutex<Option<Widths>>,
}

/// Writes the rows of one part.
pub struct XlsxEncoder {
    cells: Cells,
    masks: Option<Masks>,
    shared: Arc<Shared>,
    /// As long as this part measures what others go by.
    sample: Option<Sample>,
}

struct Sample {
    widths: Widths,
    rows: usize,
}

/// Rows of which the widths of the columns are measured.
const SAMPLE: usize = 100;

impl Format for Xlsx {
    type Encoder = XlsxEncoder;

    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> XlsxEncoder {
        let mut widths = self.0.widths.lock();
        // The first part, whose rows come before all others.
        let sample = widths.is_none().then(|| Sample { widths: Widths::of(schema), rows: 0 });
        if sample.is_some() {
            *widths = Some(Widths::of(schema));
        }
        XlsxEncoder { cells: Cells::of(schema), masks, shared: Arc::clone(&self.0), sample }
    }

    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler> {
        // A scan that begins anew begins to count anew.
        self.0.rows.store(0, Relaxed);
        *self.0.widths.lock() = None;
        let names = schema.names().map(str::to_owned).collect();
        Box::new(XlsxAssembler {
            workbook: Workbook::new(),
            names,
            shared: Arc::clone(&self.0),
            rows: 0,
            has_rows: false,
        })
    }
}

impl Encoder for XlsxEncoder {
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        if self.shared.rows.fetch_add(1, Relaxed) >= MAX_ROWS {
            return Err(Misfit::of_file(format!(
                "a sheet of XLSX has at most {MAX_ROWS} users; the other formats have no limit"
            )));
        }
        if fragment.is_empty() && self.sample.as_ref().is_some_and(|sample| sample.rows > 0) {
            // The widths are in the file before the fragment that was measured; another would come too late for them.
            self.sample = None;
        }
        fragment.extend_from_slice(b"<row>");
        for (at, value) in values.iter().enumerate() {
            let start = fragment.len();
            match self.masks.as_mut().and_then(|masks| masks.masked(at, value)) {
                Some(text) => cells::append_text(fragment, text),
                None => self.cells.append(fragment, at, value),
            }
            .map_err(|problem| Misfit::of_cell(at, problem))?;
            if let Some(sample) = &mut self.sample {
                sample.widths.widen(at, &fragment[start..]);
            }
        }
        fragment.extend_from_slice(b"</row>");
        if self.sample.is_some() {
            self.note_sampled();
        }
        Ok(())
    }
}

impl XlsxEncoder {
    /// Lets the assembler know of a row that was measured.
    fn note_sampled(&mut self) {
        let Some(sample) = &mut self.sample else { return };
        sample.rows += 1;
        *self.shared.widths.lock() = Some(sample.widths.clone());
        if sample.rows >= SAMPLE {
            self.sample = None;
        }
    }
}

struct XlsxAssembler {
    workbook: Workbook,
    names: Vec<String>,
    shared: Arc<Shared>,
    rows: u64,
    /// Whether the sheet has got its columns and its header.
    has_rows: bool,
}

impl XlsxAssembler {
    fn begin_rows(&mut self) -> Result<(), String> {
        if !std::mem::replace(&mut self.has_rows, true) {
            let widths = self.shared.widths.lock().clone().unwrap_or_default();
            self.workbook.begin_rows(&self.names, &widths)?;
        }
        Ok(())
    }
}

impl Assembler for XlsxAssembler {
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.workbook.begin()?;
        self.workbook.take(out);
        Ok(())
    }

    fn fragment(&mut self, fragment: Bytes, rows: u64) -> Result<Bytes, String> {
        self.rows += rows;
        self.begin_rows()?;
        self.workbook.write(&fragment)?;
        let mut out = Vec::new();
        self.workbook.take(&mut out);
        Ok(out.into())
    }

    fn tail(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.begin_rows()?;
        self.workbook.end(self.names.len(), self.rows)?;
        self.workbook.take(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

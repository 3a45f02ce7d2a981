//! Rows to bytes, one format a file. Knows no database and no socket: values in, bytes appended to a buffer.
//!
//! A format has two halves. [`Encoder`]s make fragments of rows, each on the thread that reads the rows, several at a time. An
//! [`Assembler`] gives the file that they make in their order its beginning and its end.

pub mod csv;
pub mod json;
pub mod masks;
pub mod parquet;
#[cfg(test)]
mod testing;
pub mod xlsx;

use bytes::Bytes;
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use masks::Masks;

/// A format of exports, with what was chosen of it.
pub trait Format: Clone + Send + 'static {
    type Encoder: Encoder;

    /// Whether what it makes of a part is better of many rows, which it then keeps in memory.
    const WANTS_LARGE_PARTS: bool = false;

    /// What makes fragments of the rows of one part of the scan. It is asked for in the order of the parts.
    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> Self::Encoder;

    /// What makes a file of the fragments.
    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler>;
}

/// Rows into fragments of a file. All that is done for each row is here.
pub trait Encoder: Send + 'static {
    /// Takes a row, whose cells are in the order of the schema, and appends it to a fragment, with those before it that are not
    /// there yet; or keeps it for a later fragment.
    ///
    /// # Errors
    ///
    /// It cannot be written in this format. No part of it may leave.
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> Result<(), Box<Misfit>>;

    /// Appends the rows that were kept: there are no more in this part.
    ///
    /// # Errors
    ///
    /// As [`Encoder::row`].
    fn finish(&mut self, _fragment: &mut Vec<u8>) -> Result<(), Box<Misfit>> {
        Ok(())
    }
}

/// Makes a file of the fragments of all parts, which it gets in their order.
pub trait Assembler: Send {
    /// Appends the beginning of the file.
    ///
    /// # Errors
    ///
    /// There can be none, and why.
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), String>;

    /// A fragment, of so many rows, as it stands in the file; or nothing yet. It is not empty.
    ///
    /// # Errors
    ///
    /// The file cannot hold it, and why.
    fn fragment(&mut self, fragment: Bytes, _rows: u64) -> Result<Bytes, String> {
        Ok(fragment)
    }

    /// Appends the end of the file. It is asked for once all rows are known to be in: a file without it is no file.
    ///
    /// # Errors
    ///
    /// There can be none, and why.
    fn tail(&mut self, out: &mut Vec<u8>) -> Result<(), String>;
}

//! Rows to bytes, one format a file. Knows no database and no socket: values in, bytes appended to a buffer.
//!
//! A format has two halves. [`Encoder`]s make fragments of rows, each on the thread that reads the rows, several at a time. An
//! [`Assembler`] gives the file that they make in their order its beginning and its end.

pub mod csv;
pub mod masks;

use headcount_model::schema::Schema;
use headcount_model::value::Value;
use masks::Masks;

/// A format of exports, with what was chosen of it.
pub trait Format: Clone + Send + 'static {
    type Encoder: Encoder;

    /// What makes fragments of the rows of one part of the scan.
    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> Self::Encoder;

    /// What gives the file its beginning and its end.
    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler>;
}

/// Rows into a fragment of a file. All that is done for each row is here.
pub trait Encoder: Send + 'static {
    /// Appends a row, whose cells are in the order of the schema.
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]);
}

/// What stands before the first fragment of a file and after the last one.
pub trait Assembler: Send {
    /// Appends the beginning of the file.
    fn head(&self, out: &mut Vec<u8>);

    /// Appends the end of the file. It is asked for once all rows are known to be in: a file without it is no file.
    fn tail(&self, out: &mut Vec<u8>);
}

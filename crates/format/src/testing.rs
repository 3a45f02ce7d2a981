//! What the tests of several formats need.

use crate::{Encoder, Format};
use headcount_model::schema::{DataType, Field, Schema, Stored};
use headcount_model::value::Value;

/// A schema of columns that may all be NULL.
pub(crate) fn schema(columns: &[(&str, DataType)]) -> Schema {
    let field = |(name, data_type): &(&str, DataType)| Field {
        name: (*name).to_owned(),
        stored: Stored { data_type: *data_type, is_nullable: true },
    };
    Schema(columns.iter().map(field).collect())
}

/// A file of parts of rows.
pub(crate) fn file(format: &impl Format, schema: &Schema, parts: &[&[&[Value<'_>]]]) -> Vec<u8> {
    let mut assembler = format.assembler(schema);
    let mut out = Vec::new();
    assembler.head(&mut out).expect("a beginning");
    for rows in parts {
        let mut encoder = format.encoder(schema, None);
        let mut fragment = Vec::new();
        for row in *rows {
            encoder.row(&mut fragment, row).expect("a row");
        }
        encoder.finish(&mut fragment).expect("an end");
        if !fragment.is_empty() {
            out.extend(assembler.fragment(fragment.into(), rows.len() as u64).expect("a fragment"));
        }
    }
    assembler.tail(&mut out).expect("an end");
    out
}

//! Apache Parquet (parquet.apache.org/docs/file-format), by the Apache crate: typed columns in row groups, each compressed with
//! Zstandard, and a footer that says where they are.
//!
//! Row groups are made where their rows are read, several at a time. What the footer has to know of them waits in memory for the
//! end: about 1 kB for every 64 k rows and seven columns.

mod columns;
mod decimal;

use crate::masks::Masks;
use crate::{Assembler, Encoder, Format};
use columns::Column;
use headcount_model::schema::{DataType, Schema};
use headcount_model::value::{Misfit, Value};
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData, SortingColumn,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use std::sync::Arc;

/// A row group ends with the row that fills it.
const MAX_ROWS: usize = 64 * 1024;
/// Of its cells, before compression.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const MAGIC: &[u8] = b"PAR1";
const CREATED_BY: &str = concat!("headcount version ", env!("CARGO_PKG_VERSION"));

/// The format, and what is known of the row groups that were made.
#[derive(Clone, Debug, Default)]
pub struct Parquet {
    /// Key-value metadata of the footer.
    about: Vec<(String, String)>,
    /// Which column the rows are sorted by, ascending.
    sorted_by: Option<usize>,
    parts: Arc<Mutex<Vec<RowGroups>>>,
}

/// The row groups of a part, with offsets as if the file began with it; and how many bytes they have.
type RowGroups = Arc<Mutex<Vec<(RowGroupMetaData, i64)>>>;

/// Collects the rows of one part.
pub struct ParquetEncoder {
    /// Or why there is none, which the first row group says.
    schema: Result<TypePtr>,
    properties: WriterPropertiesPtr,
    columns: Vec<Column>,
    rows: usize,
    masks: Option<Masks>,
    row_groups: RowGroups,
}

struct ParquetAssembler {
    schema: Result<TypePtr>,
    about: Vec<(String, String)>,
    parts: Arc<Mutex<Vec<RowGroups>>>,
}

impl Parquet {
    /// A file with this said about it, sorted by this column of the schema if by any.
    pub fn new(about: Vec<(String, String)>, sorted_by: Option<usize>) -> Self {
        Self { about, sorted_by, parts: Arc::default() }
    }

    fn properties(&self, schema: &Schema) -> WriterProperties {
        // Texts are sorted as the database's index has them, which need not be the order of their bytes.
        let is_ordered = |at: &usize| {
            let data_type = schema.0.get(*at).map(|field| field.stored.data_type);
            matches!(data_type, Some(DataType::Integer | DataType::Uuid))
        };
        let sorted_by = self.sorted_by.filter(is_ordered).and_then(|at| i32::try_from(at).ok());
        let sorting = sorted_by
            .map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: false }]);
        WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Cells of users are hardly ever the same.
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_sorting_columns(sorting)
            .build()
    }
}

impl Format for Parquet {
    type Encoder = ParquetEncoder;

    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> ParquetEncoder {
        let row_groups = RowGroups::default();
        self.parts.lock().push(Arc::clone(&row_groups));
        ParquetEncoder {
            schema: file_schema(schema),
            properties: Arc::new(self.properties(schema)),
            columns: schema.0.iter().map(Column::of).collect(),
            rows: 0,
            masks,
            row_groups,
        }
    }

    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler> {
        // A scan that begins anew has other parts.
        self.parts.lock().clear();
        let (about, parts) = (self.about.clone(), Arc::clone(&self.parts));
        Box::new(ParquetAssembler { schema: file_schema(schema), about, parts })
    }
}

impl Encoder for ParquetEncoder {
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> std::result::Result<(), Box<Misfit>> {
        let mut bytes = 0;
        for (at, (column, value)) in self.columns.iter_mut().zip(values).enumerate() {
            let pushed = match self.masks.as_mut().and_then(|masks| masks.masked(at, value)) {
                Some(text) => column.push_text(text),
                None => column.push(value),
            };
            pushed.map_err(|problem| Misfit::of_cell(at, problem))?;
            bytes += column.bytes();
        }
        self.rows += 1;
        if self.rows >= MAX_ROWS || bytes >= MAX_BYTES {
            self.finish(fragment)?;
        }
        Ok(())
    }

    fn finish(&mut self, fragment: &mut Vec<u8>) -> std::result::Result<(), Box<Misfit>> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        self.append_row_group(fragment)
            .map_err(|error| Misfit::of_file(format!("no row group can be made of the rows: {error}")))
    }
}

impl ParquetEncoder {
    fn append_row_group(&mut self, fragment: &mut Vec<u8>) -> Result<()> {
        let schema = self.schema.as_ref().map_err(|error| ParquetError::General(error.to_string()))?;
        let mut writer =
            SerializedFileWriter::new(Vec::new(), Arc::clone(schema), Arc::clone(&self.properties))?;
        let mut group = writer.next_row_group()?;
        for column in &mut self.columns {
            let mut out =
                group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
            column.write(out.untyped())?;
            out.close()?;
        }
        let metadata = group.close()?;
        writer.flush()?;
        // Without the magic number: this is no file of its own.
        let bytes = &writer.inner()[MAGIC.len()..];
        fragment.extend_from_slice(bytes);
        self.row_groups.lock().push(((*metadata).clone(), bytes.len() as i64));
        Ok(())
    }
}

impl Assembler for ParquetAssembler {
    fn head(&mut self, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        out.extend_from_slice(MAGIC);
        Ok(())
    }

    fn tail(&mut self, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        self.footer(out).map_err(|error| format!("no footer can be made: {error}"))
    }
}

impl ParquetAssembler {
    fn footer(&self, out: &mut Vec<u8>) -> Result<()> {
        let schema = self.schema.as_ref().map_err(|error| ParquetError::General(error.to_string()))?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::clone(schema)));
        let (mut row_groups, mut rows, mut moved) = (Vec::new(), 0, 0);
        for part in self.parts.lock().iter() {
            for (metadata, bytes) in part.lock().drain(..) {
                rows += metadata.num_rows();
                row_groups.push(placed(metadata, moved, row_groups.len())?);
                moved += bytes;
            }
        }
        let about = self.about.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let file = FileMetaData::new(1, rows, Some(CREATED_BY.to_owned()), Some(about), schema, None);
        ParquetMetaDataWriter::new(out, &ParquetMetaData::new(file, row_groups)).finish()
    }
}

/// The metadata of a row group that lies so many bytes further behind than it was made for.
fn placed(metadata: RowGroupMetaData, moved: i64, ordinal: usize) -> Result<RowGroupMetaData> {
    let file_offset = metadata.file_offset().unwrap_or(MAGIC.len() as i64) + moved;
    let mut builder = metadata.into_builder();
    let columns = builder.take_columns().into_iter().map(|column| {
        let offset = column.data_page_offset() + moved;
        column.into_builder().set_data_page_offset(offset).build()
    });
    let columns = columns.collect::<Result<_>>()?;
    let mut builder = builder.set_column_metadata(columns).set_file_offset(file_offset);
    if let Ok(ordinal) = i32::try_from(ordinal) {
        builder = builder.set_ordinal(ordinal);
    }
    builder.build()
}

/// The schema of the file: a group of the columns.
fn file_schema(schema: &Schema) -> Result<TypePtr> {
    let fields = schema.0.iter().map(|field| columns::parquet_type(field).map(Arc::new));
    let group = Type::group_type_builder("users").with_fields(fields.collect::<Result<_>>()?);
    Ok(Arc::new(group.build()?))
}

#[cfg(test)]
mod tests;

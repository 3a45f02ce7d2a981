//! Apache Parquet (parquet.apache.org/docs/file-format), by the Apache crate: typed columns in row groups, each compressed with
//! Zstandard, and a footer that says where they are.
//!
//! Row groups are made where their rows are read, several at a time. What the footer has to know of them waits in memory for the
//! end: a few kB for every 64 k rows and seven columns.

mod columns;
mod decimal;

use crate::masks::Masks;
use crate::{Assembler, Encoder, Format};
use columns::Column;
use headcount_model::schema::{DataType, Schema};
use headcount_model::value::{Misfit, Value};
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::FixedLenByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData, SortingColumn,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::statistics::Statistics;
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
#[derive(Clone, Default)]
pub struct Parquet {
    /// Key-value metadata of the footer.
    about: Vec<(String, String)>,
    /// Which column the rows are sorted by, ascending.
    sorted_by: Option<usize>,
    parts: Arc<Mutex<Vec<RowGroups>>>,
    /// Of parts that have ended: to ask the system for memory anew for each is measurable.
    spare: Arc<Mutex<Vec<Buffers>>>,
}

/// Where the rows of a row group are collected, and where it is made of them; empty between row groups.
#[derive(Default)]
struct Buffers {
    columns: Vec<Column>,
    row_group: Vec<u8>,
}

/// The row groups of a part, with offsets as if the file began with it; and how many bytes they have.
type RowGroups = Arc<Mutex<Vec<(RowGroupMetaData, i64)>>>;

/// Collects the rows of one part.
pub struct ParquetEncoder {
    /// Or why there is none, which the first row group says.
    schema: Result<TypePtr>,
    properties: WriterPropertiesPtr,
    buffers: Buffers,
    spare: Arc<Mutex<Vec<Buffers>>>,
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
        Self { about, sorted_by, ..Self::default() }
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

    /// A row group ends with its part.
    const WANTS_LARGE_PARTS: bool = true;

    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> ParquetEncoder {
        let row_groups = RowGroups::default();
        let spare = self.spare.lock().pop();
        self.parts.lock().push(Arc::clone(&row_groups));
        ParquetEncoder {
            schema: file_schema(schema),
            properties: Arc::new(self.properties(schema)),
            buffers: spare.unwrap_or_else(|| Buffers::of(schema)),
            spare: Arc::clone(&self.spare),
            rows: 0,
            masks,
            row_groups,
        }
    }

    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler> {
        // A scan that begins anew has other parts.
        self.parts.lock().clear();
        self.spare.lock().clear();
        let (about, parts) = (self.about.clone(), Arc::clone(&self.parts));
        Box::new(ParquetAssembler { schema: file_schema(schema), about, parts })
    }
}

impl Encoder for ParquetEncoder {
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> std::result::Result<(), Box<Misfit>> {
        let mut bytes = 0;
        for (at, (column, value)) in self.buffers.columns.iter_mut().zip(values).enumerate() {
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
        self.append_row_group(fragment)
            .map_err(|error| Misfit::of_file(format!("no row group can be made of the rows: {error}")))?;
        self.rows = 0;
        Ok(())
    }
}

impl Buffers {
    fn of(schema: &Schema) -> Self {
        Self { columns: schema.0.iter().map(Column::of).collect(), row_group: Vec::new() }
    }
}

impl Drop for ParquetEncoder {
    fn drop(&mut self) {
        // One that failed has cells in them.
        if self.rows == 0 {
            self.spare.lock().push(std::mem::take(&mut self.buffers));
        }
    }
}

impl ParquetEncoder {
    fn append_row_group(&mut self, fragment: &mut Vec<u8>) -> Result<()> {
        let schema = self.schema.as_ref().map_err(|error| ParquetError::General(error.to_string()))?;
        let mut writer = SerializedFileWriter::new(
            std::mem::take(&mut self.buffers.row_group),
            Arc::clone(schema),
            Arc::clone(&self.properties),
        )?;
        let mut group = writer.next_row_group()?;
        for column in &mut self.buffers.columns {
            let mut out =
                group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
            column.write(out.untyped())?;
            out.close()?;
        }
        let metadata = group.close()?;
        let end = writer.bytes_written();
        // With a footer, and a magic number before it: but this is no file of its own.
        self.buffers.row_group = writer.into_inner()?;
        let bytes = &self.buffers.row_group[MAGIC.len()..end];
        fragment.extend_from_slice(bytes);
        let length = bytes.len() as i64;
        self.row_groups.lock().push((detached((*metadata).clone())?, length));
        self.buffers.row_group.clear();
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

/// The metadata without what it shares with the cells: as statistics of long decimals the writer keeps slices of them, and with a
/// slice its whole allocation.
fn detached(metadata: RowGroupMetaData) -> Result<RowGroupMetaData> {
    let copied = |value: Option<&FixedLenByteArray>| value.map(|value| value.data().to_vec().into());
    let mut builder = metadata.into_builder();
    let columns = builder.take_columns().into_iter().map(|column| {
        let Some(Statistics::FixedLenByteArray(known)) = column.statistics() else { return Ok(column) };
        let (least, most) = (copied(known.min_opt()), copied(known.max_opt()));
        let copy = Statistics::fixed_len_byte_array(
            least,
            most,
            known.distinct_count(),
            known.null_count_opt(),
            false,
        );
        column.into_builder().set_statistics(copy).build()
    });
    let columns = columns.collect::<Result<_>>()?;
    builder.set_column_metadata(columns).build()
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

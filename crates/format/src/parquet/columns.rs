//! The columns of a row group: cells, until there are enough of them, and their types in the file.

use super::decimal;
use bytes::Bytes;
use headcount_model::schema::{DataType, Digits, Field};
use headcount_model::timestamp::Timestamp;
use headcount_model::value::Value;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::Type;

/// Digits that fit 64 bits (the format's LogicalTypes.md, "DECIMAL"). More take 16 bytes.
const LONG_DIGITS: u8 = 18;

/// The cells of a column.
pub(super) struct Column {
    data_type: DataType,
    cells: Cells,
    /// Of a column that may hold NULLs: 0 for each NULL and 1 for each cell (definition levels).
    levels: Option<Vec<i16>>,
}

enum Cells {
    Booleans(Vec<bool>),
    Days(Vec<i32>),
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    /// One after the other, and where each ends.
    Texts {
        bytes: Vec<u8>,
        ends: Vec<usize>,
    },
    /// One after the other, of 16 bytes each.
    Sixteens(Vec<u8>),
}

/// What a column is in the file.
pub(super) fn parquet_type(field: &Field) -> Result<Type> {
    let (physical, logical) = match field.stored.data_type {
        DataType::Boolean => (Physical::BOOLEAN, None),
        DataType::Integer => (Physical::INT64, None),
        DataType::Float => (Physical::DOUBLE, None),
        DataType::Decimal(Some(Digits { precision, scale })) => {
            let physical =
                if precision <= LONG_DIGITS { Physical::INT64 } else { Physical::FIXED_LEN_BYTE_ARRAY };
            (physical, Some(LogicalType::decimal(scale.into(), precision.into())))
        }
        DataType::Decimal(None) | DataType::Text | DataType::Printed => {
            (Physical::BYTE_ARRAY, Some(LogicalType::String))
        }
        DataType::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        DataType::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)),
        DataType::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        DataType::Date => (Physical::INT32, Some(LogicalType::Date)),
    };
    let repetition = if field.stored.is_nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let mut builder = Type::primitive_type_builder(&field.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    if physical == Physical::FIXED_LEN_BYTE_ARRAY {
        builder = builder.with_length(16);
    }
    if let DataType::Decimal(Some(digits)) = field.stored.data_type {
        builder = builder.with_precision(digits.precision.into()).with_scale(digits.scale.into());
    }
    builder.build()
}

impl Column {
    pub(super) fn of(field: &Field) -> Self {
        let data_type = field.stored.data_type;
        let cells = match data_type {
            DataType::Boolean => Cells::Booleans(Vec::new()),
            DataType::Integer | DataType::Timestamp => Cells::Longs(Vec::new()),
            DataType::Decimal(Some(digits)) if digits.precision <= LONG_DIGITS => Cells::Longs(Vec::new()),
            DataType::Decimal(Some(_)) | DataType::Uuid => Cells::Sixteens(Vec::new()),
            DataType::Float => Cells::Doubles(Vec::new()),
            DataType::Date => Cells::Days(Vec::new()),
            DataType::Decimal(None) | DataType::Text | DataType::Json | DataType::Printed => {
                Cells::Texts { bytes: Vec::new(), ends: Vec::new() }
            }
        };
        Self { data_type, cells, levels: field.stored.is_nullable.then(Vec::new) }
    }

    /// How many bytes the cells have.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        match &self.cells {
            Cells::Booleans(cells) => cells.len(),
            Cells::Days(cells) => cells.len() * 4,
            Cells::Longs(cells) => cells.len() * 8,
            Cells::Doubles(cells) => cells.len() * 8,
            Cells::Texts { bytes, ends } => bytes.len() + ends.len() * 4,
            Cells::Sixteens(cells) => cells.len(),
        }
    }

    /// Takes a cell; or says what is wrong with it.
    #[inline]
    pub(super) fn push(&mut self, value: &Value<'_>) -> std::result::Result<(), String> {
        if matches!(value, Value::Null) {
            let levels = self.levels.as_mut().ok_or("NULL stands in a column that is NOT NULL")?;
            levels.push(0);
            return Ok(());
        }
        match (&mut self.cells, self.data_type, value) {
            (Cells::Longs(cells), DataType::Integer, Value::Int(int)) => cells.push(*int),
            (Cells::Longs(cells), DataType::Timestamp, Value::Timestamp(time)) => cells.push(time.micros()),
            (Cells::Longs(cells), DataType::Timestamp, Value::PrintedTimestamp(text)) => {
                let time = Timestamp::parse_database_text(text).ok_or("this text is not a time")?;
                cells.push(time.micros());
            }
            (Cells::Texts { bytes, ends }, ..) => {
                match value {
                    Value::Text(text) => bytes.extend_from_slice(text.bytes()),
                    _ => value.append_to(bytes),
                }
                ends.push(bytes.len());
            }
            (Cells::Booleans(cells), _, Value::Bool(is_true)) => cells.push(*is_true),
            (Cells::Sixteens(cells), DataType::Uuid, Value::Uuid(uuid)) => cells.extend_from_slice(uuid),
            _ => self.push_unusual(value)?,
        }
        self.note_cell();
        Ok(())
    }

    /// Cells that are read before they are kept.
    fn push_unusual(&mut self, value: &Value<'_>) -> std::result::Result<(), String> {
        match (&mut self.cells, self.data_type, value) {
            (Cells::Doubles(cells), _, Value::Float(float)) => cells.push(*float),
            (Cells::Doubles(cells), _, Value::Int(int)) => cells.push(exactly(*int)?),
            (Cells::Doubles(cells), _, Value::Number(text)) => {
                let float = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                cells.push(float.ok_or("this is not a floating point number")?);
            }
            (Cells::Longs(cells), DataType::Decimal(Some(digits)), Value::Number(text)) => {
                let unscaled = decimal::unscaled(text, digits)?;
                cells.push(i64::try_from(unscaled).map_err(|_| decimal::TOO_LONG)?);
            }
            (Cells::Sixteens(cells), DataType::Decimal(Some(digits)), Value::Number(text)) => {
                cells.extend_from_slice(&decimal::unscaled(text, digits)?.to_be_bytes());
            }
            (Cells::Days(cells), _, Value::Text(text)) => cells.push(days(text.bytes())?),
            _ => return Err(format!("this value is not {}; {UNTYPED}", described(self.data_type))),
        }
        Ok(())
    }

    /// Takes what a mask made of a cell.
    pub(super) fn push_text(&mut self, text: &[u8]) -> std::result::Result<(), String> {
        let Cells::Texts { bytes, ends } = &mut self.cells else {
            return Err("a masked column is not text".to_owned());
        };
        bytes.extend_from_slice(text);
        ends.push(bytes.len());
        self.note_cell();
        Ok(())
    }

    #[inline]
    fn note_cell(&mut self) {
        if let Some(levels) = &mut self.levels {
            levels.push(1);
        }
    }

    /// Writes the cells, and keeps none.
    pub(super) fn write(&mut self, out: &mut ColumnWriter<'_>) -> Result<()> {
        let levels = self.levels.as_deref();
        match (out, &mut self.cells) {
            (ColumnWriter::BoolColumnWriter(out), Cells::Booleans(cells)) => {
                out.write_batch(cells, levels, None)?;
                cells.clear();
            }
            (ColumnWriter::Int32ColumnWriter(out), Cells::Days(cells)) => {
                out.write_batch(cells, levels, None)?;
                cells.clear();
            }
            (ColumnWriter::Int64ColumnWriter(out), Cells::Longs(cells)) => {
                out.write_batch(cells, levels, None)?;
                cells.clear();
            }
            (ColumnWriter::DoubleColumnWriter(out), Cells::Doubles(cells)) => {
                out.write_batch(cells, levels, None)?;
                cells.clear();
            }
            (ColumnWriter::ByteArrayColumnWriter(out), Cells::Texts { bytes, ends }) => {
                // Slices of one allocation, which is used again.
                let all = Bytes::from(std::mem::take(bytes));
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let cells = starts.zip(&*ends).map(|(start, end)| ByteArray::from(all.slice(start..*end)));
                out.write_batch(&cells.collect::<Vec<_>>(), levels, None)?;
                ends.clear();
                *bytes = emptied(all);
            }
            (ColumnWriter::FixedLenByteArrayColumnWriter(out), Cells::Sixteens(bytes)) => {
                let all = Bytes::from(std::mem::take(bytes));
                let slices = (0..all.len() / 16).map(|at| all.slice(at * 16..(at + 1) * 16));
                let cells = slices.map(|slice| FixedLenByteArray::from(ByteArray::from(slice)));
                out.write_batch(&cells.collect::<Vec<_>>(), levels, None)?;
                *bytes = emptied(all);
            }
            _ => return Err(ParquetError::General("a column is of another type than its cells".into())),
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        Ok(())
    }
}

/// The allocation of bytes that nobody else has any more.
fn emptied(bytes: Bytes) -> Vec<u8> {
    let mut bytes = Vec::from(bytes);
    bytes.clear();
    bytes
}

const UNTYPED: &str = "the formats csv, ndjson and json take it";

fn described(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "a boolean, as its column is declared",
        DataType::Integer => "an integer, as its column is declared",
        DataType::Float => "a floating point number, as its column is declared",
        DataType::Decimal(_) => "a decimal number",
        DataType::Uuid => "a UUID",
        DataType::Timestamp => "a time",
        DataType::Date => "a date",
        DataType::Text | DataType::Json | DataType::Printed => "text",
    }
}

/// An integer as a floating point number that is the same.
fn exactly(int: i64) -> std::result::Result<f64, String> {
    let is_exact = int.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS;
    if is_exact {
        Ok(int as f64)
    } else {
        Err(format!("this integer has more digits than a double; {UNTYPED}"))
    }
}

/// The days since 1970 of a date as in `2025-01-31`.
fn days(text: &[u8]) -> std::result::Result<i32, String> {
    let days = Timestamp::parse_day(text).and_then(|day| i32::try_from(day.days().0).ok());
    days.ok_or_else(|| format!("this date is infinite or not in the years 0001 to 9999; {UNTYPED}"))
}

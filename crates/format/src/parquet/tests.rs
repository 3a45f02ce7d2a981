use super::*;
use headcount_model::mask::{Mask, PseudonymKey};
use headcount_model::schema::{Digits, Field, Stored};
use headcount_model::timestamp::Timestamp;
use parquet::basic::LogicalType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field as Cell;

fn field(name: &str, data_type: DataType, is_nullable: bool) -> Field {
    Field { name: name.to_owned(), stored: Stored { data_type, is_nullable } }
}

/// A file of parts, each of these many copies of each of its rows.
fn file(format: &Parquet, schema: &Schema, parts: &[&[(usize, &[Value<'_>])]]) -> Vec<u8> {
    let mut assembler = format.assembler(schema);
    let mut out = Vec::new();
    assembler.head(&mut out).expect("a beginning");
    // Parts are begun in their order, and may be done in another.
    let mut encoders: Vec<_> = parts.iter().map(|_| format.encoder(schema, None)).collect();
    let mut fragments: Vec<_> = parts
        .iter()
        .zip(&mut encoders)
        .rev()
        .map(|(rows, encoder)| {
            let mut fragment = Vec::new();
            for (times, row) in *rows {
                for _ in 0..*times {
                    encoder.row(&mut fragment, row).expect("a row");
                }
            }
            encoder.finish(&mut fragment).expect("an end");
            fragment
        })
        .collect();
    fragments.reverse();
    for fragment in fragments {
        out.extend(assembler.fragment(fragment.into(), 0).expect("a fragment"));
    }
    assembler.tail(&mut out).expect("an end");
    out
}

fn reader(file: Vec<u8>) -> SerializedFileReader<bytes::Bytes> {
    SerializedFileReader::new(bytes::Bytes::from(file)).expect("a file")
}

#[test]
fn every_value_is_read_again() {
    let money = Digits { precision: 10, scale: 2 };
    let long = Digits { precision: 30, scale: 0 };
    let schema = Schema(vec![
        field("id", DataType::Integer, false),
        field("uuid", DataType::Uuid, true),
        field("text", DataType::Text, true),
        field("at", DataType::Timestamp, true),
        field("flag", DataType::Boolean, true),
        field("float", DataType::Float, true),
        field("money", DataType::Decimal(Some(money)), true),
        field("long", DataType::Decimal(Some(long)), true),
        field("free", DataType::Decimal(None), true),
        field("day", DataType::Date, true),
        field("json", DataType::Json, true),
        field("any", DataType::Printed, true),
    ]);
    let time = Timestamp::parse_rfc3339("2025-01-08T10:30:00.123456Z").expect("a time");
    let full = [
        Value::Int(i64::MAX),
        Value::Uuid([7; 16]),
        "Zoë".into(),
        Value::Timestamp(time),
        Value::Bool(true),
        Value::Number(b"1e-7"),
        Value::Number(b"-12.30"),
        Value::Number(b"123456789012345678901234567890"),
        Value::Number(b"1.23456789012345678901234567890"),
        "2025-01-31".into(),
        "{\"a\": 1}".into(),
        Value::Int(3),
    ];
    let mut empty = [Value::Null; 12];
    empty[0] = Value::Int(i64::MIN);
    let reader = reader(file(&Parquet::default(), &schema, &[&[(1, &full), (1, &empty)]]));
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").collect::<Result<_>>().expect("rows");
    let cells: Vec<_> = rows[0].get_column_iter().map(|(_, cell)| cell.clone()).collect();
    assert_eq!(cells[0], Cell::Long(i64::MAX));
    assert_eq!(cells[2], Cell::Str("Zoë".to_owned()));
    assert_eq!(cells[3], Cell::TimestampMicros(time.micros()));
    assert_eq!(cells[4], Cell::Bool(true));
    assert_eq!(cells[5], Cell::Double(1e-7));
    assert_eq!(cells[6].to_string(), "-12.30");
    assert_eq!(cells[7].to_string(), "123456789012345678901234567890.");
    assert_eq!(cells[8], Cell::Str("1.23456789012345678901234567890".to_owned()));
    assert_eq!(cells[9], Cell::Date(20_119));
    assert_eq!(cells[11], Cell::Str("3".to_owned()));
    let nulls = rows[1].get_column_iter().skip(1).all(|(_, cell)| *cell == Cell::Null);
    assert!(nulls && rows[1].get_column_iter().next().is_some_and(|(_, id)| *id == Cell::Long(i64::MIN)));
    let types = reader.metadata().file_metadata().schema_descr();
    assert_eq!(types.column(1).logical_type_ref(), Some(&LogicalType::Uuid));
    assert_eq!(types.column(10).logical_type_ref(), Some(&LogicalType::Json));
}

#[test]
fn row_groups_lie_where_the_footer_says_whatever_parts_have_rows() {
    let schema = Schema(vec![field("id", DataType::Integer, false), field("text", DataType::Text, true)]);
    let format = Parquet::new(vec![("headcount.profile".to_owned(), "full".to_owned())], Some(0));
    let (one, two, three) =
        ([Value::Int(1), "a".into()], [Value::Int(2), Value::Null], [Value::Int(3), "".into()]);
    let parts: [&[(usize, &[Value<'_>])]; 4] = [&[(MAX_ROWS + 1, &one)], &[], &[(3, &two)], &[(2, &three)]];
    let reader = reader(file(&format, &schema, &parts));
    let metadata = reader.metadata();
    let rows: Vec<_> = metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [MAX_ROWS as i64, 1, 3, 2]);
    assert_eq!(metadata.file_metadata().num_rows(), MAX_ROWS as i64 + 6);
    let about = metadata.file_metadata().key_value_metadata().expect("metadata");
    assert_eq!((about[0].key.as_str(), about[0].value.as_deref()), ("headcount.profile", Some("full")));
    assert!(
        metadata
            .row_groups()
            .iter()
            .all(|group| group.sorting_columns().is_some_and(|by| by[0].column_idx == 0))
    );
    let ids = reader.get_row_iter(None).expect("rows").map(|row| {
        match row.expect("a row").into_columns().remove(0).1 {
            Cell::Long(id) => id,
            other => panic!("{other}"),
        }
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids[MAX_ROWS..], [1, 2, 2, 2, 3, 3]);
    assert!(ids.is_sorted());
}

#[test]
fn large_rows_make_small_row_groups() {
    let schema = Schema(vec![field("text", DataType::Text, true)]);
    let text = "x".repeat(1_000_000);
    let row = [Value::from(text.as_str())];
    let reader = reader(file(&Parquet::default(), &schema, &[&[(20, &row)]]));
    let rows: Vec<_> = reader.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [9, 9, 2]);
}

#[test]
fn a_file_without_rows_has_its_columns() {
    let schema = Schema(vec![field("id", DataType::Integer, false)]);
    let reader = reader(file(&Parquet::default(), &schema, &[&[]]));
    assert_eq!((reader.num_row_groups(), reader.metadata().file_metadata().num_rows()), (0, 0));
    assert_eq!(reader.metadata().file_metadata().schema_descr().column(0).name(), "id");
}

#[test]
fn a_file_that_is_cut_anywhere_is_none() {
    let schema = Schema(vec![field("id", DataType::Integer, false)]);
    let whole = file(&Parquet::default(), &schema, &[&[(5, &[Value::Int(1)])]]);
    for length in 0..whole.len() {
        assert!(
            SerializedFileReader::new(bytes::Bytes::copy_from_slice(&whole[..length])).is_err(),
            "{length}"
        );
    }
}

#[test]
fn what_does_not_fit_its_column_fails_and_is_named() {
    let digits = Some(Digits { precision: 4, scale: 2 });
    for (data_type, value) in [
        (DataType::Integer, "seven".into()),
        (DataType::Boolean, Value::Int(7)),
        (DataType::Date, "infinity".into()),
        (DataType::Float, Value::Int(i64::MAX)),
        (DataType::Decimal(digits), Value::Number(b"NaN")),
    ] {
        let schema = Schema(vec![field("id", DataType::Integer, false), field("x", data_type, true)]);
        let mut encoder = Parquet::default().encoder(&schema, None);
        let misfit = encoder.row(&mut Vec::new(), &[Value::Int(1), value]).expect_err("a misfit");
        assert_eq!(misfit.column, Some(1), "{misfit:?}");
    }
}

#[test]
fn what_is_masked_is_text() {
    let schema = Schema(vec![field("id", DataType::Text, true)]);
    let masks = Masks::of(&PseudonymKey::new(&[7; 32]), [Some(Mask::Redact)].into_iter());
    let mut fragment = Vec::new();
    let mut encoder = Parquet::default().encoder(&schema, masks);
    encoder.row(&mut fragment, &[Value::Int(1)]).expect("a row");
    encoder.row(&mut fragment, &[Value::Null]).expect("a row");
    encoder.finish(&mut fragment).expect("an end");
    assert!(!fragment.is_empty());
}

use super::*;
use crate::testing::{self, schema};
use headcount_model::schema::DataType;
use headcount_model::timestamp::Timestamp;
use std::io::{Cursor, Read};
use zip::ZipArchive;

fn file(schema: &Schema, parts: &[&[&[Value<'_>]]]) -> Vec<u8> {
    testing::file(&Xlsx::default(), schema, parts)
}

fn sheet(file: Vec<u8>) -> String {
    let mut archive = ZipArchive::new(Cursor::new(file)).expect("a container");
    let mut xml = String::new();
    let mut part = archive.by_name("xl/worksheets/sheet1.xml").expect("a sheet");
    part.read_to_string(&mut xml).expect("the whole sheet");
    xml
}

fn cell(data_type: DataType, value: Value<'_>) -> String {
    let mut out = Vec::new();
    Cells::of(&schema(&[("x", data_type)])).append(&mut out, 0, &value).expect("a cell");
    String::from_utf8(out).expect("XML")
}

fn text(text: &str) -> String {
    cell(DataType::Text, text.into())
}

fn inline(text: &str) -> String {
    format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>")
}

#[test]
fn every_value_has_its_type() {
    let time = |text| Value::Timestamp(Timestamp::parse_rfc3339(text).expect("a time"));
    for (data_type, value, expected) in [
        (DataType::Integer, Value::Int(-7), "<c s=\"4\"><v>-7</v></c>".to_owned()),
        (DataType::Integer, Value::Int(1 << 53), "<c s=\"4\"><v>9007199254740992</v></c>".to_owned()),
        (DataType::Integer, Value::Int((1 << 53) + 1), inline("9007199254740993")),
        (DataType::Integer, Value::Int(i64::MIN), inline("-9223372036854775808")),
        (DataType::Text, Value::Int(7), inline("7")),
        (DataType::Boolean, Value::Bool(true), "<c s=\"5\" t=\"b\"><v>1</v></c>".to_owned()),
        (DataType::Float, Value::Float(0.5), "<c><v>0.5</v></c>".to_owned()),
        (DataType::Float, Value::Float(f64::INFINITY), inline("Infinity")),
        (
            DataType::Decimal(None),
            Value::Number(b"123456789012.345"),
            "<c><v>123456789012.345</v></c>".to_owned(),
        ),
        (DataType::Decimal(None), Value::Number(b"1234567890123.456"), inline("1234567890123.456")),
        (DataType::Decimal(None), Value::Number(b"NaN"), inline("NaN")),
        (DataType::Text, Value::Null, "<c/>".to_owned()),
        (DataType::Timestamp, time("1970-01-01T00:00:00Z"), "<c s=\"2\"><v>25569</v></c>".to_owned()),
        (
            DataType::Timestamp,
            time("1970-01-01T12:00:00Z"),
            "<c s=\"2\"><v>25569.50000000000</v></c>".to_owned(),
        ),
        (DataType::Timestamp, time("1900-03-01T00:00:00Z"), "<c s=\"2\"><v>61</v></c>".to_owned()),
        (DataType::Timestamp, time("1900-02-28T23:59:59Z"), inline("1900-02-28T23:59:59Z")),
        (
            DataType::Timestamp,
            time("9999-12-31T23:59:59.999999Z"),
            "<c s=\"2\"><v>2958465.99999998843</v></c>".to_owned(),
        ),
        (
            DataType::Timestamp,
            Value::PrintedTimestamp(b"1970-01-02T00:00:00Z"),
            "<c s=\"2\"><v>25570</v></c>".to_owned(),
        ),
        (DataType::Date, "1970-01-02".into(), "<c s=\"3\"><v>25570</v></c>".to_owned()),
        (DataType::Date, "0044-03-15 BC".into(), inline("0044-03-15 BC")),
    ] {
        assert_eq!(cell(data_type, value), expected, "{value:?}");
    }
}

#[test]
fn text_is_text_whatever_it_holds() {
    for (given, expected) in [
        ("=1+1", "=1+1"),
        ("a<b>&\"c\"'", "a&lt;b&gt;&amp;\"c\"'"),
        ("a\u{0}b\u{1f}", "a_x0000_b_x001F_"),
        ("a\rb", "a_x000D_b"),
        ("_x000D_", "_x005F_x000D_"),
        ("_x0041\u{1}", "_x005F_x0041_x0001_"),
        ("_x0041\r_x0041\ty", "_x005F_x0041_x000D__x0041\ty"),
        ("_X00", "_X00"),
        ("snake_case_name", "snake_case_name"),
        ("\u{fffe}\u{ffff}\u{fffd}", "_xFFFE__xFFFF_\u{fffd}"),
        ("😀", "😀"),
    ] {
        assert_eq!(text(given), inline(expected));
    }
    let preserved = "<c t=\"inlineStr\"><is><t xml:space=\"preserve\"> a\n</t></is></c>";
    assert_eq!(text(" a\n"), preserved);
}

#[test]
fn what_a_cell_cannot_hold_fails_with_its_column() {
    let schema = schema(&[("id", DataType::Integer), ("name", DataType::Text)]);
    let row = |name: &str| {
        let mut encoder = Xlsx::default().encoder(&schema, None);
        encoder.row(&mut Vec::new(), &[Value::Int(1), name.into()])
    };
    // Astral characters are two units of UTF-16 and four bytes of UTF-8.
    for most in ["x".repeat(32_767), "ß".repeat(32_767), "😀".repeat(16_383)] {
        assert!(row(&most).is_ok());
        let misfit = row(&(most + "xx")).expect_err("too long");
        assert_eq!(misfit.column, Some(1));
        assert!(misfit.problem.contains("32767"), "{}", misfit.problem);
    }
}

#[test]
fn a_sheet_has_its_rows_in_their_order_and_a_filter_over_all() {
    let schema = schema(&[("id", DataType::Integer), ("e mail", DataType::Text)]);
    let rows: [[Value<'_>; 2]; 3] = [
        [Value::Int(1), "a".into()],
        [Value::Int(2), Value::Null],
        [Value::Int(3), "somebody@example.com".into()],
    ];
    let xml = sheet(file(&schema, &[&[], &[&rows[0], &rows[1]], &[], &[&rows[2]]]));
    let head = "<row><c s=\"1\" t=\"inlineStr\"><is><t>id</t></is></c><c s=\"1\" t=\"inlineStr\"><is><t>e mail</t></is></c></row>";
    let body = format!(
        "<sheetData>{head}<row><c s=\"4\"><v>1</v></c>{}</row><row><c s=\"4\"><v>2</v></c><c/></row><row><c s=\"4\"><v>3</v></c>{}</row></sheetData>",
        inline("a"),
        inline("somebody@example.com")
    );
    assert!(xml.contains(&body), "{xml}");
    assert!(xml.ends_with("<autoFilter ref=\"A1:B4\"/></worksheet>"), "{xml}");
    assert!(xml.contains("state=\"frozen\""));
    let empty = sheet(file(&schema, &[&[]]));
    assert!(empty.contains(&format!("<sheetData>{head}</sheetData><autoFilter ref=\"A1:B1\"/>")), "{empty}");
}

#[test]
fn the_same_rows_make_the_same_file() {
    let schema = schema(&[("id", DataType::Integer)]);
    let row: [Value<'_>; 1] = [Value::Int(1)];
    assert_eq!(file(&schema, &[&[&row]]), file(&schema, &[&[&row]]));
}

#[test]
fn columns_are_as_wide_as_the_first_rows() {
    let schema = schema(&[("id", DataType::Integer), ("at", DataType::Timestamp), ("text", DataType::Text)]);
    let text = "x".repeat(30);
    let row: [Value<'_>; 3] =
        [Value::Int(1), Value::PrintedTimestamp(b"2025-01-08T10:30:00Z"), Value::from(text.as_str())];
    let xml = sheet(file(&schema, &[&[&row]]));
    for (column, width) in [(1, 8), (2, 24), (3, 31)] {
        let col = format!("<col min=\"{column}\" max=\"{column}\" width=\"{width}\" customWidth=\"1\"/>");
        assert!(xml.contains(&col), "{col}: {xml}");
    }
}

#[test]
fn a_sheet_is_never_cut() {
    let schema = schema(&[("id", DataType::Integer)]);
    let format = Xlsx::default();
    let _assembler = format.assembler(&schema);
    let mut encoders = [format.encoder(&schema, None), format.encoder(&schema, None)];
    let mut fragment = Vec::new();
    for at in 0..MAX_ROWS {
        fragment.clear();
        encoders[(at % 2) as usize].row(&mut fragment, &[Value::Int(1)]).expect("a row");
    }
    let misfit = encoders[0].row(&mut fragment, &[Value::Int(1)]).expect_err("one too many");
    assert!(misfit.problem.contains("1048575"), "{}", misfit.problem);
}

#[test]
fn columns_have_their_letters() {
    for (number, name) in [(1, "A"), (26, "Z"), (27, "AA"), (63, "BK"), (702, "ZZ"), (703, "AAA")] {
        assert_eq!(cells::column_name(number), name);
    }
}

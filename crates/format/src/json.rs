//! JSON (RFC 8259): an object a line, or one array of the same objects.

use crate::masks::Masks;
use crate::{Assembler, Encoder, Format};
use bytes::Bytes;
use headcount_model::schema::{DataType, Field, Schema};
use headcount_model::value::{Look, Misfit, Value};

/// The format, as lines or as one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {
    /// Each object on a line of its own, which ends with LF.
    Lines,
    /// The same objects, separated by commas, in brackets: an array that closes is whole.
    Array,
}

/// Writes the objects of one part.
pub struct JsonEncoder {
    columns: Vec<Member>,
    /// After the last member.
    end: &'static [u8],
    masks: Option<Masks>,
}

/// A member of every object.
struct Member {
    /// Its name, with what separates it from what stands before.
    name: Vec<u8>,
    content: Content,
}

/// What a member is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Each cell as what it is.
    AsFound,
    /// A string, whatever the cell is, so that all cells are of one type.
    Text,
    /// JSON as it stands.
    Json,
}

impl Format for Json {
    type Encoder = JsonEncoder;

    fn encoder(&self, schema: &Schema, masks: Option<Masks>) -> JsonEncoder {
        let columns = schema.0.iter().enumerate().map(|(index, field)| self.member(index, field));
        let end: &[u8] = match self {
            Self::Lines => b"}\n",
            Self::Array => b"}",
        };
        JsonEncoder { columns: columns.collect(), end, masks }
    }

    fn assembler(&self, _: &Schema) -> Box<dyn Assembler> {
        match self {
            Self::Lines => Box::new(LinesAssembler),
            Self::Array => Box::new(ArrayAssembler { has_objects: false }),
        }
    }
}

impl Json {
    fn member(self, index: usize, field: &Field) -> Member {
        let start: &[u8] = match (index, self) {
            (0, Self::Lines) => b"{",
            // Whether an object follows another is for the assembler to say.
            (0, Self::Array) => b",\n{",
            _ => b",",
        };
        let mut name = start.to_vec();
        append_string(&mut name, field.name.as_bytes());
        name.push(b':');
        let content = match field.stored.data_type {
            DataType::Text => Content::Text,
            DataType::Json => Content::Json,
            _ => Content::AsFound,
        };
        Member { name, content }
    }
}

impl Encoder for JsonEncoder {
    #[inline]
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        for (index, (member, value)) in self.columns.iter().zip(values).enumerate() {
            fragment.extend_from_slice(&member.name);
            match self.masks.as_mut().and_then(|masks| masks.masked(index, value)) {
                Some(text) => append_string(fragment, text),
                None => append_cell(fragment, member.content, value),
            }
        }
        fragment.extend_from_slice(self.end);
        Ok(())
    }
}

#[inline]
fn append_cell(out: &mut Vec<u8>, content: Content, value: &Value<'_>) {
    match *value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Text(text) if content == Content::Json => append_line(out, text.bytes()),
        Value::Text(text) => append_string(out, text.bytes()),
        Value::Timestamp(_) | Value::PrintedTimestamp(_) | Value::Uuid(_) => append_quoted(out, value),
        _ if content == Content::Text => append_quoted(out, value),
        // JSON has no infinity and no NaN: as PostgreSQL's `row_to_json` writes them.
        Value::Float(float) if !float.is_finite() => append_quoted(out, value),
        Value::Number(text) if !is_number(text) => append_quoted(out, value),
        _ => value.append_to(out),
    }
}

/// Appends what has nothing to escape.
#[inline]
fn append_quoted(out: &mut Vec<u8>, value: &Value<'_>) {
    out.push(b'"');
    value.append_to(out);
    out.push(b'"');
}

/// Whether a number is printed as JSON prints numbers, and is not one of the words for what is none.
fn is_number(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..])
}

/// Appends JSON on one line. Between its tokens line ends are white space, and within its strings there are none (RFC 8259
/// sections 2 and 7).
fn append_line(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Appends a string (RFC 8259 section 7).
#[inline]
fn append_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if Look::has_escapes(text) {
        append_escaped(out, text);
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

#[cold]
fn append_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => out.push(byte),
        }
    }
}

/// Nothing but the lines.
struct LinesAssembler;

impl Assembler for LinesAssembler {
    fn head(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn tail(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

struct ArrayAssembler {
    has_objects: bool,
}

impl Assembler for ArrayAssembler {
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'[');
        Ok(())
    }

    fn fragment(&mut self, fragment: Bytes, _: u64) -> Result<Bytes, String> {
        let is_first = !std::mem::replace(&mut self.has_objects, true);
        // Every object is written with the comma that separates it from the one before.
        Ok(if is_first { fragment.slice(1..) } else { fragment })
    }

    fn tail(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(b"\n]\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, schema};
    use headcount_model::mask::{Mask, PseudonymKey};
    use headcount_model::timestamp::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn file(format: Json, schema: &Schema, parts: &[&[&[Value<'_>]]]) -> String {
        String::from_utf8(testing::file(&format, schema, parts)).expect("UTF-8")
    }

    #[test]
    fn every_value_is_what_it_is() {
        use DataType::{
            Boolean, Decimal, Float, Integer, Json as JsonType, Printed, Text, Timestamp as Time, Uuid,
        };
        let columns = [
            ("id", Integer),
            ("uuid", Uuid),
            ("text", Text),
            ("number as text", Text),
            ("at", Time),
            ("printed", Time),
            ("flag", Boolean),
            ("float", Float),
            ("infinite", Float),
            ("decimal", Decimal(None)),
            ("nan", Decimal(None)),
            ("json", JsonType),
            ("any", Printed),
            ("\"quoted\"", Text),
        ];
        let row = [
            Value::Int(i64::MAX),
            Value::Uuid(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"),
            "Mü\"ller\\\u{1}\n".into(),
            Value::Int(7),
            Value::Timestamp(Timestamp::from_micros(500_000).expect("a time")),
            Value::PrintedTimestamp(b"2025-01-08T10:30:00Z"),
            Value::Bool(true),
            Value::Float(1e300),
            Value::Float(f64::NEG_INFINITY),
            Value::Number(b"123456789012345678901234567890.50"),
            Value::Number(b"NaN"),
            "{\"a\":\n[1, 2]}".into(),
            Value::Int(3),
            Value::Null,
        ];
        let line = file(Json::Lines, &schema(&columns), &[&[&row]]);
        assert_eq!(
            line,
            concat!(
                r#"{"id":9223372036854775807,"uuid":"01234567-89ab-cdef-0123-456789abcdef","#,
                r#""text":"Mü\"ller\\\u0001\n","number as text":"7","at":"1970-01-01T00:00:00.500000Z","#,
                r#""printed":"2025-01-08T10:30:00Z","flag":true,"float":1e300,"infinite":"-Infinity","#,
                r#""decimal":123456789012345678901234567890.50,"nan":"NaN","json":{"a": [1, 2]},"any":3,"#,
                r#""\"quoted\"":null}"#,
                "\n"
            )
        );
        assert!(
            serde_json::from_str::<serde_json::Value>(&line)
                .is_ok_and(|value| value["json"] == json!({"a": [1, 2]}))
        );
    }

    #[test]
    fn an_array_is_one_whatever_parts_have_rows() {
        let schema = schema(&[("id", DataType::Integer)]);
        let (one, two): ([Value<'_>; 1], [Value<'_>; 1]) = ([Value::Int(1)], [Value::Int(2)]);
        for (parts, text) in [
            (&[][..], "[\n]\n"),
            (&[&[][..], &[]], "[\n]\n"),
            (&[&[][..], &[&one[..]], &[], &[&two]], "[\n{\"id\":1},\n{\"id\":2}\n]\n"),
        ] {
            assert_eq!(file(Json::Array, &schema, parts), text);
        }
    }

    #[test]
    fn what_is_masked_is_text() {
        let schema = schema(&[("id", DataType::Text), ("name", DataType::Text)]);
        let masks = Masks::of(&PseudonymKey::new(&[7; 32]), [Some(Mask::Redact), None].into_iter());
        let mut fragment = Vec::new();
        let row = [Value::Int(1), "x".into()];
        Json::Lines.encoder(&schema, masks).row(&mut fragment, &row).expect("a row");
        assert_eq!(fragment, b"{\"id\":\"[redacted]\",\"name\":\"x\"}\n");
    }

    proptest! {
        #[test]
        fn an_independent_reader_sees_the_same_cells(
            rows in proptest::collection::vec((any::<i64>(), any::<i32>().prop_map(|x| f64::from(x) / 4.0), ".*|[\"\\\\\u{0}-\u{1f}x\u{7f}\u{2028}]{0,20}"), 0..20),
        ) {
            let columns = [("id", DataType::Integer), ("x", DataType::Float), ("text", DataType::Text)];
            let cells: Vec<[Value<'_>; 3]> = rows
                .iter()
                .map(|(id, x, text)| [Value::Int(*id), Value::Float(*x), Value::from(text.as_str())])
                .collect();
            let cells: Vec<&[Value<'_>]> = cells.iter().map(|row| &row[..]).collect();
            let expected: Vec<_> = rows
                .iter()
                .map(|(id, x, text)| json!({"id": id, "x": x, "text": text}))
                .collect();
            let array = file(Json::Array, &schema(&columns), &[&cells]);
            prop_assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&array).expect("an array"), expected.clone());
            let lines = file(Json::Lines, &schema(&columns), &[&cells]);
            let lines: Result<Vec<serde_json::Value>, _> = lines.lines().map(serde_json::from_str).collect();
            prop_assert_eq!(lines.expect("lines"), expected);
        }
    }
}

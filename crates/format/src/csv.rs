//! RFC 4180, byte for byte as Python's `csv.writer` writes it by default.

use crate::masks::Masks;
use crate::{Assembler, Encoder, Format};
use headcount_model::formula::{FORMULA, WIDE_FORMULA, starts_like_formula};
use headcount_model::plan::{CsvOptions, Delimiter};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};

/// The byte order mark in UTF-8 (Unicode 16.0 section 23.8), by which Excel knows the encoding.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The format CSV, with its options. Whoever calls it owns the buffer.
#[derive(Clone, Debug, Default)]
pub struct Csv(pub CsvOptions);

/// Writes the records of one part, with or without masks.
pub struct CsvEncoder {
    csv: Csv,
    /// Whether fields are separated by commas and nothing stands for NULL, as in nearly every file.
    is_usual: bool,
    masks: Option<Masks>,
}

/// The names of the columns, and before them the byte order mark if it is wanted. Nothing follows the last record.
struct CsvAssembler {
    csv: Csv,
    names: Vec<String>,
}

impl Format for Csv {
    type Encoder = CsvEncoder;

    fn encoder(&self, _: &Schema, masks: Option<Masks>) -> CsvEncoder {
        CsvEncoder { csv: self.clone(), is_usual: self.is_usual(), masks }
    }

    fn assembler(&self, schema: &Schema) -> Box<dyn Assembler> {
        Box::new(CsvAssembler { csv: self.clone(), names: schema.names().map(str::to_owned).collect() })
    }
}

impl Encoder for CsvEncoder {
    #[inline]
    fn row(&mut self, fragment: &mut Vec<u8>, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        match &mut self.masks {
            None if self.is_usual => self.csv.usual_record(fragment, values),
            None => self.csv.unusual_record(fragment, values),
            Some(masks) => self.csv.masked_record(fragment, values, masks),
        }
        Ok(())
    }
}

impl Assembler for CsvAssembler {
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.csv.head(out, self.names.iter().map(String::as_str));
        Ok(())
    }

    fn tail(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

impl Csv {
    fn is_usual(&self) -> bool {
        self.0.delimiter == Delimiter::Comma && self.0.null.is_empty()
    }

    /// Appends the start of the file: the byte order mark and the record of column names, if they are wanted.
    pub fn head<'a>(&self, out: &mut Vec<u8>, names: impl Iterator<Item = &'a str>) {
        if self.0.bom {
            out.extend_from_slice(BYTE_ORDER_MARK);
        }
        if !self.0.header {
            return;
        }
        for (index, name) in names.enumerate() {
            if index > 0 {
                out.push(self.0.delimiter.byte());
            }
            let name = name.as_bytes();
            append_text(out, name, self.is_quoted(name), false);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends one record.
    #[inline]
    pub fn record(&self, out: &mut Vec<u8>, values: &[Value<'_>]) {
        match self.is_usual() {
            true => self.usual_record(out, values),
            false => self.unusual_record(out, values),
        }
    }

    #[inline]
    fn usual_record(&self, out: &mut Vec<u8>, values: &[Value<'_>]) {
        join(out, b',', values, |out, _, value| self.field(out, value));
    }

    fn unusual_record(&self, out: &mut Vec<u8>, values: &[Value<'_>]) {
        join(out, self.0.delimiter.byte(), values, |out, _, value| self.unusual_field(out, value));
    }

    fn masked_record(&self, out: &mut Vec<u8>, values: &[Value<'_>], masks: &mut Masks) {
        let is_usual = self.is_usual();
        join(out, self.0.delimiter.byte(), values, |out, index, value| match masks.masked(index, value) {
            Some(text) => self.unusual_text(out, text, self.is_quoted(text)),
            None if is_usual => self.field(out, value),
            None => self.unusual_field(out, value),
        });
    }

    #[inline]
    fn field(&self, out: &mut Vec<u8>, value: &Value<'_>) {
        match *value {
            Value::Text(text) => self.text(out, text.bytes(), !text.is_plain()),
            _ => value.append_to(out),
        }
    }

    /// A field where another delimiter separates, or something stands for NULL.
    fn unusual_field(&self, out: &mut Vec<u8>, value: &Value<'_>) {
        match *value {
            Value::Null => out.extend_from_slice(self.0.null.as_bytes()),
            Value::Text(text) => self.unusual_text(out, text.bytes(), self.is_quoted(text.bytes())),
            _ => {
                let start = out.len();
                value.append_to(out);
                if self.is_null(&out[start..]) {
                    out.insert(start, b'"');
                    out.push(b'"');
                }
            }
        }
    }

    #[inline]
    fn text(&self, out: &mut Vec<u8>, text: &[u8], has_marks: bool) {
        if starts_usually(text) {
            append_text(out, text, has_marks, false);
        } else {
            self.unusual_text(out, text, has_marks);
        }
    }

    /// Text whose first byte does not say by itself that it needs nothing but what is in it.
    #[cold]
    fn unusual_text(&self, out: &mut Vec<u8>, text: &[u8], has_marks: bool) {
        let is_quoted = has_marks || ends_copy(text) || self.looks_like_mark(out, text);
        append_text(out, text, is_quoted, self.0.sanitize && starts_like_formula(text));
    }

    /// Whether readers would take the start of a text for the byte order mark of the file, should its record be the first, and so
    /// see what follows it, such as a formula.
    fn looks_like_mark(&self, out: &[u8], text: &[u8]) -> bool {
        let is_first_field = matches!(out.last(), None | Some(b'\n'));
        !self.0.header && !self.0.bom && is_first_field && text.starts_with(BYTE_ORDER_MARK)
    }

    /// Whether a text is quoted: for what separates fields and records, or because unquoted it would mean something else.
    fn is_quoted(&self, text: &[u8]) -> bool {
        let delimiter = self.0.delimiter.byte();
        let is_mark = |byte: &u8| *byte == delimiter || matches!(*byte, b'"' | b'\r' | b'\n');
        text.iter().any(is_mark) || ends_copy(text) || self.is_null(text)
    }

    /// Whether a field would look like a NULL, where a text stands for it.
    fn is_null(&self, field: &[u8]) -> bool {
        !self.0.null.is_empty() && field == self.0.null.as_bytes()
    }
}

#[inline]
fn join(
    out: &mut Vec<u8>,
    delimiter: u8,
    values: &[Value<'_>],
    mut field: impl FnMut(&mut Vec<u8>, usize, &Value<'_>),
) {
    let start = out.len();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        field(out, index, value);
    }
    if out.len() == start {
        // A lone empty field would be an empty line, which readers skip: it is written as "".
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

/// The first bytes of texts that have to be looked at again: [`FORMULA`] and `'`, the first byte of [`WIDE_FORMULA`], and `\`.
const UNUSUAL: [bool; 256] = {
    let mut unusual = [false; 256];
    let mut at = 0;
    while at < FORMULA.len() {
        unusual[FORMULA[at] as usize] = true;
        at += 1;
    }
    unusual[b'\'' as usize] = true;
    unusual[WIDE_FORMULA[0][0] as usize] = true;
    unusual[b'\\' as usize] = true;
    unusual
};

/// Whether the first byte of a text says that it gets neither a `'` nor quotes because of its start: all that is asked of
/// nearly every text, one byte in a table.
#[inline]
fn starts_usually(text: &[u8]) -> bool {
    text.first().is_none_or(|&first| !UNUSUAL[usize::from(first)])
}

/// Whether PostgreSQL's `COPY` would take an unquoted field for the end of the data, where it stands alone on its line
/// (PostgreSQL manual, "COPY", section "CSV Format").
fn ends_copy(text: &[u8]) -> bool {
    text == b"\\."
}

/// Appends text, in quotes if it has marks. The `'` before a formula needs none, so it can go inside whatever quotes there are.
#[inline]
fn append_text(out: &mut Vec<u8>, text: &[u8], has_marks: bool, is_formula: bool) {
    if has_marks {
        out.push(b'"');
    }
    if is_formula {
        out.push(b'\'');
    }
    if has_marks {
        append_with_doubled_quotes(out, text);
        out.push(b'"');
    } else {
        out.extend_from_slice(text);
    }
}

fn append_with_doubled_quotes(out: &mut Vec<u8>, text: &[u8]) {
    let mut copied = 0;
    for quote in memchr::memchr_iter(b'"', text) {
        out.extend_from_slice(&text[copied..=quote]);
        out.push(b'"');
        copied = quote + 1;
    }
    out.extend_from_slice(&text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_model::formula::unsanitized;
    use headcount_model::timestamp::Timestamp;
    use proptest::prelude::*;

    fn csv(bom: bool, sanitize: bool) -> Csv {
        Csv(CsvOptions { bom, sanitize, ..CsvOptions::default() })
    }

    fn record(sanitize: bool, values: &[Value<'_>]) -> String {
        let mut out = Vec::new();
        csv(false, sanitize).record(&mut out, values);
        String::from_utf8(out).expect("records are UTF-8")
    }

    #[test]
    fn every_kind_of_value() {
        let uuid = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let time = Timestamp::parse_rfc3339("2025-01-08T10:30:00.5Z").expect("a time");
        let values = [
            Value::Int(-7),
            Value::Bool(true),
            Value::Bool(false),
            Value::Null,
            Value::Uuid(uuid),
            Value::Timestamp(time),
            "Müller".into(),
        ];
        assert_eq!(
            record(true, &values),
            "-7,true,false,,01234567-89ab-cdef-0123-456789abcdef,2025-01-08T10:30:00.500000Z,Müller\r\n"
        );
    }

    #[test]
    fn only_what_needs_quotes_gets_them() {
        for (text, field) in [
            ("plain; text", "plain; text"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\rlines", "\"two\rlines\""),
            ("", ""),
            (" ", " "),
            ("\\.", "\"\\.\""),
            ("\\.x", "\\.x"),
            ("x\\.", "x\\."),
        ] {
            assert_eq!(record(true, &[Value::Int(1), text.into()]), format!("1,{field}\r\n"));
        }
    }

    #[test]
    fn formulas_get_a_mark_that_can_be_taken_off() {
        for (text, field) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-x", "'-x"),
            ("@home", "'@home"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("＝1", "'＝1"),
            ("＋49", "'＋49"),
            ("－x", "'－x"),
            ("＠home", "'＠home"),
            ("''＝1", "'''＝1"),
            ("！", "！"),
            ("ａ＝", "ａ＝"),
            ("\u{feff}=1", "\u{feff}=1"),
            ("=a,b", "\"'=a,b\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("'=1", "''=1"),
            ("'''@", "''''@"),
            ("'quoted'", "'quoted'"),
            ("'", "'"),
            ("a=1", "a=1"),
        ] {
            assert_eq!(record(true, &[Value::Int(1), text.into()]), format!("1,{field}\r\n"));
        }
        assert_eq!(record(false, &[Value::Int(1), "=1".into()]), "1,=1\r\n");
        assert_eq!(record(true, &[Value::Int(-1), Value::Int(-2)]), "-1,-2\r\n");
    }

    #[test]
    fn a_lone_empty_field_is_not_an_empty_line() {
        assert_eq!(record(true, &[Value::Null]), "\"\"\r\n");
        assert_eq!(record(true, &[Value::Null, Value::Null]), ",\r\n");
    }

    #[test]
    fn the_file_starts_with_the_mark_and_the_names() {
        let mut out = Vec::new();
        csv(true, true).head(&mut out, ["id", "email"].into_iter());
        assert_eq!(out, b"\xef\xbb\xbfid,email\r\n");
        out.clear();
        csv(false, true).head(&mut out, ["\\."].into_iter());
        assert_eq!(out, b"\"\\.\"\r\n");
    }

    fn options(delimiter: Delimiter, null: &str) -> Csv {
        Csv(CsvOptions { delimiter, null: null.to_owned(), ..CsvOptions::default() })
    }

    #[test]
    fn fields_are_quoted_for_what_separates_them() {
        for (delimiter, text) in
            [(Delimiter::Semicolon, "a,b;\"a;b\";'=1;;7\r\n"), (Delimiter::Tab, "a,b\ta;b\t'=1\t\t7\r\n")]
        {
            let mut out = Vec::new();
            let values = ["a,b".into(), "a;b".into(), "=1".into(), Value::Null, Value::Int(7)];
            options(delimiter, "").record(&mut out, &values);
            assert_eq!(String::from_utf8_lossy(&out), text);
            let mut out = Vec::new();
            options(delimiter, "").record(&mut out, &["a\tb".into(), "x\ny".into()]);
            assert!(out.ends_with(b"\"x\ny\"\r\n"));
        }
    }

    #[test]
    fn nothing_but_a_null_looks_like_one() {
        let mut out = Vec::new();
        let values = [Value::Null, "NULL".into(), "".into(), "null".into(), Value::Int(7)];
        options(Delimiter::Comma, "NULL").record(&mut out, &values);
        options(Delimiter::Comma, "7").record(&mut out, &[Value::Int(7), Value::Null, "7".into()]);
        assert_eq!(String::from_utf8_lossy(&out), "NULL,\"NULL\",,null,7\r\n\"7\",7,\"7\"\r\n");
    }

    #[test]
    fn a_file_may_start_with_its_first_record() {
        let mut out = Vec::new();
        Csv(CsvOptions { header: false, bom: true, ..CsvOptions::default() })
            .head(&mut out, ["id"].into_iter());
        assert_eq!(out, BYTE_ORDER_MARK);
    }

    #[test]
    fn a_text_is_not_taken_for_the_mark_of_a_file_without_a_header() {
        let marked = [Value::from("\u{feff}=1"), Value::from("\u{feff}")];
        for (header, bom, text) in [
            (true, false, "\u{feff}=1,\u{feff}\r\n"),
            (false, true, "\u{feff}=1,\u{feff}\r\n"),
            (false, false, "\"\u{feff}=1\",\u{feff}\r\n"),
        ] {
            for null in ["", "NULL"] {
                let mut out = Vec::new();
                let options = CsvOptions { header, bom, null: null.to_owned(), ..CsvOptions::default() };
                Csv(options).record(&mut out, &marked);
                assert_eq!(String::from_utf8_lossy(&out), text);
            }
        }
    }

    proptest! {
        #[test]
        fn an_independent_reader_sees_the_same_cells(
            rows in proptest::collection::vec(proptest::collection::vec(".*|[,;\t\"\r\n'=+@a＝－\\\\.-]{0,6}", 3), 0..20),
            sanitize: bool,
            delimiter in proptest::sample::select(&Delimiter::ALL),
            null in proptest::sample::select(&["", "a", "NULL"]),
        ) {
            let csv = Csv(CsvOptions { sanitize, delimiter, null: null.to_owned(), ..CsvOptions::default() });
            let mut out = Vec::new();
            csv.head(&mut out, ["a", "b", "c"].into_iter());
            for row in &rows {
                let values: Vec<_> = row.iter().map(|text| Value::from(text.as_str())).collect();
                csv.record(&mut out, &values);
            }
            let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter.byte()).from_reader(&out[..]);
            let mut read = Vec::new();
            for record in reader.records() {
                let record = record.expect("a record");
                read.push(record.iter().map(|field| {
                    if sanitize { unsanitized(field).to_owned() } else { field.to_owned() }
                }).collect::<Vec<_>>());
            }
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn sanitized_text_never_starts_a_formula(text in "['=+@\t\r\n＝＋－＠-]{0,4}.*") {
            let mut out = Vec::new();
            csv(false, true).field(&mut out, &Value::from(text.as_str()));
            let field = String::from_utf8(out).expect("records are UTF-8");
            let field = field.strip_prefix('"').unwrap_or(&field);
            prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']));
        }
    }
}

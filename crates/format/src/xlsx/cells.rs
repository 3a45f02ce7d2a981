//! The cells of a sheet.

use headcount_model::schema::{DataType, Schema};
use headcount_model::timestamp::Timestamp;
use headcount_model::value::Value;
use memchr::memchr2_iter;

/// UTF-16 units in a cell (Microsoft, "Excel specifications and limits").
const MAX_UNITS: usize = 32_767;
/// Integers up to here are exact in a cell, which is a double (IEEE 754).
const MAX_EXACT: u64 = 1 << 53;
/// Digits of a decimal number that Excel keeps.
const MAX_DIGITS: usize = 15;
/// 1900-03-01 in days since 1970. Spreadsheets disagree about the days before it, because Lotus 1-2-3 took 1900 for a leap year.
const FIRST_DAY: i64 = 61 - UNIX_EPOCH;
/// 9999-12-31T23:59:59.999Z in days since 1970 and microseconds of the last: a double cannot tell what is later from the next day,
/// which spreadsheets do not have.
const LAST: (i64, i64) = (2_958_465 - UNIX_EPOCH, 86_399_999_000);
/// 1970-01-01 as spreadsheets count days.
const UNIX_EPOCH: i64 = 25_569;

/// What the cells of each column are.
pub(super) struct Cells(Vec<DataType>);

impl Cells {
    pub(super) fn of(schema: &Schema) -> Self {
        Self(schema.0.iter().map(|field| field.stored.data_type).collect())
    }

    /// Appends a cell; or says what is wrong with it.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>, at: usize, value: &Value<'_>) -> Result<(), String> {
        match *value {
            Value::Null => out.extend_from_slice(b"<c/>"),
            Value::Text(text) if self.0.get(at) == Some(&DataType::Date) => {
                return append_date(out, text.bytes());
            }
            Value::Text(text) => return append_text(out, text.bytes()),
            Value::Bool(true) => out.extend_from_slice(b"<c s=\"5\" t=\"b\"><v>1</v></c>"),
            Value::Bool(false) => out.extend_from_slice(b"<c s=\"5\" t=\"b\"><v>0</v></c>"),
            _ if self.0.get(at) == Some(&DataType::Text) => append_printed(out, value),
            Value::Int(int) if int.unsigned_abs() <= MAX_EXACT => {
                out.extend_from_slice(b"<c s=\"4\"><v>");
                value.append_to(out);
                out.extend_from_slice(b"</v></c>");
            }
            Value::Float(float) if float.is_finite() => append_number(out, value),
            Value::Number(text) if is_exact(text) => append_number(out, value),
            Value::Timestamp(time) => append_time(out, time),
            Value::PrintedTimestamp(text) => match Timestamp::parse_database_text(text) {
                Some(time) => append_time(out, time),
                None => append_printed(out, value),
            },
            Value::Int(_) | Value::Float(_) | Value::Number(_) | Value::Uuid(_) => append_printed(out, value),
        }
        Ok(())
    }
}

/// Whether a cell keeps all digits of a number.
fn is_exact(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    (1..=MAX_DIGITS).contains(&digits)
        && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte))
}

fn append_number(out: &mut Vec<u8>, value: &Value<'_>) {
    out.extend_from_slice(b"<c><v>");
    value.append_to(out);
    out.extend_from_slice(b"</v></c>");
}

/// Appends as text what has nothing to escape and is short.
fn append_printed(out: &mut Vec<u8>, value: &Value<'_>) {
    out.extend_from_slice(b"<c t=\"inlineStr\"><is><t>");
    value.append_to(out);
    out.extend_from_slice(b"</t></is></c>");
}

/// Appends a time as days since 1899-12-30, with eleven digits behind the point: a millionth of a second.
fn append_time(out: &mut Vec<u8>, time: Timestamp) {
    let (days, rest) = time.days().min(LAST);
    if days < FIRST_DAY {
        return append_printed(out, &Value::Timestamp(time));
    }
    out.extend_from_slice(b"<c s=\"2\"><v>");
    Value::Int(days + UNIX_EPOCH).append_to(out);
    if rest > 0 {
        // rest / 86,400,000,000 * 10^11, rounded; less than 10^11 for every rest.
        let fraction = (rest * 1000 + 432) / 864;
        let mut digits = *b".00000000000";
        let mut left = fraction.min(99_999_999_999);
        for digit in digits[1..].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        out.extend_from_slice(&digits);
    }
    out.extend_from_slice(b"</v></c>");
}

/// Appends a date as in `2025-01-31`; as text what spreadsheets do not know.
fn append_date(out: &mut Vec<u8>, text: &[u8]) -> Result<(), String> {
    let days = Timestamp::parse_day(text).map(|day| day.days().0);
    match days.filter(|days| *days >= FIRST_DAY) {
        Some(days) => {
            out.extend_from_slice(b"<c s=\"3\"><v>");
            Value::Int(days + UNIX_EPOCH).append_to(out);
            out.extend_from_slice(b"</v></c>");
            Ok(())
        }
        None => append_text(out, text),
    }
}

/// Appends a text.
///
/// # Errors
///
/// A cell cannot hold it.
#[inline]
pub(super) fn append_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), String> {
    append_string(out, b"<c t=\"inlineStr\"><is><t", text)
}

/// Appends a name of a column.
pub(super) fn append_header(out: &mut Vec<u8>, name: &[u8]) -> Result<(), String> {
    append_string(out, b"<c s=\"1\" t=\"inlineStr\"><is><t", name)
}

#[inline]
fn append_string(out: &mut Vec<u8>, start: &[u8], text: &[u8]) -> Result<(), String> {
    // As many bytes are at least as many units.
    if text.len() > MAX_UNITS {
        check_length(text)?;
    }
    out.extend_from_slice(start);
    let has_space_around = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    if has_space_around(text.first()) || has_space_around(text.last()) {
        out.extend_from_slice(b" xml:space=\"preserve\"");
    }
    out.push(b'>');
    if is_simple(text) {
        out.extend_from_slice(text);
    } else {
        append_escaped(out, text);
    }
    out.extend_from_slice(b"</t></is></c>");
    Ok(())
}

#[cold]
fn check_length(text: &[u8]) -> Result<(), String> {
    let units = String::from_utf8_lossy(text).encode_utf16().count();
    if units <= MAX_UNITS {
        return Ok(());
    }
    Err(format!(
        "this text has {units} UTF-16 units, and a cell of XLSX holds {MAX_UNITS}; the other formats take it"
    ))
}

/// Whether a text stands in XML as it is.
#[inline]
fn is_simple(text: &[u8]) -> bool {
    text.iter().all(|byte| SIMPLE[usize::from(*byte)])
}

/// Bytes that mean nothing else in XML, and do not begin what a spreadsheet reads as an escape (`_x000D_`) or XML cannot hold
/// (U+FFFE and U+FFFF, in UTF-8 from 0xEF).
const SIMPLE: [bool; 256] = {
    let mut simple = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        simple[byte] = byte == b'\t' as usize || byte == b'\n' as usize;
        byte += 1;
    }
    simple[b'&' as usize] = false;
    simple[b'<' as usize] = false;
    simple[b'>' as usize] = false;
    simple[b'_' as usize] = false;
    simple[0xef] = false;
    simple
};

/// Escapes for XML (XML 1.0 section 2.4), and as `_xHHHH_` what XML has no place for (ECMA-376 part 1, section 22.9.2.19).
fn append_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'_' if is_escape(rest) => out.extend_from_slice(b"_x005F_"),
            b'\t' | b'\n' => out.push(byte),
            0..0x20 => out.extend_from_slice(format!("_x{byte:04X}_").as_bytes()),
            0xef if rest.starts_with(b"\xef\xbf\xbe") || rest.starts_with(b"\xef\xbf\xbf") => {
                out.extend_from_slice(if rest[2] == 0xbe { b"_xFFFE_" } else { b"_xFFFF_" });
                rest = &rest[3..];
                continue;
            }
            _ => out.push(byte),
        }
        rest = after;
    }
}

/// Whether a text would begin like `_x000D_`, once what follows is escaped, too.
fn is_escape(text: &[u8]) -> bool {
    let [b'_', b'x' | b'X', digits @ ..] = text else { return false };
    let Some((digits, rest)) = digits.split_first_chunk::<4>() else { return false };
    let ends = match rest {
        [b'_', ..] | [0xef, 0xbf, 0xbe | 0xbf, ..] => true,
        [byte, ..] => *byte < 0x20 && !matches!(byte, b'\t' | b'\n'),
        [] => false,
    };
    ends && digits.iter().all(u8::is_ascii_hexdigit)
}

/// `A`, `B`, …, `Z`, `AA` and so on, counted from 1.
pub(super) fn column_name(mut number: usize) -> String {
    let mut name = Vec::new();
    while number > 0 {
        name.push(b'A' + ((number - 1) % 26) as u8);
        number = (number - 1) / 26;
    }
    name.reverse();
    String::from_utf8_lossy(&name).into_owned()
}

/// The widths of the columns, in characters.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths(Vec<usize>);

/// What a column has at least and at most, so that neither an empty nor a long one is a nuisance.
const WIDTHS: std::ops::RangeInclusive<usize> = 8..=50;
/// Of a time in its format.
const TIME_WIDTH: usize = 23;

impl Widths {
    /// By the types alone.
    pub(super) fn of(schema: &Schema) -> Self {
        let width = |data_type| match data_type {
            DataType::Timestamp => TIME_WIDTH,
            DataType::Uuid => 36,
            DataType::Date => 10,
            _ => 0,
        };
        Self(schema.0.iter().map(|field| width(field.stored.data_type)).collect())
    }

    /// Takes a cell of a column into account, as it is written.
    pub(super) fn widen(&mut self, column: usize, cell: &[u8]) {
        let Some(width) = self.0.get_mut(column) else { return };
        // Without its tags; what is escaped is a little longer than it is shown, which does no harm.
        let (mut shown, mut from) = (0, 0);
        for at in memchr2_iter(b'<', b'>', cell) {
            if cell[at] == b'<' {
                shown += String::from_utf8_lossy(&cell[from..at]).chars().count();
            } else {
                from = at + 1;
            }
        }
        if !cell.starts_with(b"<c s=\"2\"") && !cell.starts_with(b"<c s=\"3\"") {
            *width = shown.max(*width);
        }
    }

    /// Of a column with this name, which has the arrow of the filter beside it.
    pub(super) fn of_column(&self, column: usize, name: &str) -> usize {
        let cells = self.0.get(column).copied().unwrap_or_default();
        (cells + 1).max(name.chars().count() + 4).clamp(*WIDTHS.start(), *WIDTHS.end())
    }
}

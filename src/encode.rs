//! Rows to bytes. Knows no database and no socket: values in, bytes appended to a buffer.

pub mod csv;

use crate::timestamp::Timestamp;

/// One cell, borrowed from the database's own buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// The sixteen bytes in network order (RFC 9562 section 4).
    Uuid([u8; 16]),
    /// UTF-8, as [`Value::text`] has checked.
    Text(&'a [u8]),
    Timestamp(Timestamp),
    /// A timestamp that the database keeps as it is printed, see [`Timestamp::is_printed_form`].
    PrintedTimestamp(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Text, if it is UTF-8. Most is ASCII, which is told several times faster than UTF-8 in general.
    pub fn text(bytes: &'a [u8]) -> Option<Self> {
        (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()).then_some(Self::Text(bytes))
    }
}

/// Appends the 36 characters of a UUID in lower case (RFC 9562 section 4).
fn append_uuid(out: &mut Vec<u8>, uuid: [u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in uuid.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

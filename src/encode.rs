//! Rows to bytes. Knows no database and no socket: values in, bytes appended to a buffer.

pub mod csv;
pub mod mask;
mod text;

use crate::timestamp::Timestamp;
use text::Look;

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
    /// Text as before, without `,` `"` CR and LF: no format that separates by these has to look at it again.
    Plain(&'a [u8]),
    Timestamp(Timestamp),
    Float(f64),
    /// A timestamp or a number that the database gives as it is printed: it needs neither quotes nor a mark.
    Printed(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Text, if it is UTF-8. Most is ASCII, which is told several times faster than UTF-8 in general.
    #[inline]
    pub fn text(bytes: &'a [u8]) -> Option<Self> {
        let look = Look::at(bytes);
        let is_utf8 = !look.has_high || std::str::from_utf8(bytes).is_ok();
        is_utf8.then_some(if look.has_marks { Self::Text(bytes) } else { Self::Plain(bytes) })
    }

    /// Appends the value as it is printed, whatever the format around it.
    #[inline]
    fn append_to(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Null => {}
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(int) => out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes()),
            Self::Float(float) if float.is_infinite() => {
                // As PostgreSQL says it (PostgreSQL manual, section 8.1.3).
                out.extend_from_slice(if float > 0.0 { b"Infinity" } else { b"-Infinity" });
            }
            // The shortest text that reads back as the same number (Rust's `Debug` for `f64`).
            Self::Float(float) => out.extend_from_slice(format!("{float:?}").as_bytes()),
            Self::Uuid(uuid) => append_uuid(out, uuid),
            Self::Timestamp(timestamp) => timestamp.append_to(out),
            Self::Printed(text) | Self::Plain(text) | Self::Text(text) => out.extend_from_slice(text),
        }
    }
}

/// Appends the 36 characters of a UUID in lower case (RFC 9562 section 4).
pub fn append_uuid(out: &mut Vec<u8>, uuid: [u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in uuid.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

//! What a cell is: typed, and borrowed from the database's own buffer.

mod look;

use crate::timestamp::Timestamp;
pub use look::Look;

/// One cell, borrowed from the database's own buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// The sixteen bytes in network order (RFC 9562 section 4).
    Uuid([u8; 16]),
    Text(Text<'a>),
    Timestamp(Timestamp),
    /// A timestamp that the database holds in the form in which [`Timestamp`] prints it, which nobody has to read then.
    PrintedTimestamp(&'a [u8]),
    Float(f64),
    /// A number as the database prints it: of a type that has more digits than an `i64` or an `f64`, or that it sends as text.
    Number(&'a [u8]),
}

/// Why a row cannot be written in a format.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which of its cells is why, if one is.
    pub column: Option<usize>,
    /// What is wrong, without what the cell says.
    pub problem: String,
}

impl Misfit {
    /// Of a cell. In a box, because hardly any row is one.
    pub fn of_cell(column: usize, problem: impl Into<String>) -> Box<Self> {
        Box::new(Self { column: Some(column), problem: problem.into() })
    }

    /// Of the file as a whole.
    pub fn of_file(problem: impl Into<String>) -> Box<Self> {
        Box::new(Self { column: None, problem: problem.into() })
    }
}

/// A text, which is UTF-8, and what one look at it has told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    bytes: &'a [u8],
    is_plain: bool,
}

impl<'a> Text<'a> {
    /// `None` if it is not UTF-8. Most is ASCII, which is told several times faster than UTF-8 in general.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        let look = Look::at(bytes);
        let is_utf8 = !look.has_high || std::str::from_utf8(bytes).is_ok();
        is_utf8.then_some(Self { bytes, is_plain: !look.has_marks })
    }

    /// UTF-8.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no `,` `"` CR and LF in it, so that a format that separates by these need not look at it again.
    #[inline]
    pub fn is_plain(self) -> bool {
        self.is_plain
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        Self::Text(Text { bytes, is_plain: !Look::at(bytes).has_marks })
    }
}

impl<'a> Value<'a> {
    /// Text, if it is UTF-8.
    #[inline]
    pub fn text(bytes: &'a [u8]) -> Option<Self> {
        Text::checked(bytes).map(Self::Text)
    }

    /// Appends the value as it is printed, whatever the format around it.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
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
            Self::Text(text) => out.extend_from_slice(text.bytes),
            Self::PrintedTimestamp(text) | Self::Number(text) => out.extend_from_slice(text),
        }
    }
}

/// Appends the 36 characters of a UUID in lower case (RFC 9562 section 4).
#[inline]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cells_of_a_row_are_small() {
        assert_eq!(size_of::<Value<'_>>(), 24, "a text, and what is known of it");
    }

    #[test]
    fn a_text_is_utf_8() {
        assert_eq!(Value::text("Müller".as_bytes()), Some("Müller".into()));
        assert!(Text::checked("Müller, \"Anna\"".as_bytes()).is_some_and(|text| !text.is_plain()));
        assert_eq!(Value::text(b"M\xfcller"), None);
    }
}

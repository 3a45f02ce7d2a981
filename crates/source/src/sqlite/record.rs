//! The cells of a record ("Database File Format" of the SQLite manual, section 2.1).

use rusqlite::types::ValueRef;

/// How much of what was asked for a record's bytes hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// The record ends before the columns do, which were added to the table later, or goes on elsewhere.
    Part,
}

/// Reads the first columns of a record of `size` bytes, of which `payload` are the first; `None` if it is malformed.
#[inline]
pub(super) fn read<'a>(payload: &'a [u8], size: usize, cells: &mut [ValueRef<'a>]) -> Option<Extent> {
    let goes_on = size > payload.len();
    let (header_size, after_size) = varint(payload)?;
    let size_of_size = payload.len() - after_size.len();
    let Some((header, mut body)) = payload.split_at_checked(usize::try_from(header_size).ok()?) else {
        return goes_on.then_some(Extent::Part);
    };
    let mut header = header.get(size_of_size..)?;
    for cell in cells {
        if header.is_empty() {
            return Some(Extent::Part);
        }
        let (serial_type, further_types) = varint(header)?;
        let Some((value, further)) = value(serial_type, body) else {
            return goes_on.then_some(Extent::Part);
        };
        *cell = value;
        (header, body) = (further_types, further);
    }
    // Where the header ends the content does, too.
    let is_longer = header.is_empty() && (goes_on || !body.is_empty());
    (!is_longer).then_some(Extent::All)
}

/// A variable-length integer and what follows it (section 1.6): seven bits a byte, eight in the ninth.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [byte @ 0..0x80, rest @ ..] => Some((u64::from(*byte), rest)),
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut rest = bytes;
    for _ in 0..8 {
        let (byte, further) = rest.split_first()?;
        value = value << 7 | u64::from(byte & 0x7f);
        rest = further;
        if *byte < 0x80 {
            return Some((value, rest));
        }
    }
    let (byte, rest) = rest.split_first()?;
    Some((value << 8 | u64::from(*byte), rest))
}

/// The value of a serial type and what follows its content; `None` if the content is not there, or the type is in no file.
#[inline]
fn value(serial_type: u64, body: &[u8]) -> Option<(ValueRef<'_>, &[u8])> {
    // Integers are in two's complement, the most significant byte first.
    let (integer, rest) = match serial_type {
        0 => return Some((ValueRef::Null, body)),
        1 => body.split_first_chunk().map(|(&bytes, rest)| (i8::from_be_bytes(bytes).into(), rest))?,
        2 => body.split_first_chunk().map(|(&bytes, rest)| (i16::from_be_bytes(bytes).into(), rest))?,
        3 => {
            let (&[a, b, c], rest) = body.split_first_chunk()?;
            (i64::from(i32::from_be_bytes([a, b, c, 0]) >> 8), rest)
        }
        4 => body.split_first_chunk().map(|(&bytes, rest)| (i32::from_be_bytes(bytes).into(), rest))?,
        5 => {
            let (&[a, b, c, d, e, f], rest) = body.split_first_chunk()?;
            (i64::from_be_bytes([a, b, c, d, e, f, 0, 0]) >> 16, rest)
        }
        6 => body.split_first_chunk().map(|(&bytes, rest)| (i64::from_be_bytes(bytes), rest))?,
        7 => {
            let (&bytes, rest) = body.split_first_chunk()?;
            let real = f64::from_be_bytes(bytes);
            // What is no number is NULL to SQLite.
            return Some((if real.is_nan() { ValueRef::Null } else { ValueRef::Real(real) }, rest));
        }
        8 => (0, body),
        9 => (1, body),
        10 | 11 => return None,
        _ => {
            let (content, rest) = body.split_at_checked(usize::try_from((serial_type - 12) / 2).ok()?)?;
            let is_text = serial_type % 2 == 1;
            return Some((if is_text { ValueRef::Text(content) } else { ValueRef::Blob(content) }, rest));
        }
    };
    Some((ValueRef::Integer(integer), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The shortest form: up to eight bytes of seven bits, or all eight and one of eight bits.
    fn as_varint(value: u64) -> Vec<u8> {
        let sevens = |value: u64, count: usize| {
            (0..count).rev().map(move |at| (value >> (7 * at)) as u8 | 0x80).collect::<Vec<_>>()
        };
        if value >= 1 << 56 {
            return [sevens(value >> 8, 8), vec![value as u8]].concat();
        }
        let count = (1..8).find(|count| value >> (7 * count) == 0).unwrap_or(8);
        [sevens(value >> 7, count - 1), vec![value as u8 & 0x7f]].concat()
    }

    fn record(types: &[u64], content: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|serial_type| as_varint(*serial_type)).collect();
        let mut record = vec![u8::try_from(types.len() + 1).expect("a short header")];
        record.extend(types);
        record.extend(content);
        record
    }

    fn cells(record: &[u8], count: usize) -> Option<Vec<ValueRef<'_>>> {
        let mut cells = vec![ValueRef::Null; count];
        (read(record, record.len(), &mut cells)? == Extent::All).then_some(cells)
    }

    #[test]
    fn every_serial_type() {
        for (serial_type, content, expected) in [
            (0, &b""[..], ValueRef::Null),
            (1, b"\xff", ValueRef::Integer(-1)),
            (1, b"\x7f", ValueRef::Integer(127)),
            (2, b"\x80\x00", ValueRef::Integer(-32_768)),
            (3, b"\xff\xff\xfe", ValueRef::Integer(-2)),
            (3, b"\x01\x00\x00", ValueRef::Integer(65_536)),
            (4, b"\x80\x00\x00\x00", ValueRef::Integer(i32::MIN.into())),
            (5, b"\xff\xff\xff\xff\xff\xfd", ValueRef::Integer(-3)),
            (5, b"\x01\x00\x00\x00\x00\x00", ValueRef::Integer(1 << 40)),
            (6, b"\x80\x00\x00\x00\x00\x00\x00\x00", ValueRef::Integer(i64::MIN)),
            (7, b"\xbf\xf8\x00\x00\x00\x00\x00\x00", ValueRef::Real(-1.5)),
            (7, b"\x7f\xf8\x00\x00\x00\x00\x00\x00", ValueRef::Null),
            (8, b"", ValueRef::Integer(0)),
            (9, b"", ValueRef::Integer(1)),
            (12, b"", ValueRef::Blob(b"")),
            (13, b"", ValueRef::Text(b"")),
            (16, b"\x00\xff", ValueRef::Blob(b"\x00\xff")),
            (17, b"\x00\xff", ValueRef::Text(b"\x00\xff")),
        ] {
            assert_eq!(cells(&record(&[serial_type], content), 1), Some(vec![expected]), "{serial_type}");
        }
        for serial_type in [10, 11, u64::MAX, u64::MAX - 1] {
            assert_eq!(cells(&record(&[serial_type], b""), 1), None, "{serial_type}");
        }
    }

    #[test]
    fn columns_that_are_not_asked_for_may_be_anything() {
        let record = record(&[9, 15, 10], b"abcd");
        assert_eq!(cells(&record, 2), Some(vec![ValueRef::Integer(1), ValueRef::Text(b"a")]));
        assert_eq!(cells(&record, 3), None);
    }

    #[test]
    fn a_record_that_is_too_short_is_a_part_and_one_that_does_not_fit_is_malformed() {
        let mut two = [ValueRef::Null; 2];
        let text = record(&[15, 17], b"abc");
        assert_eq!(read(&text, text.len(), &mut two), Some(Extent::All));
        assert_eq!(read(&text, text.len(), &mut [ValueRef::Null; 3]), Some(Extent::Part));
        // It goes on elsewhere: from the header on, or from the content on.
        for there in 1..text.len() {
            assert_eq!(read(&text[..there], text.len(), &mut two), Some(Extent::Part), "{there}");
            assert_eq!(read(&text[..there], there, &mut two), None, "{there}");
        }
        let mut longer = text.clone();
        longer.push(b'd');
        assert_eq!(read(&longer, longer.len(), &mut two), None);
        assert_eq!(read(&text, text.len() + 1, &mut two), None);
        for malformed in [&b""[..], b"\x00", b"\x81", b"\x02\x81\x00"] {
            assert_eq!(read(malformed, malformed.len(), &mut two), None, "{malformed:?}");
        }
    }

    proptest! {
        #[test]
        fn varints_are_read_as_they_are_written(bits in 0..64_u32, random: u64) {
            let value = random >> bits;
            let mut bytes = as_varint(value);
            prop_assert!(bytes.len() <= 9);
            bytes.push(0x55);
            prop_assert_eq!(varint(&bytes), Some((value, &[0x55][..])));
            prop_assert_eq!(varint(&bytes[..bytes.len() - 2]), None);
        }

        #[test]
        fn whatever_is_read_nothing_panics(bytes: Vec<u8>, more in 0..9_usize, count in 0..9_usize) {
            let _ = read(&bytes, bytes.len() + more, &mut vec![ValueRef::Null; count]);
        }
    }
}

//! Reads the binary format of `COPY` (PostgreSQL manual, `COPY`, "Binary Format").

use crate::encode::Value;
use crate::source::Timestamps;
use crate::timestamp::Timestamp;

/// How the bytes of a column are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    BoolInt,
    Int,
    Uuid,
    /// UTF-8, as the server has checked.
    Text,
    UncheckedText,
    /// Microseconds since 2000.
    Timestamp,
    /// Days since 2000.
    Date,
    /// An integer since 1970, in the unit that the mapping says.
    Epoch,
    /// A time as text.
    TimeText,
    /// A number as text.
    Number,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// 2000-01-01T00:00:00Z in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const DAY: i64 = 86_400_000_000;

/// What has been seen of the stream.
#[derive(Debug)]
pub(super) struct CopyReader {
    timestamps: Timestamps,
    started: bool,
    ended: bool,
}

impl CopyReader {
    pub(super) fn new(timestamps: Timestamps) -> Self {
        Self { timestamps, started: false, ended: false }
    }

    /// The rows in a message: all of it, but for the header in front of the first one.
    pub(super) fn start_of<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], String> {
        if self.started {
            return Ok(message);
        }
        self.started = true;
        let mut rest = message.strip_prefix(SIGNATURE).ok_or("the server sent no binary COPY")?;
        let _flags = take_i32(&mut rest).ok_or(CUT)?;
        let extension = take_i32(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or(CUT)?;
        rest.get(extension..).ok_or_else(|| CUT.to_owned())
    }

    /// Reads the next row into `values`; `false` at the trailer.
    ///
    /// On error the index of the column, and what is wrong with it; the cells before it stand in `values`.
    pub(super) fn row<'a>(
        &mut self,
        rest: &mut &'a [u8],
        wires: &[Wire],
        values: &mut [Value<'a>],
    ) -> Result<bool, (usize, String)> {
        let broken = |at, problem: &str| (at, problem.to_owned());
        let count = take::<2>(rest).map(i16::from_be_bytes).ok_or_else(|| broken(usize::MAX, CUT))?;
        if count == -1 && rest.is_empty() {
            self.ended = true;
            return Ok(false);
        }
        if self.ended || usize::try_from(count) != Ok(wires.len()) || values.len() < wires.len() {
            return Err(broken(usize::MAX, "the server sent another number of columns than asked for"));
        }
        // A cell that does not fit is told only after all were read: the message wants the id, wherever it stands.
        let mut misfit = None;
        for (at, wire) in wires.iter().enumerate() {
            let length = take_i32(rest).ok_or_else(|| broken(at, CUT))?;
            if length == -1 {
                values[at] = Value::Null;
                continue;
            }
            let cell = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            let (cell, after) = cell.ok_or_else(|| broken(at, CUT))?;
            *rest = after;
            match decode(*wire, self.timestamps, cell) {
                Ok(value) => values[at] = value,
                Err(problem) => misfit = misfit.or(Some((at, problem))),
            }
        }
        misfit.map_or(Ok(true), |(at, problem)| Err(broken(at, problem)))
    }

    /// Checks that the stream ended as it should.
    pub(super) fn finish(self) -> Result<(), String> {
        if self.ended { Ok(()) } else { Err("the server ended the COPY without its trailer".to_owned()) }
    }
}

const CUT: &str = "the server sent a cut row";

fn decode(wire: Wire, timestamps: Timestamps, cell: &[u8]) -> Result<Value<'_>, &'static str> {
    match wire {
        Wire::Text => Ok(Value::Text(cell)),
        Wire::UncheckedText => Value::text(cell).ok_or("this text is not valid UTF-8"),
        Wire::Int => integer(cell).map(Value::Int).ok_or("these bytes are not an integer"),
        Wire::Timestamp => {
            let micros = <[u8; 8]>::try_from(cell).map(i64::from_be_bytes).ok();
            micros
                .and_then(|micros| Timestamp::from_micros(micros.checked_add(POSTGRES_EPOCH)?))
                .map(Value::Timestamp)
                .ok_or("this time is infinite or not in the years 0000 to 9999")
        }
        Wire::Bool => match cell {
            [0] => Ok(Value::Bool(false)),
            [1] => Ok(Value::Bool(true)),
            _ => Err("these bytes are not a boolean"),
        },
        Wire::BoolInt => match integer(cell) {
            Some(int @ (0 | 1)) => Ok(Value::Bool(int == 1)),
            _ => Err("this integer is not a boolean (0 or 1)"),
        },
        Wire::Uuid => cell.try_into().map(Value::Uuid).map_err(|_| "these bytes are not a UUID"),
        Wire::Date => {
            let days = <[u8; 4]>::try_from(cell).map(i32::from_be_bytes).ok();
            // A date can be further away than microseconds are counted (PostgreSQL manual, table 8.9).
            days.and_then(|days| i64::from(days).checked_mul(DAY)?.checked_add(POSTGRES_EPOCH))
                .and_then(Timestamp::from_micros)
                .map(Value::Timestamp)
                .ok_or("this date is infinite or not in the years 0000 to 9999")
        }
        Wire::Epoch => integer(cell)
            .and_then(|integer| timestamps.of_integer(integer))
            .map(Value::Timestamp)
            .ok_or("this integer is not a time in the years 0000 to 9999; see source.timestamps"),
        Wire::TimeText => Timestamp::parse_database_text(cell)
            .map(Value::Timestamp)
            .ok_or("this text is not an ISO 8601 time"),
        Wire::Number => Ok(Value::Printed(cell)),
    }
}

/// `int2`, `int4` or `int8`, told apart by their lengths.
fn integer(cell: &[u8]) -> Option<i64> {
    match *cell {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    take::<4>(rest).map(i32::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIRES: [Wire; 3] = [Wire::Timestamp, Wire::UncheckedText, Wire::Int];

    fn message(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = (cells.len() as i16).to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                Some(cell) => {
                    bytes.extend((cell.len() as i32).to_be_bytes());
                    bytes.extend(*cell);
                }
                None => bytes.extend((-1_i32).to_be_bytes()),
            }
        }
        bytes
    }

    #[test]
    fn header_row_and_trailer() {
        let row = message(&[None, Some("é".as_bytes()), Some(&7_i32.to_be_bytes())]);
        let first = [SIGNATURE, &[0; 8], &row].concat();
        let mut reader = CopyReader::new(Timestamps::Auto);
        let mut values = [Value::Null; 3];
        let mut rest = reader.start_of(&first).expect("a header");
        assert_eq!(reader.row(&mut rest, &WIRES, &mut values), Ok(true));
        assert_eq!(values, [Value::Null, Value::Plain("é".as_bytes()), Value::Int(7)]);
        let mut trailer = &[0xff, 0xff][..];
        assert_eq!(reader.row(&mut trailer, &WIRES, &mut values), Ok(false));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_stream_without_trailer_is_an_error() {
        assert!(CopyReader::new(Timestamps::Auto).finish().is_err());
    }

    #[test]
    fn a_cell_that_does_not_fit_is_named_and_the_id_is_still_read() {
        let row = message(&[Some(&i64::MAX.to_be_bytes()), Some(b"x"), Some(&7_i64.to_be_bytes())]);
        let mut values = [Value::Null; 3];
        let error = CopyReader::new(Timestamps::Auto).row(&mut &row[..], &WIRES, &mut values);
        assert_eq!(error.map_err(|(at, _)| at), Err(0));
        assert_eq!(values[2], Value::Int(7));
    }

    /// A column and the bytes of a cell in it: such that fit, and any.
    fn cell() -> impl Strategy<Value = (Wire, Option<Vec<u8>>)> {
        let wires = [
            Wire::Bool,
            Wire::BoolInt,
            Wire::Int,
            Wire::Uuid,
            Wire::Text,
            Wire::UncheckedText,
            Wire::Timestamp,
            Wire::Date,
            Wire::Epoch,
            Wire::TimeText,
            Wire::Number,
        ];
        let lengths = prop::sample::select(vec![1_usize, 2, 4, 8, 16]);
        let fitting = lengths.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
        let bytes = prop_oneof![2 => fitting, 1 => prop::collection::vec(any::<u8>(), 0..24)];
        (prop::sample::select(wires.to_vec()), prop::option::weighted(0.8, bytes))
    }

    /// What becomes of the messages of a `COPY`: its rows up to the first problem, and whether there was none.
    fn read<'a>(messages: &[&'a [u8]], wires: &[Wire]) -> (Vec<Vec<Value<'a>>>, bool) {
        let mut reader = CopyReader::new(Timestamps::Auto);
        let mut rows = Vec::new();
        for message in messages {
            let Ok(mut rest) = reader.start_of(message) else { return (rows, false) };
            while !rest.is_empty() {
                let mut values = vec![Value::Null; wires.len()];
                match reader.row(&mut rest, wires, &mut values) {
                    Ok(true) => rows.push(values),
                    Ok(false) => {}
                    Err(_) => return (rows, false),
                }
            }
        }
        (rows, reader.finish().is_ok())
    }

    proptest! {
        #[test]
        fn garbage_is_never_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64), is_begun: bool) {
            let header = [SIGNATURE, &[0; 8]].concat();
            let messages: &[&[u8]] = if is_begun { &[&header, &bytes] } else { &[&bytes] };
            let (_, is_complete) = read(messages, &WIRES);
            prop_assert!(!is_complete || bytes.ends_with(&[0xff, 0xff]));
        }

        #[test]
        fn rows_are_the_cells_that_were_sent_or_an_error(cells in prop::collection::vec(prop::collection::vec(cell(), 3), 0..6)) {
            for row in &cells {
                let wires: Vec<_> = row.iter().map(|(wire, _)| *wire).collect();
                let bytes: Vec<_> = row.iter().map(|(_, bytes)| bytes.as_deref()).collect();
                let first = [SIGNATURE, &[0; 8], &message(&bytes)].concat();
                let (rows, is_complete) = read(&[&first, &[0xff, 0xff]], &wires);
                let alone = |(wire, bytes): (&Wire, &Option<&'_ [u8]>)| match bytes {
                    Some(bytes) => decode(*wire, Timestamps::Auto, bytes).ok().map(|value| format!("{value:?}")),
                    None => Some(format!("{:?}", Value::Null)),
                };
                let expected: Option<Vec<_>> = wires.iter().zip(&bytes).map(alone).collect();
                prop_assert_eq!(is_complete, expected.is_some());
                let found = rows.first().map(|row| row.iter().map(|value| format!("{value:?}")).collect());
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn a_cut_stream_is_an_error_and_its_rows_are_the_first(
            texts in prop::collection::vec(".{0,9}", 1..6), cut: prop::sample::Index, message_at: prop::sample::Index
        ) {
            let rows: Vec<_> = (0_i64..).zip(&texts).map(|(id, text)| {
                message(&[None, Some(text.as_bytes()), Some(&id.to_be_bytes())])
            }).collect();
            let first = [SIGNATURE, &[0; 8], &rows[0]].concat();
            let mut messages: Vec<&[u8]> = vec![&first];
            messages.extend(rows[1..].iter().map(Vec::as_slice));
            messages.push(&[0xff, 0xff]);
            let (whole, is_complete) = read(&messages, &WIRES);
            prop_assert!(is_complete && whole.len() == texts.len());

            let at = message_at.index(messages.len());
            messages[at] = &messages[at][..cut.index(messages[at].len())];
            messages.truncate(at + 1);
            let (found, is_complete) = read(&messages, &WIRES);
            prop_assert!(!is_complete && whole.starts_with(&found));
        }
    }
}

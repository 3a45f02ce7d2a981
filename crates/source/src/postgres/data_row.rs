//! Reads a `DataRow` whose cells are in the binary format (PostgreSQL manual, section 55.7, and section 55.2.3 for the format).

use super::text_times;
use crate::Mapping;
use headcount_model::timestamp::Timestamp;
use headcount_model::value::Value;

/// How the bytes of a column are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    BoolInt,
    Int,
    Uuid,
    Text,
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

/// 2000-01-01T00:00:00Z in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const DAY: i64 = 86_400_000_000;

/// Reads the cells of a row into `values`.
///
/// On error the index of the column, and what is wrong with it; the cells before it stand in `values`.
#[inline]
pub(super) fn read<'a>(
    mut rest: &'a [u8],
    wires: &[Wire],
    mapping: &Mapping,
    values: &mut [Value<'a>],
) -> Result<(), (usize, String)> {
    let broken = |at, problem: &str| (at, problem.to_owned());
    let count = take::<2>(&mut rest).map(u16::from_be_bytes).ok_or_else(|| broken(usize::MAX, CUT))?;
    if usize::from(count) != wires.len() || values.len() < wires.len() {
        return Err(broken(usize::MAX, "the server sent another number of columns than asked for"));
    }
    // A cell that does not fit is told only after all were read: the message wants the id, wherever it stands.
    let mut misfit = None;
    for (at, wire) in wires.iter().enumerate() {
        let length = take::<4>(&mut rest).map(i32::from_be_bytes).ok_or_else(|| broken(at, CUT))?;
        if length == -1 {
            values[at] = Value::Null;
            continue;
        }
        let cell = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (cell, after) = cell.ok_or_else(|| broken(at, CUT))?;
        rest = after;
        match decode(*wire, mapping, cell) {
            Ok(value) => values[at] = value,
            Err(problem) => misfit = misfit.or(Some((at, problem))),
        }
    }
    if !rest.is_empty() {
        return Err(broken(usize::MAX, "the server sent more than the columns asked for"));
    }
    misfit.map_or(Ok(()), |(at, problem)| Err(broken(at, problem)))
}

/// The cell in this place of a row, which was read before.
pub(super) fn cell_at(mut rest: &[u8], at: usize) -> Option<&[u8]> {
    let _count = take::<2>(&mut rest)?;
    for _ in 0..at {
        let length = i32::from_be_bytes(take(&mut rest)?);
        rest = rest.get(usize::try_from(length).unwrap_or(0)..)?;
    }
    let length = i32::from_be_bytes(take(&mut rest)?);
    rest.get(..usize::try_from(length).ok()?)
}

const CUT: &str = "the server sent a cut row";
pub(super) const NOT_UTF8: &str = "this text is not valid UTF-8";

#[inline]
fn decode<'a>(wire: Wire, mapping: &Mapping, cell: &'a [u8]) -> Result<Value<'a>, &'static str> {
    match wire {
        // A server may hold texts that it has never checked (PostgreSQL manual, section 24.3.1, `SQL_ASCII`).
        Wire::Text => Value::text(cell).ok_or(NOT_UTF8),
        Wire::Int => integer(cell).map(Value::Int).ok_or("these bytes are not an integer"),
        Wire::Timestamp => {
            let micros = <[u8; 8]>::try_from(cell).map(i64::from_be_bytes).ok();
            micros
                .and_then(|micros| Timestamp::from_micros(micros.checked_add(POSTGRES_EPOCH)?))
                .map(Value::Timestamp)
                .ok_or("this time is infinite or not in the years 0000 to 9999 UTC")
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
            .and_then(|integer| mapping.timestamps.of_integer(integer))
            .map(Value::Timestamp)
            .ok_or("this integer is not a time in the years 0000 to 9999; see source.timestamps"),
        Wire::TimeText => text_times::read(cell, mapping)
            .map(Value::Timestamp)
            .ok_or("this text is not an ISO 8601 time in the years 0001 to 9999 UTC"),
        Wire::Number => Ok(Value::Number(cell)),
    }
}

/// `int2`, `int4` or `int8`, told apart by their lengths.
#[inline]
fn integer(cell: &[u8]) -> Option<i64> {
    match *cell {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIRES: [Wire; 3] = [Wire::Timestamp, Wire::Text, Wire::Int];

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

    fn read_one<'a>(row: &'a [u8], wires: &[Wire]) -> Result<Vec<Value<'a>>, usize> {
        let mut values = vec![Value::Null; wires.len()];
        match read(row, wires, &Mapping::plain("users"), &mut values) {
            Ok(()) => Ok(values),
            Err((at, _)) => Err(at),
        }
    }

    #[test]
    fn a_row_is_its_cells() {
        let row = message(&[None, Some("é".as_bytes()), Some(&7_i32.to_be_bytes())]);
        let values = vec![Value::Null, "é".into(), Value::Int(7)];
        assert_eq!(read_one(&row, &WIRES), Ok(values));
        let cells = [0, 1, 2, 3].map(|at| cell_at(&row, at));
        assert_eq!(cells, [None, Some("é".as_bytes()), Some(&[0, 0, 0, 7][..]), None]);
        assert_eq!(read_one(&row, &WIRES[..2]), Err(usize::MAX), "one column too many");
        assert_eq!(read_one(&[&row[..], b"x"].concat(), &WIRES), Err(usize::MAX), "one byte too many");
    }

    #[test]
    fn a_cell_that_does_not_fit_is_named_and_the_id_is_still_read() {
        let row = message(&[Some(&i64::MAX.to_be_bytes()), Some(b"x"), Some(&7_i64.to_be_bytes())]);
        let mut values = [Value::Null; 3];
        let error = read(&row, &WIRES, &Mapping::plain("users"), &mut values);
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

    proptest! {
        #[test]
        fn garbage_is_never_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_one(&bytes, &WIRES);
        }

        #[test]
        fn a_row_is_the_cells_that_were_sent_or_an_error(row in prop::collection::vec(cell(), 0..6)) {
            let wires: Vec<_> = row.iter().map(|(wire, _)| *wire).collect();
            let bytes: Vec<_> = row.iter().map(|(_, bytes)| bytes.as_deref()).collect();
            let alone = |(wire, bytes): (&Wire, &Option<&'_ [u8]>)| match bytes {
                Some(bytes) => decode(*wire, &Mapping::plain("users"), bytes).ok().map(|value| format!("{value:?}")),
                None => Some(format!("{:?}", Value::Null)),
            };
            let expected: Option<Vec<_>> = wires.iter().zip(&bytes).map(alone).collect();
            let message = message(&bytes);
            let found = read_one(&message, &wires).ok();
            let found = found.map(|row| row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_cut_row_is_an_error(text in ".{0,9}", cut: prop::sample::Index) {
            let row = message(&[None, Some(text.as_bytes()), Some(&7_i64.to_be_bytes())]);
            prop_assert!(read_one(&row, &WIRES).is_ok());
            prop_assert!(read_one(&row[..cut.index(row.len())], &WIRES).is_err());
        }
    }
}

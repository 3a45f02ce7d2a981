//! Decimal numbers as PostgreSQL prints them, as the integers that Parquet has for them.

use headcount_model::schema::Digits;

pub(super) const TOO_LONG: &str = "this number has more digits than its column is declared to have";

/// The number times ten to the power of the scale.
pub(super) fn unscaled(text: &[u8], digits: Digits) -> Result<i128, String> {
    let (is_negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match rest.iter().position(|&byte| byte == b'.') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err("this is not a number with digits; the formats csv, ndjson and json take it".to_owned());
    }
    let zeros = usize::from(digits.scale).checked_sub(fraction.len()).ok_or(TOO_LONG)?;
    let zeros = std::iter::repeat_n(&b'0', zeros);
    let mut unscaled = 0_i128;
    for digit in whole.iter().chain(fraction).chain(zeros) {
        let next = unscaled.checked_mul(10).and_then(|tens| tens.checked_add(i128::from(digit - b'0')));
        unscaled = next.ok_or(TOO_LONG)?;
    }
    let bound = 10_i128.checked_pow(digits.precision.into()).ok_or(TOO_LONG)?;
    if unscaled >= bound {
        return Err(TOO_LONG.to_owned());
    }
    Ok(if is_negative { -unscaled } else { unscaled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_scaled_exactly() {
        let money = Digits { precision: 10, scale: 2 };
        for (text, expected) in [
            ("0", Some(0)),
            ("12.34", Some(1234)),
            ("-12.3", Some(-1230)),
            ("99999999.99", Some(9_999_999_999)),
            ("100000000.00", None),
            ("1.234", None),
            ("NaN", None),
            ("-Infinity", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(unscaled(text.as_bytes(), money).ok(), expected, "{text}");
        }
        let longest = Digits { precision: 38, scale: 0 };
        assert_eq!(unscaled("9".repeat(38).as_bytes(), longest), Ok(10_i128.pow(38) - 1));
        assert!(unscaled("9".repeat(39).as_bytes(), longest).is_err());
    }
}

//! One look at a text, for all that has to be known of it before it is written.

/// What a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// It holds a byte above 127: whether it is UTF-8 is not known.
    pub has_high: bool,
    /// It holds `,` `"` CR or LF.
    pub has_marks: bool,
}

impl Look {
    /// One look, for both.
    #[inline]
    pub fn at(text: &[u8]) -> Self {
        let (mut high, mut marks) = (0, 0);
        each_word(text, |word| {
            high |= word;
            marks |= equal(word, b',') | equal(word, b'"') | equal(word, b'\r') | equal(word, b'\n');
        });
        Self { has_high: high & TOP_BITS != 0, has_marks: marks & TOP_BITS != 0 }
    }

    /// Whether a JSON string has to escape something of it (RFC 8259 section 7): a control character, `"` or `\`.
    #[inline]
    pub fn has_escapes(text: &[u8]) -> bool {
        let mut escapes = 0;
        each_word(text, |word| escapes |= below(word, 0x20) | equal(word, b'"') | equal(word, b'\\'));
        escapes & TOP_BITS != 0
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOP_BITS: u64 = ONES << 7;

/// Shows eight bytes at a time: fields are too short for a vectorised search to pay for its set-up.
#[inline]
fn each_word(text: &[u8], mut show: impl FnMut(u64)) {
    if let Some(last) = text.last_chunk::<8>() {
        for word in text.as_chunks::<8>().0 {
            show(u64::from_le_bytes(*word));
        }
        // The last eight bytes may be looked at twice; that is cheaper than a loop over a rest.
        show(u64::from_le_bytes(*last));
    } else {
        for byte in text {
            show(u64::from(*byte) * ONES);
        }
    }
}

/// Has a top bit if and only if one of eight bytes is less than `bound`, 128 at most (Warren, "Hacker's Delight", section 6-1).
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(bound)) & !word
}

/// Has a top bit if and only if one of eight bytes is this one, which makes zeroes of those that are equal.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_seen(text in proptest::collection::vec(prop_oneof![20 => b'a'..=b'z', 1 => any::<u8>(), 1 => Just(b'\r')], 0..70)) {
            let expected = Look {
                has_high: !text.is_ascii(),
                has_marks: text.iter().any(|byte| b",\"\r\n".contains(byte)),
            };
            prop_assert_eq!(Look::at(&text), expected);
            let escapes = text.iter().any(|byte| *byte < 0x20 || b"\"\\".contains(byte));
            prop_assert_eq!(Look::has_escapes(&text), escapes);
        }
    }
}

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
    /// Looks at eight bytes at a time: fields are too short for a vectorised search to pay for its set-up.
    #[inline]
    pub fn at(text: &[u8]) -> Self {
        const TOP_BITS: u64 = ONES << 7;
        let (mut high, mut marks) = (0, 0);
        let mut add = |word: u64| {
            high |= word;
            marks |= marks_in(word);
        };
        if let Some(last) = text.last_chunk::<8>() {
            for word in text.as_chunks::<8>().0 {
                add(u64::from_le_bytes(*word));
            }
            // The last eight bytes may be looked at twice; that is cheaper than a loop over a rest.
            add(u64::from_le_bytes(*last));
        } else {
            for byte in text {
                add(u64::from(*byte) * ONES);
            }
        }
        Self { has_high: high & TOP_BITS != 0, has_marks: marks & TOP_BITS != 0 }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Has a top bit if and only if one of eight bytes is a mark: each is XORed to zero where it is equal, and
/// `(x - 0x01…) & !x & 0x80…` is not zero if and only if a byte of `x` is (Warren, "Hacker's Delight", section 6-1).
fn marks_in(word: u64) -> u64 {
    let zeroes = |mark: u8| {
        let x = word ^ (ONES * u64::from(mark));
        x.wrapping_sub(ONES) & !x
    };
    zeroes(b',') | zeroes(b'"') | zeroes(b'\r') | zeroes(b'\n')
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
        }
    }
}

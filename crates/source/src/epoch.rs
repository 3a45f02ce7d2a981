//! Times as counts since 1970.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// 1990 to 2100 in seconds: between the units lies so much that nothing fits two.
const PLAUSIBLE: std::ops::Range<i64> = 631_152_000..4_102_444_800;

impl Unit {
    /// The unit in which nearly all of these are plausible times; `None` if there is none, or nothing to go by.
    pub fn of(counts: &[i64]) -> Option<Self> {
        // 0 often stands for "never".
        let counts: Vec<_> = counts.iter().copied().filter(|count| *count != 0).collect();
        let fits = |unit: &Self| {
            let plausible = counts.iter().filter(|count| PLAUSIBLE.contains(&(**count / unit.in_a_second())));
            !counts.is_empty() && plausible.count() * 5 >= counts.len() * 4
        };
        [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds].into_iter().find(fits)
    }

    /// By how many digits the years from 1970 on have: up to 11 in seconds, which reach beyond the year 5000.
    pub(super) fn of_digits(number: usize) -> Option<Self> {
        match number {
            ..12 => Some(Self::Seconds),
            12..15 => Some(Self::Milliseconds),
            15..18 => Some(Self::Microseconds),
            18..20 => Some(Self::Nanoseconds),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    fn in_a_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    /// What, after an integer in SQL, brings it to `other`; `None` if it is in that.
    pub fn brought_to(self, other: Self) -> Option<String> {
        let (from, to) = (self.in_a_second(), other.in_a_second());
        match from.cmp(&to) {
            std::cmp::Ordering::Less => Some(format!(" * {}", to / from)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(format!(" / {}", from / to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        for (counts, expected) in [
            (&[1_736_332_200, 1_700_000_000][..], Some(Unit::Seconds)),
            (&[1_736_332_200_123, 0, 1_700_000_000_000], Some(Unit::Milliseconds)),
            (&[1_736_332_200_123_456], Some(Unit::Microseconds)),
            (&[1_736_332_200_123_456_789], Some(Unit::Nanoseconds)),
            (&[0, 0], None),
            (&[], None),
            (&[1, 2, 3], None),
            (&[2024, 2025], None),
            (&[1_736_332_200, 1_736_332_200_000], None),
        ] {
            assert_eq!(Unit::of(counts), expected, "{counts:?}");
        }
    }

    #[test]
    fn one_unit_is_brought_to_another() {
        assert_eq!(Unit::Seconds.brought_to(Unit::Seconds), None);
        assert_eq!(Unit::Seconds.brought_to(Unit::Milliseconds).as_deref(), Some(" * 1000"));
        assert_eq!(Unit::Nanoseconds.brought_to(Unit::Milliseconds).as_deref(), Some(" / 1000000"));
        assert_eq!(Unit::Milliseconds.brought_to(Unit::Seconds).as_deref(), Some(" / 1000"));
    }
}

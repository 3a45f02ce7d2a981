//! Counts that do not start in 1970, told by their magnitude.

use crate::Confidence;
use headcount_source::catalogue::Database;

/// What is counted, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    /// 100 nanoseconds since 1601 (Windows, `FILETIME`).
    Windows,
    /// 100 nanoseconds since the year 1 (.NET, `DateTime.Ticks`).
    DotNet,
    /// Microseconds since 1601 (WebKit and Chromium).
    WebKit,
    /// Seconds since 1904 (classic Mac OS, HFS+).
    Mac1904,
    /// Seconds since 2001 (Apple's Core Data).
    Mac2001,
}

impl Epoch {
    const ALL: [Self; 5] = [Self::Windows, Self::DotNet, Self::WebKit, Self::Mac1904, Self::Mac2001];

    /// The epoch since which all of these, but for 0, are times of a users table, which none of them is since 1970.
    pub(super) fn of(counts: &[i64]) -> Option<Self> {
        let counts: Vec<_> = counts.iter().copied().filter(|count| *count != 0).collect();
        let fits = |epoch: &Self| counts.iter().all(|count| epoch.plausible().contains(count));
        Self::ALL.into_iter().find(|epoch| !counts.is_empty() && fits(epoch))
    }

    /// From 2000 to 2035; of [`Self::Mac2001`] from 2011 to 2029, which since 1970 are years before there were accounts on the web.
    fn plausible(self) -> std::ops::Range<i64> {
        let (from, to) = match self {
            Self::Mac2001 => (1_293_840_000, 1_862_000_000),
            _ => (946_684_800, 2_051_222_400),
        };
        let count = |seconds: i64| (seconds - self.offset()) * self.per_second();
        count(from)..count(to)
    }

    fn per_second(self) -> i64 {
        match self {
            Self::Windows | Self::DotNet => 10_000_000,
            Self::WebKit => 1_000_000,
            Self::Mac1904 | Self::Mac2001 => 1,
        }
    }

    /// The second since 1970 in which it starts.
    fn offset(self) -> i64 {
        match self {
            Self::Windows | Self::WebKit => -11_644_473_600,
            Self::DotNet => -62_135_596_800,
            Self::Mac1904 => -2_082_844_800,
            Self::Mac2001 => 978_307_200,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Windows => "Windows' count of 100 nanoseconds since 1601, to the second",
            Self::DotNet => ".NET's count of 100 nanoseconds since the year 1, to the second",
            Self::WebKit => "microseconds since 1601, to the second",
            Self::Mac1904 => "seconds since 1904",
            Self::Mac2001 => "what looks like seconds since 2001",
        }
    }

    pub(super) fn confidence(self) -> Confidence {
        if self == Self::Mac2001 { Confidence::Low } else { Confidence::Medium }
    }

    /// The time that an integer in SQL stands for.
    pub(super) fn to_time(self, database: Database, integer: &str) -> String {
        let divided = match self.per_second() {
            1 => integer.to_owned(),
            per_second => format!("{integer} / {per_second}"),
        };
        let sign = if self.offset() < 0 { '-' } else { '+' };
        let seconds = format!("nullif({divided}, 0) {sign} {}", self.offset().unsigned_abs());
        match database {
            Database::Postgres => format!("to_timestamp({seconds})"),
            Database::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%SZ', {seconds}, 'unixepoch')"),
        }
    }
}

/// A number without its fraction.
pub(super) fn whole(database: Database, number: &str) -> String {
    match database {
        Database::Postgres => format!("floor({number})::bigint"),
        Database::Sqlite => format!("CAST({number} AS INTEGER)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_source::Unit;

    #[test]
    fn epochs_are_told_by_magnitude() {
        for (counts, expected) in [
            (&[133_808_202_000_000_000, 0][..], Some(Epoch::Windows)),
            (&[638_719_290_000_000_000], Some(Epoch::DotNet)),
            (&[13_380_820_200_000_000], Some(Epoch::WebKit)),
            (&[3_819_177_000], Some(Epoch::Mac1904)),
            (&[758_025_000, 700_000_000], Some(Epoch::Mac2001)),
            (&[1_736_332_200], None),
            (&[1_736_332_200_000], None),
            (&[1_736_332_200_000_000], None),
            (&[1_736_332_200_000_000_000], None),
            (&[1, 2, 3], None),
            (&[20_250_108], None),
            (&[0], None),
            (&[], None),
        ] {
            assert_eq!(Epoch::of(counts), expected, "{counts:?}");
        }
        assert_eq!(Unit::of(&[1_736_332_200]), Some(Unit::Seconds));
    }

    #[test]
    fn a_count_becomes_a_time() {
        let sql = Epoch::Windows.to_time(Database::Postgres, "at");
        assert_eq!(sql, "to_timestamp(nullif(at / 10000000, 0) - 11644473600)");
        let sql = Epoch::Mac2001.to_time(Database::Sqlite, "at");
        assert_eq!(sql, "strftime('%Y-%m-%dT%H:%M:%SZ', nullif(at, 0) + 978307200, 'unixepoch')");
    }
}

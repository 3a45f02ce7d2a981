//! Instants as microseconds since the Unix epoch: parsed from what databases and requests write,
//! printed as RFC 3339 in UTC.
//!
//! Hand-made because an export formats two of them a row. Reading uses Howard Hinnant's `days_from_civil`
//! (<https://howardhinnant.github.io/date_algorithms.html>).

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// An instant in UTC with microsecond precision, in the years 0000 to 9999: the range that RFC 3339 can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// In seconds: 15:59 (`MAX_TZDISP_HOUR` in PostgreSQL's `datatype/timestamp.h`).
const MAX_OFFSET: i64 = 16 * 3600 - 60;
const FIRST: i64 = days_from_civil(0, 1, 1) * DAY;
const LAST: i64 = days_from_civil(10_000, 1, 1) * DAY - 1;

impl Timestamp {
    /// The first instant that there is.
    pub const MIN: Self = Self(FIRST);
    /// The last one.
    pub const MAX: Self = Self(LAST);
    /// The first instant of the year 1.
    pub const YEAR_1: Self = Self(days_from_civil(1, 1, 1) * DAY);

    /// The system's time. Only the edges of the program read it; everything else is handed a time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since_epoch.as_micros().min(LAST as u128) as i64)
    }

    /// An instant `micros` microseconds after the epoch; `None` outside the years 0000 to 9999.
    #[inline]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&micros).then_some(Self(micros))
    }

    /// An instant `seconds` seconds after the epoch; `None` outside the years 0000 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::from_micros(seconds.checked_mul(SECOND)?)
    }

    /// Microseconds since the epoch.
    #[inline]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Days since the epoch, and the microseconds since the beginning of this one.
    #[inline]
    pub fn days(self) -> (i64, i64) {
        (self.0.div_euclid(DAY), self.0.rem_euclid(DAY))
    }

    /// Parses a day as in `2025-01-31`: its first instant.
    pub fn parse_day(text: &[u8]) -> Option<Self> {
        Self::parse_database_text(text).filter(|_| text.len() == "2025-01-31".len())
    }

    /// Parses an RFC 3339 `date-time` (section 5.6), offset included. More than six fractional digits are
    /// rounded up, which keeps both `>=` and `<` exact against values of microsecond precision.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed = Parsed::from_text(text.as_bytes())?;
        if !parsed.is_rfc3339 {
            return None;
        }
        Self::from_micros(parsed.micros + i64::from(parsed.has_finer_digits))
    }

    /// Parses where a span of time begins or ends: an RFC 3339 `date-time` as [`Timestamp::parse_rfc3339`] does, or a date or a
    /// month, which stand for their first moment in UTC.
    pub fn parse_bound(text: &str) -> Option<Self> {
        match text.len() {
            7 => Self::parse_database_text(format!("{text}-01").as_bytes()),
            10 => Self::parse_day(text.as_bytes()),
            _ => Self::parse_rfc3339(text),
        }
    }

    /// Parses the text forms that applications keep in SQLite: a date, optionally followed by `T` or a space
    /// and a time with or without seconds, fraction and offset, which may have a space before it and, as Go prints it, the
    /// zone's name behind it. Without an offset it is UTC. Digits finer than a microsecond are cut off. Offsets reach to 15:59,
    /// as in PostgreSQL, which is further than any zone; RFC 3339 (section 5.6) has them to 23:59.
    pub fn parse_database_text(text: &[u8]) -> Option<Self> {
        let parsed = Parsed::from_text(text)?;
        if parsed.offset.abs() > MAX_OFFSET {
            return None;
        }
        Self::from_micros(parsed.micros)
    }

    /// As [`Timestamp::parse_database_text`], and whether the text is a time of day that does not say of which zone.
    pub fn parse_zoneless_text(text: &[u8]) -> Option<(Self, bool)> {
        let parsed = Parsed::from_text(text).filter(|parsed| parsed.offset.abs() <= MAX_OFFSET)?;
        Some((Self::from_micros(parsed.micros)?, parsed.lacks_zone))
    }

    /// Whether a text is, byte for byte, what [`Timestamp::append_to`] would print for it. Such a text can be copied
    /// as it is, at a tenth of the cost of parsing and printing it.
    #[inline]
    pub fn is_printed_form(text: &[u8]) -> bool {
        let Some((second, rest)) = text.split_first_chunk::<19>() else { return false };
        is_date_and_time(second) && (rest == b"Z" || is_fraction(rest))
    }

    /// Appends RFC 3339 in UTC: `2025-01-08T10:30:00Z`, with six fractional digits if they are not all zero.
    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        // Counted from the first instant there is, so that everything is unsigned.
        let micros = self.0.abs_diff(FIRST);
        let (day, of_day) = (micros / DAY.unsigned_abs(), micros % DAY.unsigned_abs());
        let (year, month, day) = civil_from_days(day as u32);
        let (seconds, micros) = ((of_day / 1_000_000) as u32, (of_day % 1_000_000) as u32);

        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put_pair(&mut text, 0, year / 100);
        put_pair(&mut text, 2, year % 100);
        put_pair(&mut text, 5, month);
        put_pair(&mut text, 8, day);
        put_pair(&mut text, 11, seconds / 3600);
        put_pair(&mut text, 14, seconds / 60 % 60);
        put_pair(&mut text, 17, seconds % 60);
        if micros == 0 {
            text[19] = b'Z';
            out.extend_from_slice(&text[..20]);
        } else {
            put_pair(&mut text, 20, micros / 10_000);
            put_pair(&mut text, 22, micros / 100 % 100);
            put_pair(&mut text, 24, micros % 100);
            out.extend_from_slice(&text);
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(27);
        self.append_to(&mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `YYYY-MM-DDTHH:MM:SS` with every part in its range, read as three words of eight bytes.
fn is_date_and_time(text: &[u8; 19]) -> bool {
    let (Some(date), Some(middle), Some(time)) =
        (word(text, 0, b"0000-00-"), word(text, 8, b"00T00:00"), word(text, 11, b"00:00:00"))
    else {
        return false;
    };
    let (month, day) = (two_digits(date, 5), two_digits(middle, 0));
    let (hour, minute, second) = (two_digits(time, 0), two_digits(time, 3), two_digits(time, 6));
    let year = || two_digits(date, 0) * 100 + two_digits(date, 2);
    (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (day <= 28 || day <= days_in_month(year(), month))
        && hour <= 23
        && minute <= 59
        && second <= 59
}

/// `.ffffffZ`, not all zero.
fn is_fraction(text: &[u8]) -> bool {
    text.len() == 8 && word(text, 0, b".000000Z").is_some_and(|digits| digits != 0)
}

/// The eight bytes from `at` on, each digit as its number and everything else as 0, if they have the form of `template`:
/// a digit where that has a `0`, else the same byte.
fn word(text: &[u8], at: usize, template: &[u8; 8]) -> Option<u64> {
    const TOP_BITS: u64 = 0x8080_8080_8080_8080;
    let bytes = text.get(at..)?.first_chunk::<8>()?;
    let numbers = u64::from_le_bytes(*bytes) ^ u64::from_le_bytes(*template);
    // Added to a byte, 0x76 reaches the top bit from 10 on, 0x7f from 1 on.
    let limits = template.map(|byte| if byte == b'0' { 0x76 } else { 0x7f });
    let excess = numbers.wrapping_add(u64::from_le_bytes(limits)) | numbers;
    (excess & TOP_BITS == 0).then_some(numbers)
}

/// The number that the digits `at` and `at + 1` of a word make.
fn two_digits(word: u64, at: u32) -> i64 {
    let digits = word >> (at * 8);
    ((digits & 0xff) * 10 + (digits >> 8 & 0xff)).cast_signed()
}

/// The numbers below 100, in two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

#[inline]
fn put_pair(text: &mut [u8; 27], at: usize, value: u32) {
    text[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
}

/// What a text said, before it is decided whether that form is welcome.
struct Parsed {
    micros: i64,
    /// In seconds.
    offset: i64,
    /// A day alone has none and needs none.
    lacks_zone: bool,
    has_finer_digits: bool,
    is_rfc3339: bool,
}

impl Parsed {
    fn from_text(text: &[u8]) -> Option<Self> {
        let date = text.get(..10)?;
        if date[4] != b'-' || date[7] != b'-' {
            return None;
        }
        let (century, year) = (pair(date, 0)?, pair(date, 2)?);
        let (year, month, day) = (century * 100 + year, pair(date, 5)?, pair(date, 8)?);
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        let midnight = days_from_civil(year, month as u32, day as u32) * DAY;

        let Some((separator, time)) = text[10..].split_first() else {
            return Some(Self {
                micros: midnight,
                offset: 0,
                lacks_zone: false,
                has_finer_digits: false,
                is_rfc3339: false,
            });
        };
        if !matches!(separator, b'T' | b't' | b' ') {
            return None;
        }
        let mut time = TimeOfDay::from_text(time)?;
        let lacks_zone = time.rest.is_empty();
        let (offset, has_full_offset) = match time.rest {
            b"" => (0, false),
            b"Z" | b"z" => (0, true),
            [b' ', zone @ ..] => (parse_zone(zone)?, false),
            offset => parse_offset(offset)?,
        };
        // RFC 3339 section 5.7 allows 60 for a leap second; POSIX time has none, so it is the second after.
        if time.second == 60 {
            time.micros = 0;
        }
        let of_day = (time.hour * 3600 + time.minute * 60 + time.second) * SECOND + time.micros;
        Some(Self {
            micros: midnight + of_day - offset * SECOND,
            offset,
            lacks_zone,
            has_finer_digits: time.has_finer_digits,
            is_rfc3339: time.has_seconds && has_full_offset,
        })
    }
}

struct TimeOfDay<'a> {
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    has_seconds: bool,
    has_finer_digits: bool,
    rest: &'a [u8],
}

impl<'a> TimeOfDay<'a> {
    /// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f…`, with whatever follows in `rest`.
    fn from_text(text: &'a [u8]) -> Option<Self> {
        let (hour, minute) = (pair(text, 0)?, pair(text, 3)?);
        if text[2] != b':' || hour > 23 || minute > 59 {
            return None;
        }
        let mut time = Self {
            hour,
            minute,
            second: 0,
            micros: 0,
            has_seconds: false,
            has_finer_digits: false,
            rest: &text[5..],
        };
        if time.rest.first() == Some(&b':') {
            time.second = pair(time.rest, 1)?;
            time.has_seconds = true;
            time.rest = &time.rest[3..];
            if time.second > 60 {
                return None;
            }
            time.take_fraction()?;
        }
        Some(time)
    }

    fn take_fraction(&mut self) -> Option<()> {
        if self.rest.first() != Some(&b'.') {
            return Some(());
        }
        let digits = self.rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.rest[1..].split_at(digits);
        if fraction.is_empty() {
            return None;
        }
        for place in 0..6 {
            let digit = fraction.get(place).map_or(0, |byte| byte - b'0');
            self.micros = self.micros * 10 + i64::from(digit);
        }
        self.has_finer_digits = fraction.iter().skip(6).any(|&byte| byte != b'0');
        self.rest = rest;
        Some(())
    }
}

/// `+HH:MM` in seconds, and whether it was written in full as RFC 3339 wants it; PostgreSQL and some libraries
/// also write `+HH` and `+HHMM`.
fn parse_offset(text: &[u8]) -> Option<(i64, bool)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = pair(text, 1)?;
    let (minutes, in_full) = match &text[3..] {
        [] => (0, false),
        [b':', _, _] => (pair(text, 4)?, true),
        [_, _] => (pair(text, 3)?, false),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some((sign * (hours * 3600 + minutes * 60), in_full))
}

/// What stands behind a space: `UTC`, `Z`, or an offset, in seconds. Go's `Time.String` adds the zone's name and, for a time that it
/// has just taken, `m=±SECONDS` of another clock; what counts is the offset.
fn parse_zone(text: &[u8]) -> Option<i64> {
    let mut words = text.split(|&byte| byte == b' ');
    let zone = words.next()?;
    if matches!(zone, b"UTC" | b"Z" | b"z") {
        return words.next().is_none().then_some(0);
    }
    let (offset, _) = parse_offset(zone)?;
    let Some(name) = words.next() else { return Some(offset) };
    let is_other_clock = |word: &[u8]| {
        let digits = word.strip_prefix(b"m=+").or_else(|| word.strip_prefix(b"m=-"));
        digits.is_some_and(|digits| digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    };
    let is_end = words.next().is_none_or(is_other_clock) && words.next().is_none();
    (is_zone_name(name) && is_end).then_some(offset)
}

/// Letters, or an offset where a zone has no letters.
fn is_zone_name(name: &[u8]) -> bool {
    let is_abbreviation = (1..=6).contains(&name.len()) && name.iter().all(u8::is_ascii_alphabetic);
    is_abbreviation || parse_offset(name).is_some()
}

fn pair(text: &[u8], at: usize) -> Option<i64> {
    match text.get(at..at + 2)? {
        &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = ((month + 9) % 12) as i64;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day in the years 0000 to 9999, counted from the first of them (Neri and Schneider, "Euclidean
/// affine functions and their application to calendar algorithms", 2022, section 5).
#[inline]
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    // From the first of March of the year -400 on, which is the start of a computational year, and of an era of 400.
    const SHIFT: u32 = 146_097 - 60;
    let quarters = 4 * (days + SHIFT) + 3;
    let (century, of_century) = (quarters / 146_097, quarters % 146_097 / 4);
    let scaled = 2_939_745 * u64::from(4 * of_century + 3);
    let (year_of_century, of_year) = ((scaled >> 32) as u32, scaled as u32 / 2_939_745 / 4);
    let month_and_day = 2_141 * of_year + 197_913;
    let (month, day) = (month_and_day >> 16, month_and_day % 65_536 / 2_141 + 1);
    // The computational year begins in March.
    let is_next_year = of_year >= 306;
    let year = 100 * century + year_of_century + u32::from(is_next_year) - 400;
    (year, if is_next_year { month - 12 } else { month }, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from_database(text: &str) -> String {
        Timestamp::parse_database_text(text.as_bytes())
            .map_or_else(|| "refused".to_owned(), |timestamp| timestamp.to_string())
    }

    #[test]
    fn what_databases_write_is_read() {
        for (written, shown) in [
            ("2025-01-08T10:30:00Z", "2025-01-08T10:30:00Z"),
            ("2025-01-08 10:30:00", "2025-01-08T10:30:00Z"),
            ("2025-01-08 10:30:00.123456", "2025-01-08T10:30:00.123456Z"),
            ("2025-01-08T10:30:00.5Z", "2025-01-08T10:30:00.500000Z"),
            ("2025-01-08 10:30:00.000000", "2025-01-08T10:30:00Z"),
            ("2025-01-08 10:30:00.123456789", "2025-01-08T10:30:00.123456Z"),
            ("2025-01-08 10:30:00+02:00", "2025-01-08T08:30:00Z"),
            ("2025-01-08 10:30:00-0530", "2025-01-08T16:00:00Z"),
            ("2025-01-08 10:30:00+00", "2025-01-08T10:30:00Z"),
            ("2025-01-08 10:30:00+15:59", "2025-01-07T18:31:00Z"),
            ("2025-01-08 10:30:00-1559", "2025-01-09T02:29:00Z"),
            ("2025-01-08 10:30", "2025-01-08T10:30:00Z"),
            ("2025-01-08", "2025-01-08T00:00:00Z"),
            ("0000-01-01 00:00:00", "0000-01-01T00:00:00Z"),
            ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2016-12-31 23:59:60", "2017-01-01T00:00:00Z"),
            ("2020-06-19 09:54:44.033 +00:00", "2020-06-19T09:54:44.033000Z"),
            ("2020-06-19 09:54:44.033 +02:00", "2020-06-19T07:54:44.033000Z"),
            ("2021-01-02 16:39:17.123456789 +0000 UTC", "2021-01-02T16:39:17.123456Z"),
            ("2021-07-02 16:39:17 +0200 CEST", "2021-07-02T14:39:17Z"),
            ("2021-01-02 16:39:17.1 -0300 -03", "2021-01-02T19:39:17.100000Z"),
            ("2021-01-02 16:39:17.1 +0545 +0545 m=+0.000012345", "2021-01-02T10:54:17.100000Z"),
            ("2021-01-02 16:39:17 UTC", "2021-01-02T16:39:17Z"),
        ] {
            assert_eq!(from_database(written), shown, "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-02-29",
            "2025-13-01",
            "2025-00-01",
            "2025-01-00",
            "2025-01-08T24:00:00Z",
            "2025-01-08T10:60:00Z",
            "2025-01-08T10:30:61Z",
            "2025-01-08T10:30:00.Z",
            "2025-01-08T10:30:00+",
            "2025-01-08T10:30:00+24:00",
            "2025-01-08T10:30:00ZZ",
            "2025-01-08x10:30:00",
            "2025-01-08 10",
            "0000-01-01T00:00:00+01:00",
            "2025-01-08T10:30:00+16:00",
            "2025-01-08 10:30:00 -1600 WEST",
            "2025-01-08T10:30:00+15:60",
            "1736332200",
            "2025-01-08é",
            "2025-01-08 10:30:00 ",
            "2025-01-08 10:30:00  +0000",
            "2025-01-08 10:30:00 CEST",
            "2025-01-08 10:30:00 +0000 ",
            "2025-01-08 10:30:00 +0000 UTC ",
            "2025-01-08 10:30:00 +0000 UTC m=",
            "2025-01-08 10:30:00 +0000 UTC m=+1 UTC",
            "2025-01-08 10:30:00+0000 UTC",
            "2025-01-08 UTC",
        ] {
            assert_eq!(from_database(text), "refused", "{text}");
        }
    }

    #[test]
    fn rfc_3339_wants_seconds_and_a_full_offset() {
        assert!(Timestamp::parse_rfc3339("2025-01-08T10:30:00Z").is_some());
        assert!(Timestamp::parse_rfc3339("2025-01-08t10:30:00.1+02:00").is_some());
        assert!(Timestamp::parse_rfc3339("2025-01-08T10:30:00-23:59").is_some());
        for text in [
            "2025-01-08",
            "2025-01-08T10:30Z",
            "2025-01-08T10:30:00",
            "2025-01-08T10:30:00+02",
            "2025-01-08 10:30:00 +02:00",
        ] {
            assert!(Timestamp::parse_rfc3339(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_date_or_a_month_is_its_first_moment() {
        for (bound, first) in [
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2024-12", "2024-12-01T00:00:00Z"),
            ("2025-01-08T12:30:00+02:00", "2025-01-08T10:30:00Z"),
        ] {
            let parsed = Timestamp::parse_bound(bound).map(|time| time.to_string());
            assert_eq!(parsed.as_deref(), Some(first));
        }
        for bound in [
            "2025",
            "2025-1",
            "2025-13",
            "2025-00",
            "2025-02-29",
            "2025-1-08",
            "202501",
            "20250108",
            "2025-01-",
            "é025-0",
        ] {
            assert!(Timestamp::parse_bound(bound).is_none(), "{bound}");
        }
    }

    #[test]
    fn digits_finer_than_a_microsecond_round_a_bound_up() {
        let bound = Timestamp::parse_rfc3339("2025-01-08T10:30:00.1234561Z").map(|t| t.to_string());
        assert_eq!(bound.as_deref(), Some("2025-01-08T10:30:00.123457Z"));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(micros in FIRST..=LAST) {
            let timestamp = Timestamp(micros);
            let text = timestamp.to_string();
            prop_assert_eq!(Timestamp::parse_rfc3339(&text), Some(timestamp));
            prop_assert_eq!(Timestamp::parse_database_text(text.as_bytes()), Some(timestamp));
            prop_assert!(Timestamp::is_printed_form(text.as_bytes()));
        }

        #[test]
        fn only_the_printed_form_is_copied(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{5,7}|\\.000000)?[Zz]?",
        ) {
            let printed = Timestamp::parse_database_text(text.as_bytes()).map(|timestamp| timestamp.to_string());
            let is_same = printed.as_deref() == Some(text.as_str());
            prop_assert_eq!(Timestamp::is_printed_form(text.as_bytes()), is_same);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Timestamp::parse_database_text(&bytes);
            let _ = Timestamp::is_printed_form(&bytes);
        }

        #[test]
        fn nearly_times_are_answered(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Z-]{0,20}") {
            let _ = Timestamp::parse_database_text(text.as_bytes());
        }
    }
}

//! Times as people write them and read them: in a time zone, as a date, a month or a local time, or as far back from now.

use crate::timestamp::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

/// In microseconds.
const DAY: i64 = 86_400_000_000;
/// After as many days the Gregorian calendar repeats itself, weekdays included.
const DAYS_OF_400_YEARS: i64 = 146_097;

/// A zone, and the time that it is.
#[derive(Clone, Debug)]
pub struct Clock {
    pub zone: TimeZone,
    pub now: Timestamp,
}

/// The zone of this name in the IANA database.
///
/// # Errors
///
/// What was expected.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("expected the name of a time zone as in Europe/Berlin or UTC, not '{}'", name.escape_debug())
    })
}

/// The instant at which clocks of a zone show what `local` is in UTC; `None` outside the years 0000 to 9999. What they show twice is
/// the second time, and what they leave out is as much later: PostgreSQL's `AT TIME ZONE` has it so.
pub fn of_zone(local: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    // The library knows instants up to 9999-12-30T22:00:00Z. In the days around that clocks do what they do 400 years before.
    let is_last = local.micros() > jiff::Timestamp::MAX.as_microsecond() - 2 * DAY;
    let earlier = if is_last { DAYS_OF_400_YEARS * DAY } else { 0 };
    let local = jiff::Timestamp::from_microsecond(local.micros() - earlier).ok()?;
    let shown = TimeZone::UTC.to_datetime(local);
    let instant = zone.to_ambiguous_timestamp(shown).later().ok()?;
    Timestamp::from_micros(instant.as_microsecond() + earlier)
}

impl Clock {
    /// The moment that a text means: with an offset, as in RFC 3339 (section 5.6), or local; a date, a month or a year means its
    /// first moment, and `30d` or `-30d` one that long ago.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn moment(&self, text: &str) -> Result<Timestamp, String> {
        let moment = self.absolute(text).or_else(|| self.first_of(text)).or_else(|| self.ago(text));
        moment.ok_or_else(|| {
            format!(
                "must be a time with an offset as in 2026-10-01T08:30:00Z, a local time ({zone}) as in 2026-10-01T08:30, a \
                 date, a month as in 2026-10, or as in 30d so long ago; not '{}'",
                text.escape_debug(),
                zone = self.zone_name(),
            )
        })
    }

    /// The first moment of a year, a month or a day, and that of the next.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn period(&self, text: &str) -> Result<(Timestamp, Timestamp), String> {
        let period = || {
            let first = date(text)?;
            let next = match text.len() {
                4 => first.checked_add(jiff::Span::new().years(1)),
                7 => first.checked_add(jiff::Span::new().months(1)),
                _ => first.tomorrow(),
            };
            Some((self.at(first.into())?, self.at(next.ok()?.into())?))
        };
        period().ok_or_else(|| {
            format!(
                "must be a month as in 2026-10, a day as in 2026-10-01 or a year; not '{}'",
                text.escape_debug()
            )
        })
    }

    fn absolute(&self, text: &str) -> Option<Timestamp> {
        let is_time =
            text.get(10..11).is_some_and(|separator| separator.eq_ignore_ascii_case("T") || separator == " ");
        if !is_time {
            return None;
        }
        let (date, time) = (text.get(..10)?, text.get(11..)?);
        if let Some(moment) = Timestamp::parse_rfc3339(&format!("{date}T{time}")) {
            return Some(moment);
        }
        // The library would take an offset for none.
        let is_local = time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
        self.at(format!("{date}T{time}").parse().ok().filter(|_| is_local)?)
    }

    fn first_of(&self, text: &str) -> Option<Timestamp> {
        self.at(date(text)?.into())
    }

    fn ago(&self, text: &str) -> Option<Timestamp> {
        let span = humantime::parse_duration(text.strip_prefix('-').unwrap_or(text)).ok()?;
        Timestamp::from_micros(self.now.micros().checked_sub(i64::try_from(span.as_micros()).ok()?)?)
    }

    /// The moment of a local time. One that a change of the clocks leaves out is as long after the change, and of one that is there
    /// twice the first is meant (RFC 5545 section 3.3.5).
    fn at(&self, local: civil::DateTime) -> Option<Timestamp> {
        Timestamp::from_micros(self.zone.to_timestamp(local).ok()?.as_microsecond())
    }

    /// The local time of a moment, to the minute, with the offset that the zone has then.
    pub fn shown(&self, moment: Timestamp) -> String {
        self.printed(moment, "%Y-%m-%d %H:%M%:z")
    }

    /// A moment as in RFC 3339, with the offset that the zone has then.
    pub fn with_offset(&self, moment: Timestamp) -> String {
        self.printed(moment, "%Y-%m-%dT%H:%M:%S%.6f%:z")
    }

    fn printed(&self, moment: Timestamp, format: &str) -> String {
        let known = jiff::Timestamp::from_microsecond(moment.micros());
        known.map_or_else(
            |_| moment.to_string(),
            |known| known.to_zoned(self.zone.clone()).strftime(format).to_string(),
        )
    }

    /// What the zone is called: its name, or the offset that it has now.
    fn zone_name(&self) -> String {
        match self.zone.iana_name() {
            Some(name) => name.to_owned(),
            None => self.printed(self.now, "UTC%:z"),
        }
    }
}

/// A date, or the first of a month or of a year.
fn date(text: &str) -> Option<civil::Date> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let whole = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return None,
    };
    whole.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(name: &str) -> Clock {
        Clock {
            zone: zone(name).expect("a zone"),
            now: Timestamp::parse_rfc3339("2026-11-28T12:00:00Z").expect("a time"),
        }
    }

    #[test]
    fn what_people_write_for_a_moment() {
        for (text, moment) in [
            ("2026-10-01T08:30:00Z", "2026-10-01T08:30:00Z"),
            ("2026-10-01 08:30:00+02:00", "2026-10-01T06:30:00Z"),
            ("2026-10-01T08:30", "2026-10-01T06:30:00Z"),
            ("2026-12-01 08:30:15.5", "2026-12-01T07:30:15.500000Z"),
            ("2026-10-01", "2026-09-30T22:00:00Z"),
            ("2026-10", "2026-09-30T22:00:00Z"),
            ("2026", "2025-12-31T23:00:00Z"),
            ("-30d", "2026-10-29T12:00:00Z"),
            ("2h", "2026-11-28T10:00:00Z"),
            // The clocks go forward at 2, and back at 3.
            ("2026-03-29T02:30", "2026-03-29T01:30:00Z"),
            ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(clock("Europe/Berlin").moment(text).expect(text).to_string(), moment, "{text}");
        }
        for text in [
            "",
            "now",
            "2026-13",
            "2026-02-30",
            "2026-10-01T08:30 02:00",
            "2026-10-01T25:00",
            "-2026",
            "30",
            "20261001",
        ] {
            assert!(clock("UTC").moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_ends_where_the_next_begins() {
        for (text, first, next) in [
            ("2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
            ("2026-12", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
        ] {
            let (from, to) = clock("Europe/Berlin").period(text).expect(text);
            assert_eq!((from.to_string().as_str(), to.to_string().as_str()), (first, next));
        }
        assert!(clock("UTC").period("30d").is_err());
    }

    #[test]
    fn the_last_days_have_their_zone() {
        let local = |text: &str| Timestamp::parse_rfc3339(&format!("{text}Z")).expect("a time");
        for (text, name, moment) in [
            ("9999-12-29T12:00:00", "Europe/Berlin", "9999-12-29T11:00:00Z"),
            ("9999-12-31T23:59:59.999999", "Europe/Berlin", "9999-12-31T22:59:59.999999Z"),
            ("9999-12-31T18:59:59", "America/New_York", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59", "Pacific/Auckland", "9999-12-31T10:59:59Z"),
        ] {
            let zone = zone(name).expect("a zone");
            assert_eq!(of_zone(local(text), &zone).expect(text).to_string(), moment);
        }
        assert_eq!(of_zone(local("9999-12-31T19:00:00"), &zone("America/New_York").expect("a zone")), None);
    }

    #[test]
    fn moments_are_shown_in_the_zone() {
        let clock = clock("Europe/Berlin");
        let moment = Timestamp::parse_rfc3339("2026-10-01T06:30:00.25Z").expect("a time");
        assert_eq!(clock.shown(moment), "2026-10-01 08:30+02:00");
        assert_eq!(clock.with_offset(moment), "2026-10-01T08:30:00.250000+02:00");
        assert_eq!(clock.zone_name(), "Europe/Berlin");
    }
}

//! A day of the calendar, in UTC.

use std::fmt;

#[cfg(feature = "corim")]
use time::OffsetDateTime;
use time::{Date, Month};
use toml::value;

/// 9999-12-31T23:59:59Z.
#[cfg(feature = "corim")]
const LAST_SECOND: u64 = 253_402_300_799;

/// A day in UTC, of a year from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// `None` for a day that no calendar has, or that is before 1970.
    pub(super) fn of(date: value::Date) -> Option<Self> {
        let month = Month::try_from(date.month).ok()?;
        let date = Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
        (date.year() >= 1970).then_some(Self(date))
    }

    /// The day of a time in seconds since 1970. `None` after the year 9999.
    #[cfg(feature = "corim")]
    pub(super) fn containing(unix_secs: u64) -> Option<Self> {
        let time = OffsetDateTime::from_unix_timestamp(i64::try_from(unix_secs).ok()?).ok()?;
        Some(Self(time.date()))
    }

    /// The last day that is over at a time. `None` if there is none.
    #[cfg(feature = "corim")]
    pub(super) fn last_ended(unix_secs: u64) -> Option<Self> {
        // The time is in the day after it. What ends after the year 9999 ends then.
        Self::containing(unix_secs.min(LAST_SECOND).checked_sub(24 * 3600)?)
    }

    /// The first second after it, since 1970: what holds until a day holds all that day.
    #[must_use]
    pub fn end_unix_secs(self) -> u64 {
        let begin = self.0.midnight().assume_utc().unix_timestamp();
        u64::try_from(begin).map_or(0, |begin| begin + 24 * 3600)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Option<Day> {
        let parsed: value::Datetime = text.parse().ok()?;
        Day::of(parsed.date?)
    }

    #[test]
    fn a_day_ends_when_the_next_begins() {
        let end = |text| day(text).map(Day::end_unix_secs);
        assert_eq!(end("1970-01-01"), Some(86_400));
        assert_eq!(end("2026-12-31"), Some(1_798_761_600));
        assert_eq!(end("2024-02-29"), Some(1_709_251_200));
        assert!(end("9999-12-31").is_some());
        assert_eq!(day("2026-02-03").unwrap().to_string(), "2026-02-03");
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for text in ["2026-02-29", "2026-13-01", "2026-00-01", "2026-01-00", "1969-12-31", "2026-1-1"] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}

//! When a schedule fires: cron expressions with five fields, in UTC.

use crate::time::Timestamp;
use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How late a slot may be fired under [`Missed::Skip`]: ticks come only now and then.
const GRACE: Duration = Duration::from_secs(300);

/// The longest cron expression, in bytes: longer than one that lists every value of every field.
const MAX_TEXT: usize = 512;

/// A cron expression: minute, hour, day of the month, month, day of the week; in UTC.
///
/// As with cron(8), if both days are given, either is enough. `*`, `*/5`, `1-5`, `1,15`, `MON`, `JAN` and `L`
/// (the last) are understood.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    parsed: croner::Cron,
}

/// Why a text is not a valid cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// It is longer than any expression needs to be.
    #[error("expected a cron expression of at most {MAX_TEXT} bytes, found {0}")]
    Long(usize),
    /// It does not have five fields.
    #[error("expected five fields, minute hour day-of-month month day-of-week, found {0}")]
    Fields(usize),
    /// A field has an impossible value.
    #[error("expected valid values in all fields of the cron expression, found {0:?}")]
    Field(String),
    /// It never fires.
    #[error("expected a cron expression that matches at least one date, found {0:?}")]
    Never(String),
}

/// What to do about slots at which no tick came in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are skipped. A slot is missed when it is five minutes late.
    #[default]
    Skip,
    /// The last one of them is fired late.
    RunOnce,
}

/// What to do about a schedule whose next slot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The slot to fire, if any.
    pub(super) fire: Option<Timestamp>,
    /// The next slot from now on.
    pub(super) next: Timestamp,
}

impl Cron {
    /// Parses an expression. `now` is where the search for a slot begins.
    ///
    /// # Errors
    /// [`BadCron`].
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, BadCron> {
        if text.len() > MAX_TEXT {
            return Err(BadCron::Long(text.len()));
        }
        let fields = text.split_ascii_whitespace().count();
        if fields != 5 {
            return Err(BadCron::Fields(fields));
        }
        // The parser would take an empty member for no time at all, and search thousands of years for a slot.
        if text.split_ascii_whitespace().any(|field| field.split(',').any(str::is_empty)) {
            return Err(BadCron::Field(text.to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(text).map_err(|_| BadCron::Field(text.to_owned()))?;
        let cron = Self { text: text.to_owned(), parsed };
        match cron.next(now) {
            Some(_) => Ok(cron),
            None => Err(BadCron::Never(text.to_owned())),
        }
    }

    /// Returns the expression as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the first slot after `now`.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.parsed.find_next_occurrence(&utc(now)?, false).ok().and_then(timestamp)
    }

    /// Returns the last slot at or before `now`.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        // Slots are whole minutes, and the search ignores fractions of a second.
        let minute = Timestamp::from_millis(now.as_millis() / 60_000 * 60_000);
        self.parsed.find_previous_occurrence(&utc(minute)?, true).ok().and_then(timestamp)
    }

    /// Decides what to do at `now` when the next slot is `slot`; `None` if it is yet to come. However many slots
    /// have passed, at most one is fired: the last. A slot after the next one was stored while the clock was ahead.
    pub(super) fn due(&self, slot: Timestamp, missed: Missed, now: Timestamp) -> Option<Due> {
        if now < slot {
            let next = self.next(now)?;
            return (next < slot).then_some(Due { fire: None, next });
        }
        let last = self.last(now).map_or(slot, |last| last.max(slot));
        let in_time = missed == Missed::RunOnce || now.since(last) <= GRACE;
        Some(Due { fire: in_time.then_some(last), next: self.next(now)? })
    }
}

fn utc(time: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(i64::try_from(time.as_millis()).ok()?)
}

fn timestamp(time: DateTime<Utc>) -> Option<Timestamp> {
    u64::try_from(time.timestamp_millis()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        timestamp(DateTime::parse_from_rfc3339(text).unwrap().to_utc()).unwrap()
    }

    fn cron(text: &str) -> Cron {
        Cron::parse(text, at("2026-01-01T00:00:00Z")).unwrap()
    }

    #[test]
    fn slots_come_as_cron_has_them() {
        for (text, now, next) in [
            ("* * * * *", "2026-03-01T10:20:30.5Z", "2026-03-01T10:21:00Z"),
            ("* * * * *", "2026-03-01T10:21:00Z", "2026-03-01T10:22:00Z"),
            ("*/15 9-17 * * MON-FRI", "2026-02-27T17:45:00Z", "2026-03-02T09:00:00Z"),
            ("0 0 1 * *", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            ("30 4 1,15 * 5", "2026-03-02T00:00:00Z", "2026-03-06T04:30:00Z"),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 * * 7", "2026-03-01T12:00:00Z", "2026-03-08T12:00:00Z"),
            ("0 12 * * 0", "2026-03-01T11:59:00Z", "2026-03-01T12:00:00Z"),
            ("0 0 L * *", "2026-02-10T00:00:00Z", "2026-02-28T00:00:00Z"),
        ] {
            assert_eq!(cron(text).next(at(now)), Some(at(next)), "{text} after {now}");
        }
    }

    #[test]
    fn what_is_no_expression_of_five_fields_is_refused() {
        let now = at("2026-01-01T00:00:00Z");
        for text in ["", "* * * *", "* * * * * *", "@daily", "0 0 * * * 2027"] {
            assert!(matches!(Cron::parse(text, now), Err(BadCron::Fields(_))), "{text}");
        }
        for text in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "x * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            ", * * * *",
            "1,,2 * * * *",
            "* * 1, * *",
        ] {
            assert_eq!(Cron::parse(text, now).err(), Some(BadCron::Field(text.to_owned())), "{text}");
        }
        assert!(matches!(Cron::parse("0 0 31 2 *", now), Err(BadCron::Never(_))));
        let list =
            |values: std::ops::Range<u8>| values.map(|it| it.to_string()).collect::<Vec<_>>().join(",");
        let every = [list(0..60), list(0..24), list(1..32), list(1..13), list(0..7)].join(" ");
        assert!(Cron::parse(&every, now).is_ok());
        let long = format!("{}0 3 * * *", "0,".repeat(256));
        assert_eq!(Cron::parse(&long, now).err(), Some(BadCron::Long(521)));
    }

    #[test]
    fn a_slot_that_is_due_is_fired_and_the_next_one_stands() {
        let every = cron("*/5 * * * *");
        let due = |slot, now, missed| every.due(at(slot), missed, at(now));
        assert_eq!(due("2026-03-01T10:05:00Z", "2026-03-01T10:04:59.999Z", Missed::Skip), None);
        let ahead = Due { fire: None, next: at("2026-03-01T10:05:00Z") };
        assert_eq!(due("2026-03-01T10:10:00Z", "2026-03-01T10:04:59.999Z", Missed::RunOnce), Some(ahead));
        for now in ["2026-03-01T10:05:00Z", "2026-03-01T10:05:00.001Z", "2026-03-01T10:09:59Z"] {
            let expected = Due { fire: Some(at("2026-03-01T10:05:00Z")), next: at("2026-03-01T10:10:00Z") };
            assert_eq!(due("2026-03-01T10:05:00Z", now, Missed::Skip), Some(expected), "{now}");
        }
    }

    #[test]
    fn missed_slots_are_skipped_or_made_up_for_once() {
        let hourly = cron("0 * * * *");
        let due = |missed, now| hourly.due(at("2026-03-01T10:00:00Z"), missed, at(now)).unwrap();
        let (late, next) = ("2026-03-01T13:20:00Z", at("2026-03-01T14:00:00Z"));
        assert_eq!(due(Missed::Skip, late), Due { fire: None, next });
        assert_eq!(due(Missed::RunOnce, late), Due { fire: Some(at("2026-03-01T13:00:00Z")), next });
        let in_time = due(Missed::Skip, "2026-03-01T13:04:00Z");
        assert_eq!(in_time.fire, Some(at("2026-03-01T13:00:00Z")), "the last one is not missed yet");
    }
}

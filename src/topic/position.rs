//! Positions in the history of a topic, and the ids of events.

use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// The id of an event, unique in its topic and greater than that of every event before it.
///
/// It is the id in the Redis stream: milliseconds since the Unix epoch by the clock of Redis, and a number within
/// the millisecond. Its text is `1700000000000-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    millis: u64,
    number: u64,
}

impl EventId {
    /// Makes an id of its two parts.
    #[must_use]
    pub const fn new(millis: u64, number: u64) -> Self {
        Self { millis, number }
    }

    /// Returns when the event was published, by the clock of Redis.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        Timestamp::from_millis(self.millis)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The error for a text that is neither an id nor a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected \"earliest\", milliseconds since 1970, or an id such as 1700000000000-0")]
pub struct InvalidPosition;

impl FromStr for EventId {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (millis, number) = text.split_once('-').ok_or(InvalidPosition)?;
        Ok(Self::new(canonical(millis)?, canonical(number)?))
    }
}

/// Parses a number in the form in which we write it: digits only, and no leading zeros.
fn canonical(text: &str) -> Result<u64, InvalidPosition> {
    let number: u64 = text.parse().map_err(|_| InvalidPosition)?;
    if text == number.to_string() { Ok(number) } else { Err(InvalidPosition) }
}

/// The position from which a topic is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the oldest event that is kept.
    Earliest,
    /// Before the first event that was published at this time or later. It also serves as the position in a topic that had no
    /// events at this time.
    Since(Timestamp),
    /// After this event.
    After(EventId),
}

impl Position {
    /// Returns the least id after this position.
    #[must_use]
    pub const fn next(self) -> EventId {
        match self {
            Self::Earliest => EventId::new(0, 0),
            Self::Since(time) => EventId::new(time.as_millis(), 0),
            Self::After(EventId { millis, number: u64::MAX }) => EventId::new(millis.saturating_add(1), 0),
            Self::After(EventId { millis, number }) => EventId::new(millis, number + 1),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Since(time) => write!(f, "{}", time.as_millis()),
            Self::After(id) => id.fmt(f),
        }
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        match text {
            "earliest" => Ok(Self::Earliest),
            _ if text.contains('-') => text.parse().map(Self::After),
            _ => canonical(text).map(|millis| Self::Since(Timestamp::from_millis(millis))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_text_is_a_position() {
        for good in ["earliest", "0", "1700000000000", "0-0", "1700000000000-18446744073709551615"] {
            assert_eq!(good.parse::<Position>().unwrap().to_string(), good);
        }
        for bad in
            ["", "latest", "-", "1-", "-1", "+1-0", "01-0", "1-00", "1-2-3", "1-*", "1 -0", "1-0\n", "$"]
        {
            assert_eq!(bad.parse::<Position>(), Err(InvalidPosition), "{bad:?}");
        }
        assert!("18446744073709551616-0".parse::<EventId>().is_err());
    }

    #[test]
    fn the_next_id_is_the_least_behind_a_position() {
        let next = |text: &str| text.parse::<Position>().unwrap().next().to_string();
        assert_eq!(next("earliest"), "0-0");
        assert_eq!(next("5"), "5-0");
        assert_eq!(next("5-0"), "5-1");
        assert_eq!(next("5-18446744073709551615"), "6-0");
    }

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(millis: u64, number: u64, which in 0..3) {
            let position = match which {
                0 => Position::Earliest,
                1 => Position::Since(Timestamp::from_millis(millis)),
                _ => Position::After(EventId::new(millis, number)),
            };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = text.parse::<Position>();
        }
    }
}

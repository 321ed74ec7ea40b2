//! Whether anything was lost between the position of a reader and what it reads next.
//!
//! Every event names the one before it. So a reader whose position is after an event has missed nothing
//! if the next event names just that one, whatever may have happened in between: trimming, eviction,
//! expiry, or a failover to a server that had not received the last events yet.

use super::message::Event;
use super::position::{EventId, Position};
use crate::time::Timestamp;
use std::time::Duration;

/// Returns whether events between `position` and `event`, the first that was found after it, are or may be lost.
///
/// `max_age` is how long a topic is known at least after its last event: a topic that begins with `event` may have
/// existed before, if that was longer ago.
#[must_use]
pub fn is_gap(position: Position, event: &Event, max_age: Duration) -> bool {
    match (position, event.previous) {
        (Position::Earliest, _) => false,
        (Position::After(id), previous) => previous != Some(id),
        (Position::Since(time), Some(previous)) => previous.time() >= time,
        (Position::Since(time), None) => event.id.time().since(time) > max_age,
    }
}

/// Returns the position right before `event`.
#[must_use]
pub fn before(event: &Event) -> Position {
    event.previous.map_or(Position::Since(event.id.time()), Position::After)
}

/// What was found when a reader came to a topic.
#[derive(Clone, Debug)]
pub struct Found {
    /// The time by Redis's clock.
    pub now: Timestamp,
    /// The last event of the topic, which may have expired; `None` if none is known.
    pub last: Option<EventId>,
}

/// Returns the actual position of a reader that wants to continue at `wanted` (`None`: now), and whether there is a gap
/// before it. `first` is the first event after `wanted`.
#[must_use]
pub fn resume(
    wanted: Option<Position>,
    found: &Found,
    first: Option<&Event>,
    max_age: Duration,
) -> (Position, bool) {
    let end = found.last.map_or(Position::Since(found.now), Position::After);
    let Some(wanted) = wanted else { return (end, false) };
    if let Some(first) = first {
        let gap = is_gap(wanted, first, max_age);
        return if gap { (before(first), true) } else { (wanted, false) };
    }
    match (wanted, found.last) {
        // There were later events, or this one is unknown.
        (Position::After(id), last) => (end, last != Some(id)),
        (Position::Since(time), None) if found.now.since(time) <= max_age => (wanted, false),
        (Position::Since(_), None) => (end, true),
        (Position::Since(time), Some(last)) => (end, last.time() >= time),
        (Position::Earliest, _) => (end, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_millis(1000);

    fn event(id: u64, previous: Option<u64>) -> Event {
        let id = EventId::new(id, 0);
        let previous = previous.map(|id| EventId::new(id, 0));
        Event { id, previous, kind: String::new(), data: String::new() }
    }

    fn after(id: u64) -> Position {
        Position::After(EventId::new(id, 0))
    }

    fn since(time: u64) -> Position {
        Position::Since(Timestamp::from_millis(time))
    }

    fn resumed(wanted: Option<Position>, last: Option<u64>, first: Option<&Event>) -> (Position, bool) {
        let last = last.map(|id| EventId::new(id, 0));
        resume(wanted, &Found { now: Timestamp::from_millis(5000), last }, first, DAY)
    }

    #[test]
    fn behind_an_event_only_the_one_that_names_it_leaves_no_gap() {
        assert!(!is_gap(after(5), &event(9, Some(5)), DAY));
        assert!(is_gap(after(5), &event(9, Some(7)), DAY), "7 was trimmed");
        assert!(is_gap(after(5), &event(9, Some(3)), DAY), "a server that never had 5");
        assert!(is_gap(after(5), &event(9, None), DAY), "the topic came to be again");
    }

    #[test]
    fn behind_a_time_there_is_a_gap_when_something_after_it_was_trimmed() {
        assert!(!is_gap(since(5), &event(9, Some(4)), DAY));
        assert!(is_gap(since(5), &event(9, Some(5)), DAY));
        assert!(!is_gap(since(5), &event(9, None), DAY), "the first event ever");
        assert!(is_gap(since(5), &event(9000, None), DAY), "there was time for a whole life of the topic");
        assert!(!is_gap(Position::Earliest, &event(9, Some(7)), DAY));
    }

    #[test]
    fn who_wants_nothing_old_begins_at_the_end() {
        assert_eq!(resumed(None, Some(7), None), (after(7), false));
        assert_eq!(resumed(None, None, None), (since(5000), false));
    }

    #[test]
    fn who_comes_back_goes_on_where_it_stood() {
        assert_eq!(resumed(Some(after(7)), Some(7), None), (after(7), false));
        assert_eq!(resumed(Some(after(7)), Some(9), Some(&event(9, Some(7)))), (after(7), false));
        assert_eq!(resumed(Some(since(4500)), None, None), (since(4500), false));
        assert_eq!(resumed(Some(since(4500)), Some(7), None), (after(7), false));
        assert_eq!(resumed(Some(Position::Earliest), None, None), (since(5000), false));
    }

    #[test]
    fn what_is_lost_or_not_known_is_a_gap_and_the_next_return_has_none() {
        let cases = [
            (after(7), None, None, "nobody knows of it"),
            (after(7), Some(9), None, "what came after it has expired"),
            (since(7), Some(9), None, "what came since has expired"),
            (after(7), Some(3), None, "from the future"),
            (after(7), Some(9), Some(event(9, Some(8))), "trimmed"),
            (after(7), Some(9), Some(event(9, None)), "began anew"),
            (since(1), None, None, "longer away than a topic lives"),
            (since(5), Some(9), Some(event(9, Some(6))), "trimmed behind a time"),
        ];
        for (wanted, last, first, why) in cases {
            let (stands, gap) = resumed(Some(wanted), last, first.as_ref());
            assert!(gap, "{why}");
            assert_eq!(resumed(Some(stands), last, first.as_ref()), (stands, false), "{why}");
        }
    }
}

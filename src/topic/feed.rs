//! What an instance has recently read of a topic, shared by all its readers.
//!
//! Readers in one instance cannot wake one another: only a timer or a reply of Redis wakes a task. So the first
//! reader to come when a read is due reads for all, and the others look here by timers of their own.

use super::message::Event;
use super::position::{EventId, Position};
use crate::time::Timestamp;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The pause between an event and the next look.
pub(super) const SOONEST: Duration = Duration::from_millis(50);
/// How soon a reader checks whether another one's read is done.
const ASIDE: Duration = Duration::from_millis(5);
/// The most that is kept for readers that come a little later.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 1024 * 1024;

/// The recent events of one topic.
pub(super) struct Feed(RefCell<State>);

struct State {
    /// `events` contains all events from this id up to `tail`.
    from: EventId,
    /// The position where the next read continues.
    tail: Position,
    events: VecDeque<Rc<Event>>,
    bytes: usize,
    /// When it was last read, and how long to wait after that before the next read.
    read_at: Option<Timestamp>,
    interval: Duration,
    reading: bool,
}

impl Feed {
    /// Makes a feed that begins at `position` and is to be read at once.
    pub(super) fn at(position: Position) -> Self {
        Self(RefCell::new(State {
            from: position.next(),
            tail: position,
            events: VecDeque::new(),
            bytes: 0,
            read_at: None,
            interval: SOONEST,
            reading: false,
        }))
    }

    /// Returns the events after `position` that were read; `None` if the feed does not reach back that far.
    pub(super) fn behind(&self, position: Position) -> Option<Vec<Rc<Event>>> {
        let state = self.0.borrow();
        let next = position.next();
        if next < state.from {
            return None;
        }
        let begin = state.events.partition_point(|event| event.id < next);
        Some(state.events.range(begin..).cloned().collect())
    }

    /// Returns how long until somebody must look here again, to read or to see what another one read. Zero: read now.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let state = self.0.borrow();
        match state.read_at {
            _ if state.reading => ASIDE,
            // If the clock was set back, there is no waiting.
            Some(read_at) if read_at <= now => state.interval.saturating_sub(now.since(read_at)),
            _ => Duration::ZERO,
        }
    }

    /// Begins a read for all readers.
    pub(super) fn begin(self: &Rc<Self>, now: Timestamp) -> Reading {
        let mut state = self.0.borrow_mut();
        state.reading = true;
        state.read_at = Some(now);
        Reading { feed: Rc::clone(self), from: state.tail }
    }

    fn push(&self, events: Vec<Event>, most: usize, longest: Duration) {
        let mut state = self.0.borrow_mut();
        let found = events.len();
        for event in events {
            state.tail = Position::After(event.id);
            state.bytes += event.size();
            state.events.push_back(Rc::new(event));
        }
        while state.events.len() > MOST_EVENTS || (state.bytes > MOST_BYTES && state.events.len() > found) {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.size();
            state.from = Position::After(oldest.id).next();
        }
        state.interval = match found {
            0 => (state.interval * 2).min(longest),
            // There may be more events.
            _ if found >= most => Duration::ZERO,
            _ => SOONEST.min(longest),
        };
    }
}

/// A read under way. However it ends, the feed can be read again.
pub(super) struct Reading {
    feed: Rc<Feed>,
    from: Position,
}

impl Reading {
    /// Returns the position where to continue reading.
    pub(super) const fn from(&self) -> Position {
        self.from
    }

    /// Adds the events found by a read of at most `most` events; `longest` is the longest pause between reads.
    pub(super) fn found(self, events: Vec<Event>, most: usize, longest: Duration) {
        self.feed.push(events, most, longest);
    }

    /// Notes that the read failed, so that the next one comes after the longest pause.
    pub(super) fn failed(self, longest: Duration) {
        self.feed.0.borrow_mut().interval = longest;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.feed.0.borrow_mut().reading = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    fn event(id: u64, size: usize) -> Event {
        Event { id: EventId::new(id, 0), previous: None, kind: String::new(), data: "x".repeat(size) }
    }

    fn after(id: u64) -> Position {
        Position::After(EventId::new(id, 0))
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ids(feed: &Feed, position: Position) -> Option<Vec<String>> {
        Some(feed.behind(position)?.iter().map(|event| event.id.to_string()).collect())
    }

    #[test]
    fn readers_find_what_is_behind_them() {
        let feed = Rc::new(Feed::at(after(5)));
        assert_eq!(ids(&feed, after(5)), Some(vec![]));
        feed.begin(at(0)).found(vec![event(6, 1), event(8, 1)], 10, LONGEST);
        assert_eq!(ids(&feed, after(5)), Some(vec!["6-0".to_owned(), "8-0".to_owned()]));
        assert_eq!(ids(&feed, after(6)), Some(vec!["8-0".to_owned()]));
        assert_eq!(ids(&feed, after(9)), Some(vec![]), "ahead of the feed");
        assert_eq!(ids(&feed, after(4)), None, "from before the feed");
        assert_eq!(feed.begin(at(0)).from(), after(8));
    }

    #[test]
    fn one_reads_for_all_and_the_pauses_grow() {
        let feed = Rc::new(Feed::at(after(5)));
        assert_eq!(feed.wait(at(100)), Duration::ZERO);
        let reading = feed.begin(at(100));
        assert_eq!(feed.wait(at(100)), ASIDE);
        reading.found(vec![], 10, LONGEST);
        assert_eq!(feed.wait(at(150)), Duration::from_millis(50));
        for expected in [200, 400, 800, 1000, 1000] {
            feed.begin(at(100)).found(vec![], 10, LONGEST);
            assert_eq!(feed.wait(at(100)).as_millis(), expected);
        }
        feed.begin(at(100)).found(vec![event(6, 1)], 10, LONGEST);
        assert_eq!(feed.wait(at(100)), SOONEST);
        feed.begin(at(100)).found(vec![event(7, 1)], 1, LONGEST);
        assert_eq!(feed.wait(at(100)), Duration::ZERO, "there may be more");
        feed.begin(at(100)).failed(LONGEST);
        assert_eq!(feed.wait(at(100)), LONGEST);
        assert_eq!(feed.wait(at(99)), Duration::ZERO, "the clock was set back");
        drop(feed.begin(at(100)));
        assert_ne!(feed.wait(at(100)), ASIDE, "a read that was given up does not block the feed");
    }

    #[test]
    fn old_events_are_dropped_and_readers_that_need_them_are_told() {
        let feed = Rc::new(Feed::at(after(0)));
        for id in 1..=300 {
            feed.begin(at(0)).found(vec![event(id, 1)], 10, LONGEST);
        }
        assert_eq!(ids(&feed, after(43)), None);
        assert_eq!(ids(&feed, after(44)).unwrap().len(), MOST_EVENTS);
        feed.begin(at(0)).found(vec![event(301, MOST_BYTES), event(302, MOST_BYTES)], 10, LONGEST);
        assert_eq!(ids(&feed, after(299)), None);
        assert_eq!(ids(&feed, after(300)).unwrap().len(), 2, "what was just read stays");
    }
}

//! Following topics: the events published since a position, and then those published from now on.

use super::cursor;
use super::feed::Feed;
use super::gap;
use super::message::Event;
use super::name::TopicName;
use super::position::Position;
use super::store::Topics;
use crate::env::Env;
use crate::redis::{RedisError, together};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a follower receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// An event.
    Event(Rc<Event>),
    /// Events before the next one are lost, or may be: they were trimmed, expired or evicted before they were
    /// read, or the reader came with an id that the topic does not know.
    Gap,
}

/// Something that was received, and the position after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The topic.
    pub topic: TopicName,
    /// The event, or a gap.
    pub news: News,
    /// The position of the follower in all its topics: given to [`Topics::follow`], it continues here.
    pub cursor: String,
}

/// A reader of one or several topics.
pub struct Follower<E: Env> {
    topics: Rc<Topics<E>>,
    readers: Vec<Reader>,
}

/// A reader of one topic.
struct Reader {
    topic: TopicName,
    stands: Stands,
}

enum Stands {
    /// It has not looked at the topic yet.
    Outside {
        wanted: Option<Position>,
        doubt: bool,
    },
    Inside(Inside),
}

struct Inside {
    /// The position after the last event that was heard.
    heard: Position,
    /// Whether there is a gap that was not reported yet.
    gap: bool,
    /// The events that were read and not heard yet, and the position after them.
    queue: VecDeque<Rc<Event>>,
    read: Position,
    feed: Rc<Feed>,
}

impl<E: Env> Follower<E> {
    /// Makes a follower that has not read anything yet.
    pub(super) fn new(
        topics: Rc<Topics<E>>,
        wanted: impl IntoIterator<Item = (TopicName, Option<Position>)>,
    ) -> Self {
        let reader = |(topic, wanted)| Reader { topic, stands: Stands::Outside { wanted, doubt: false } };
        Self { topics, readers: wanted.into_iter().map(reader).collect() }
    }

    /// Reports a gap in each topic first, because the follower cannot say what it has seen.
    pub fn doubt(&mut self) {
        for reader in &mut self.readers {
            match &mut reader.stands {
                Stands::Outside { doubt, .. } => *doubt = true,
                Stands::Inside(inside) => inside.gap = true,
            }
        }
    }

    /// Looks at each topic for the first time. Does nothing for topics where that was done.
    ///
    /// # Errors
    /// [`RedisError`]; the call can be repeated.
    pub async fn enter(&mut self) -> Result<(), RedisError> {
        let topics = &self.topics;
        let looks = self.readers.iter_mut().map(|reader| async move {
            let Stands::Outside { wanted, doubt } = reader.stands else { return Ok(()) };
            let mut inside = look(topics, &reader.topic, wanted).await?;
            inside.gap |= doubt;
            reader.stands = Stands::Inside(inside);
            Ok(())
        });
        together::all(looks).await.map(|_| ())
    }

    /// Returns its position; `None` until it has [entered](Self::enter).
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        Some(cursor::write(&self.places()?))
    }

    /// As [`Self::cursor`], but with `earliest` for each topic with a gap that was not reported yet.
    #[must_use]
    pub fn honest_cursor(&self) -> Option<String> {
        let gaps: Vec<bool> = self.inside().map(|inside| inside.gap).collect();
        Some(cursor::write_unknown(&self.places()?, &gaps))
    }

    /// Waits until something is heard, at most until `until`: then nothing is returned.
    ///
    /// # Errors
    /// [`RedisError`]; the call can be repeated, and nothing is lost or heard twice.
    pub async fn next(&mut self, until: Timestamp) -> Result<Vec<Heard>, RedisError> {
        let started = self.topics.env.now();
        self.enter().await?;
        loop {
            self.fill().await?;
            let heard = self.heard_now();
            let now = self.topics.env.now();
            if !heard.is_empty() || now >= until || now < started {
                return Ok(heard);
            }
            let left = until.since(now);
            let wait = self.inside().map(|inside| inside.feed.wait(now)).min().unwrap_or(left);
            if wait.is_zero() {
                self.read_feeds(now).await?;
            } else {
                self.topics.env.sleep(wait.min(left)).await;
            }
        }
    }

    /// Takes new events from the feeds. Events that a feed does not have any more are read separately.
    async fn fill(&mut self) -> Result<(), RedisError> {
        let topics = &self.topics;
        let fills = self.readers.iter_mut().map(|reader| async move {
            let Stands::Inside(inside) = &mut reader.stands else { return Ok(()) };
            match inside.feed.behind(inside.read) {
                Some(events) => inside.push(events),
                None => {
                    let (events, _) = topics.range(&reader.topic, inside.read).await?;
                    if events.is_empty() {
                        // The feed is ahead of what the topic contains by now.
                        inside.feed = topics.new_feed(&reader.topic, inside.read);
                    }
                    inside.push(events.into_iter().map(Rc::new));
                }
            }
            Ok(())
        });
        together::all(fills).await.map(|_| ())
    }

    /// Reads, for all readers of this instance, the feeds that are due.
    async fn read_feeds(&self, now: Timestamp) -> Result<(), RedisError> {
        let due = self.readers.iter().filter_map(|reader| match &reader.stands {
            Stands::Inside(inside) if inside.feed.wait(now).is_zero() => {
                Some((&reader.topic, inside.feed.begin(now)))
            }
            _ => None,
        });
        let longest = self.topics.rules().max_delay;
        let reads = due.map(|(topic, reading)| async move {
            match self.topics.range(topic, reading.from()).await {
                Ok((events, most)) => {
                    reading.found(events, most, longest);
                    Ok(())
                }
                Err(error) => {
                    reading.failed(longest);
                    Err(error)
                }
            }
        });
        together::all(reads).await.map(|_| ())
    }

    /// Returns everything that was read and not heard yet, ordered by id: all topics use the same clock, that of
    /// Redis.
    pub fn heard_now(&mut self) -> Vec<Heard> {
        // Until all readers have entered, there is no cursor: events that others have read wait.
        if self.places().is_none() {
            return Vec::new();
        }
        let mut new: Vec<(usize, Rc<Event>)> = Vec::new();
        let mut heard = Vec::new();
        for at in 0..self.readers.len() {
            let Stands::Inside(inside) = &mut self.readers[at].stands else { continue };
            new.extend(inside.queue.drain(..).map(|event| (at, event)));
            if std::mem::take(&mut inside.gap) {
                heard.extend(self.told(at, News::Gap));
            }
        }
        new.sort_by_key(|(_, event)| event.id);
        let max_age = self.topics.rules().max_age;
        for (at, event) in new {
            let Stands::Inside(inside) = &mut self.readers[at].stands else { continue };
            let is_gap = gap::is_gap(inside.heard, &event, max_age);
            if is_gap {
                inside.heard = gap::before(&event);
                heard.extend(self.told(at, News::Gap));
            }
            if let Stands::Inside(inside) = &mut self.readers[at].stands {
                inside.heard = Position::After(event.id);
            }
            heard.extend(self.told(at, News::Event(event)));
        }
        heard
    }

    fn told(&self, at: usize, news: News) -> Option<Heard> {
        Some(Heard { topic: self.readers.get(at)?.topic.clone(), news, cursor: self.cursor()? })
    }

    fn places(&self) -> Option<Vec<(TopicName, Position)>> {
        let place = |reader: &Reader| match &reader.stands {
            Stands::Inside(inside) => Some((reader.topic.clone(), inside.heard)),
            Stands::Outside { .. } => None,
        };
        self.readers.iter().map(place).collect()
    }

    fn inside(&self) -> impl Iterator<Item = &Inside> {
        self.readers.iter().filter_map(|reader| match &reader.stands {
            Stands::Inside(inside) => Some(inside),
            Stands::Outside { .. } => None,
        })
    }
}

impl Inside {
    fn push(&mut self, events: impl IntoIterator<Item = Rc<Event>>) {
        for event in events {
            self.read = Position::After(event.id);
            self.queue.push_back(event);
        }
    }
}

/// Looks at a topic for the first time: determines the position of the reader, and what it can read already.
async fn look<E: Env>(
    topics: &Topics<E>,
    topic: &TopicName,
    wanted: Option<Position>,
) -> Result<Inside, RedisError> {
    let (found, events) = topics.look(topic, wanted).await?;
    let (heard, gap) = gap::resume(wanted, &found, events.first(), topics.rules().max_age);
    let read = events.last().map_or(heard, |event| Position::After(event.id));
    let queue = events.into_iter().map(Rc::new).collect();
    Ok(Inside { heard, gap, queue, read, feed: topics.feed(topic, read) })
}

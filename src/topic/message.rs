//! Events, as they are published and as they are read.

use super::position::EventId;
use crate::redis::{RedisError, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest type of an event, in bytes.
pub const MAX_TYPE: usize = 64;

/// The type that tells a client about a gap; nobody may publish it.
pub const GAP: &str = "gap";

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    kind: String,
    data: String,
}

/// Why an event is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// The type is not valid.
    #[error("type: expected 1 to {MAX_TYPE} visible ASCII characters, and not \"{GAP}\", found {0:?}")]
    Type(String),
    /// The data cannot be serialized as JSON.
    #[error("data: {0}")]
    Data(String),
}

impl NewEvent {
    /// Makes an event without a type. Carriage returns in `data` reach readers of Server-Sent Events as line feeds.
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self { kind: String::new(), data: data.into() }
    }

    /// Makes an event with `value` as JSON.
    ///
    /// # Errors
    /// [`InvalidEvent::Data`] when `value` cannot be serialized as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, InvalidEvent> {
        let data = serde_json::to_string(value).map_err(|error| InvalidEvent::Data(error.to_string()))?;
        Ok(Self::new(data))
    }

    /// Sets the type, to which `EventSource.addEventListener` listens.
    ///
    /// # Errors
    /// [`InvalidEvent::Type`].
    pub fn typed(self, kind: &str) -> Result<Self, InvalidEvent> {
        let right = (1..=MAX_TYPE).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_graphic());
        if right && kind != GAP {
            Ok(Self { kind: kind.to_owned(), ..self })
        } else {
            Err(InvalidEvent::Type(kind.chars().take(2 * MAX_TYPE).collect()))
        }
    }

    /// Returns its type; empty if it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns its data.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }
}

/// An event as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The event before it in its topic; `None` for the first one since the topic came into being, perhaps again.
    pub previous: Option<EventId>,
    /// Its type; empty if it has none.
    pub kind: String,
    /// Its data.
    pub data: String,
}

/// The number of elements that one event has in a flat reply: its id, and three names with their values.
const ELEMENTS: usize = 7;

impl Event {
    /// Deserializes the data from JSON.
    ///
    /// # Errors
    /// When it is not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.data)
    }

    /// Returns the size of type and data, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.kind.len() + self.data.len()
    }

    /// Parses the flat reply of `XRANGE`.
    ///
    /// # Errors
    /// [`RedisError::Reply`] when an entry is not one that Spindrift wrote.
    pub(super) fn list(reply: Vec<Value>) -> Result<Vec<Self>, RedisError> {
        let mut reply = reply.into_iter();
        let mut events = Vec::with_capacity(reply.len() / ELEMENTS);
        while let Some(id) = reply.next() {
            let mut field = |name: &str| {
                if text(reply.next())? == name { text(reply.next()) } else { Err(foreign()) }
            };
            let (previous, kind, data) = (field("p")?, field("t")?, field("d")?);
            let previous = if previous.is_empty() { None } else { Some(id_of(&previous)?) };
            events.push(Self { id: id_of(&text(Some(id))?)?, previous, kind, data });
        }
        Ok(events)
    }
}

fn text(value: Option<Value>) -> Result<String, RedisError> {
    let bytes = value.ok_or_else(foreign)?.bytes()?.ok_or_else(foreign)?;
    String::from_utf8(bytes).map_err(|_| foreign())
}

pub(super) fn id_of(text: &str) -> Result<EventId, RedisError> {
    text.parse().map_err(|_| foreign())
}

fn foreign() -> RedisError {
    RedisError::Reply("expected an entry of the topic as Spindrift writes it, found another form".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(words: &[&str]) -> Vec<Value> {
        words.iter().map(|word| Value::Bytes(word.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_flat_reply_is_taken_apart() {
        let events =
            Event::list(reply(&["1-0", "p", "", "t", "", "d", "x", "2-0", "p", "1-0", "t", "k", "d", ""]));
        let first =
            Event { id: EventId::new(1, 0), previous: None, kind: String::new(), data: "x".to_owned() };
        let second = Event {
            id: EventId::new(2, 0),
            previous: Some(EventId::new(1, 0)),
            kind: "k".to_owned(),
            data: String::new(),
        };
        assert_eq!(events, Ok(vec![first, second]));
        assert_eq!(Event::list(vec![]), Ok(vec![]));
    }

    #[test]
    fn entries_of_another_form_are_an_error() {
        for foreign in [
            &["1-0"][..],
            &["1-0", "p", "", "t", "", "d"],
            &["1-0", "d", "x", "t", "", "p", ""],
            &["x", "p", "", "t", "", "d", ""],
            &["1-0", "p", "x", "t", "", "d", ""],
        ] {
            assert!(matches!(Event::list(reply(foreign)), Err(RedisError::Reply(_))), "{foreign:?}");
        }
        let mut bytes = reply(&["1-0", "p", "", "t", "", "d", "x"]);
        bytes[6] = Value::Bytes(vec![0xff]);
        assert!(Event::list(bytes).is_err());
    }

    #[test]
    fn a_type_has_no_control_characters_and_is_not_the_reserved_one() {
        for bad in ["", "a b", "a\nb", "a\rb", "\0", "ä", "gap", &"x".repeat(65)] {
            assert!(NewEvent::new("x").typed(bad).is_err(), "{bad:?}");
        }
        assert_eq!(NewEvent::new("x").typed("order.created").unwrap().kind(), "order.created");
    }

    #[test]
    fn json_data_is_read_as_it_was_written() {
        let event = NewEvent::json(&vec![1, 2]).unwrap();
        assert_eq!(event.data(), "[1,2]");
        let read = Event {
            id: EventId::new(1, 0),
            previous: None,
            kind: String::new(),
            data: event.data().to_owned(),
        };
        assert_eq!(read.json::<Vec<u8>>().unwrap(), [1, 2]);
    }
}

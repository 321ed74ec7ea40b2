//! The position of a reader in one or several topics, as one text: the id of a Server-Sent Event.
//!
//! In one topic it is a [`Position`]. In several it is `tag:position,tag:position,...`, where the tag is a hash
//! of the topic's name. So the order of the topics does not matter, and topics may be added and removed.

use super::name::TopicName;
use super::position::{InvalidPosition, Position};
use crate::redis::hex;

/// The most topics of one reader.
pub const MAX_TOPICS: usize = 16;

/// Formats `places`: each topic with the position of the reader in it.
#[must_use]
pub fn write(places: &[(TopicName, Position)]) -> String {
    match places {
        [(_, position)] => position.to_string(),
        places => {
            let parts: Vec<String> =
                places.iter().map(|(topic, position)| format!("{}:{position}", tag(topic))).collect();
            parts.join(",")
        }
    }
}

/// Parses the cursor `text`, and returns the position in each of `topics`. `None` for a topic that the text does not
/// contain: the reader is new to it.
///
/// A single position applies to each of several topics; an event id then stands for its time, since the other topics
/// do not have the event.
///
/// # Errors
/// [`InvalidPosition`].
pub fn read(text: &str, topics: &[TopicName]) -> Result<Vec<Option<Position>>, InvalidPosition> {
    if !text.contains(':') {
        let position = match (text.parse()?, topics.len()) {
            (Position::After(id), 2..) => Position::Since(id.time()),
            (position, _) => position,
        };
        return Ok(vec![Some(position); topics.len()]);
    }
    let mut places = vec![None; topics.len()];
    let tags: Vec<String> = topics.iter().map(tag).collect();
    for part in text.split(',') {
        let (found, position) = part.split_once(':').ok_or(InvalidPosition)?;
        let position = position.parse()?;
        if let Some(place) = tags.iter().zip(&mut places).find(|(tag, _)| *tag == found) {
            *place.1 = Some(position);
        }
    }
    Ok(places)
}

/// Formats a cursor with `earliest` for each topic where `unknown` says that the position is not known.
#[must_use]
pub fn write_unknown(places: &[(TopicName, Position)], unknown: &[bool]) -> String {
    let known = |(place, unknown): (&(TopicName, Position), &bool)| {
        (place.0.clone(), if *unknown { Position::Earliest } else { place.1 })
    };
    write(&places.iter().zip(unknown).map(known).collect::<Vec<_>>())
}

/// Returns the tag of a topic. 64 bits are enough to tell 16 topics apart.
pub(super) fn tag(topic: &TopicName) -> String {
    hex(&blake3::hash(topic.as_str().as_bytes()).as_bytes()[..8])
}

#[cfg(test)]
mod tests {
    use super::super::position::EventId;
    use super::*;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn topics(names: &[&str]) -> Vec<TopicName> {
        names.iter().map(|name| TopicName::new(name).unwrap()).collect()
    }

    fn after(millis: u64) -> Position {
        Position::After(EventId::new(millis, 0))
    }

    #[test]
    fn one_topic_has_a_plain_position() {
        let topic = topics(&["a"]);
        let text = write(&[(topic[0].clone(), after(7))]);
        assert_eq!(text, "7-0");
        assert_eq!(read(&text, &topic), Ok(vec![Some(after(7))]));
    }

    #[test]
    fn topics_may_come_go_and_change_places() {
        let all = topics(&["a", "b", "c"]);
        let text = write(&[
            (all[0].clone(), after(1)),
            (all[1].clone(), Position::Earliest),
            (all[2].clone(), Position::Since(Timestamp::from_millis(3))),
        ]);
        assert_eq!(
            read(&text, &topics(&["c", "new", "a"])),
            Ok(vec![Some(Position::Since(Timestamp::from_millis(3))), None, Some(after(1))])
        );
        assert_eq!(read(&text, &topics(&["b"])), Ok(vec![Some(Position::Earliest)]));
    }

    #[test]
    fn a_single_position_holds_for_each_of_several_topics() {
        let both = topics(&["a", "b"]);
        assert_eq!(read("earliest", &both), Ok(vec![Some(Position::Earliest); 2]));
        let time = Position::Since(Timestamp::from_millis(7));
        assert_eq!(read("7-3", &both), Ok(vec![Some(time); 2]));
        assert_eq!(read("7", &both), Ok(vec![Some(time); 2]));
    }

    #[test]
    fn what_is_unknown_is_written_as_earliest() {
        let both = topics(&["a", "b"]);
        let places = [(both[0].clone(), after(1)), (both[1].clone(), after(2))];
        let text = write_unknown(&places, &[true, false]);
        assert_eq!(read(&text, &both), Ok(vec![Some(Position::Earliest), Some(after(2))]));
        assert_eq!(write_unknown(&places[..1], &[true]), "earliest");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "x", ":", "a:", "a:1-0,", ",a:1-0", "a:1-0,b", "7-0,8-0"] {
            assert_eq!(read(bad, &topics(&["a", "b"])), Err(InvalidPosition), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(places in proptest::collection::btree_map("[a-z]{1,5}", any::<u64>(), 1..16)) {
            let places: Vec<_> =
                places.iter().map(|(name, millis)| (TopicName::new(name).unwrap(), after(*millis))).collect();
            let (topics, positions): (Vec<_>, Vec<_>) = places.iter().cloned().unzip();
            let expected: Vec<_> = positions.into_iter().map(Some).collect();
            prop_assert_eq!(read(&write(&places), &topics), Ok(expected));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = read(&text, &topics(&["a", "b"]));
        }
    }
}

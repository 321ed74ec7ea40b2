//! Messages, contents of the API, and tokens.

use super::{NOW, text};
use spindrift::config::Secret;
use spindrift::event::Envelope;
use spindrift::job::LeaseToken;
use spindrift::pipeline::warm::Warm;
use spindrift::purge::Purge;
use spindrift::session::{Changes, Data, KeyRing};
use spindrift::topic::{EventId, Pattern, Position, TopicName, cursor, sse, token};
use std::time::Duration;

/// Messages on the channel.
pub fn envelope(data: &[u8]) {
    if let Err(error) = Envelope::decode(data) {
        assert!(!error.to_string().is_empty());
    }
}

/// Contents of the API, and the data of sessions.
pub fn json(data: &[u8]) {
    if let Ok(warm) = serde_json::from_slice::<Warm>(data) {
        let _ = warm.targets();
    }
    if let Ok(found) = Data::parse(data) {
        assert_eq!(Data::parse(found.to_json().as_bytes()).map(|again| again.to_json()), Ok(found.to_json()));
        if let Ok(changes) = Changes::parse(data) {
            let mut changed = Data::default();
            changed.apply(&changes);
            assert!(changed.size() <= found.size());
        }
    }
}

/// `Last-Event-ID`: a parsed value is formatted the same way again.
pub fn last_event_id(data: &[u8]) {
    let topics: Vec<TopicName> =
        ["orders", "mail"].iter().filter_map(|name| TopicName::new(name).ok()).collect();
    let text = text(data);
    for topics in [&topics[..1], &topics[..]] {
        let Ok(places) = cursor::read(&text, topics) else { continue };
        let known: Option<Vec<(TopicName, Position)>> =
            topics.iter().zip(&places).map(|(topic, place)| Some((topic.clone(), (*place)?))).collect();
        if let Some(known) = known {
            assert_eq!(cursor::read(&cursor::write(&known), topics), Ok(places));
        }
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
    }
}

/// Purges: as JSON, and the text itself as each kind of target.
pub fn purge(data: &[u8]) {
    if let Ok(purge) = serde_json::from_slice::<Purge>(data) {
        let _ = purge.targets();
    }
    let list = vec![text(data)];
    for purge in [
        Purge { urls: list.clone(), ..Purge::default() },
        Purge { tags: list.clone(), ..Purge::default() },
        Purge { patterns: list.clone(), ..Purge::default() },
        Purge { prefixes: list.clone(), ..Purge::default() },
    ] {
        match purge.targets() {
            Ok(targets) => assert_eq!(targets.len(), 1),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    if let (Some(pattern), Ok(name)) = (Pattern::new(&list[0]), TopicName::new(&list[0])) {
        assert!(pattern.matches(&name), "a pattern matches itself as a name");
    }
}

/// Server-Sent Events: no data can end an event or begin another field.
pub fn server_sent_event(data: &[u8]) {
    let mut out = String::new();
    sse::event(&mut out, "1-0", "kind", &text(data));
    let (event, rest) = out.split_once("\n\n").unwrap_or_default();
    assert_eq!(rest, "");
    let known = |line: &str| {
        ["id: 1-0", "event: kind"].contains(&line) || line.starts_with("data: ") || line == "data:"
    };
    assert!(event.split(['\n', '\r']).all(known), "{out:?}");
}

/// Tokens of sessions and leases: random bytes are never validly signed.
pub fn session_token(data: &[u8]) {
    let ring = KeyRing::new("session", vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())]);
    assert!(ring.verify(&text(data)).is_none());
    let _ = text(data).parse::<LeaseToken>();
}

/// Tokens for streams: random bytes are never validly signed, and verifying a signed token does not panic.
pub fn stream_token(data: &[u8]) {
    let key = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
    let keys = [key];
    assert!(token::verify(&keys, &text(data), NOW).is_err());
    if let Some(pattern) = Pattern::new(&text(data)) {
        let (signed, _) = token::sign(&keys[0], &[pattern], Duration::from_secs(60), NOW);
        // A token that is too long is not valid.
        let _ = token::verify(&keys, &signed, NOW);
    }
}

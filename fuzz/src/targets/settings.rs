//! The configuration, and texts that occur in it.

use super::{NOW, text};
use spindrift::config::{Config, HostPort, Origin, format_duration, parse_duration, parse_size};
use spindrift::job::Cron;
use spindrift::webhook::{KeyRing, KeyRings, SigningKey};

/// Hosts, ports and the address of the origin.
pub fn address(data: &[u8]) {
    let text = text(data);
    if let Some(place) = HostPort::parse(&text) {
        assert!(!place.host().is_empty());
    }
    if let Some(origin) = Origin::parse(&text) {
        assert!(["http", "https"].contains(&origin.scheme().as_str()));
    }
}

/// `spindrift.toml`: a configuration, or problems with their places.
pub fn config(data: &[u8]) {
    match Config::parse(&text(data), "f") {
        Ok(config) => drop(config.route("h", "/a").clone()),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// Cron expressions: the next slot is later.
pub fn cron(data: &[u8]) {
    let text = text(data);
    // Long texts are refused before they get here.
    if let Ok(cron) = Cron::parse(text.get(..100).unwrap_or(&text), NOW) {
        assert!(cron.next(NOW).is_none_or(|next| next > NOW));
    }
}

/// Durations and sizes of the configuration.
pub fn duration(data: &[u8]) {
    let text = text(data);
    let _ = parse_size(&text);
    if let Some(duration) = parse_duration(&text) {
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }
}

/// Keys of webhooks: the signatures of a key have the specified form.
pub fn webhook_key(data: &[u8]) {
    let text = text(data);
    let _ = KeyRings::parse(&text);
    if let Ok(key) = SigningKey::parse(&text) {
        assert_eq!(KeyRing::new(key).sign("id", 1, b"content").len(), "v1,".len() + 44);
    }
}

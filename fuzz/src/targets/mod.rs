//! One function for each parser: it takes any bytes, must not panic, and checks the properties of the result.
//!
//! cargo-fuzz calls these through `fuzz_targets/`; the library's tests run them over the corpus and over variations of it.

mod headers;
mod messages;
mod settings;
mod stored;

pub use headers::*;
pub use messages::*;
pub use settings::*;
pub use stored::*;

use http::{HeaderMap, HeaderName, HeaderValue};
use spindrift::time::Timestamp;

/// A function that tests one parser.
pub type Target = fn(&[u8]);

/// All targets, each with the name of its corpus.
pub const ALL: &[(&str, Target)] = &[
    ("accept", accept_fields),
    ("address", address),
    ("cache_control", cache_control),
    ("conditions", conditions),
    ("config", config),
    ("content_range", content_range),
    ("cookies", cookie_fields),
    ("cron", cron),
    ("cursor", last_event_id),
    ("date", date),
    ("duration", duration),
    ("entry", entry),
    ("envelope", envelope),
    ("forwarded", forwarded),
    ("json", json),
    ("no_vary_search", no_vary_search),
    ("partial", partial),
    ("purge", purge),
    ("range", range),
    ("redis_reply", redis_reply),
    ("session_token", session_token),
    ("sse", server_sent_event),
    ("stream_token", stream_token),
    ("tags", tag_fields),
    ("targeted", targeted),
    ("url", url),
    ("vary", vary),
    ("webhook_key", webhook_key),
];

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The lines of `data`, each as a line of the field if it can be one.
#[allow(clippy::needless_pass_by_value, reason = "names are constants")]
fn lines(name: HeaderName, data: &[u8]) -> HeaderMap {
    let values = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// The lines `name: value` of `data`, each as a field if it can be one.
fn fields(data: &[u8]) -> HeaderMap {
    let field = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(line.get(at + 1..)?.trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(line.get(..at)?).ok()?, value))
    };
    data.split(|byte| *byte == b'\n').filter_map(field).collect()
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

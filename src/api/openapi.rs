//! The description of the API (OpenAPI 3.1), put together from one part for each service.

use super::reply::typed;
use crate::body::Body;
use http::{Response, StatusCode};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// The parts: the first is the frame, the others have `paths`, and `components` of theirs.
const PARTS: &[&str] = &[
    include_str!("openapi/frame.json"),
    include_str!("openapi/channels.json"),
    include_str!("openapi/health.json"),
    include_str!("openapi/limits.json"),
    include_str!("openapi/locks.json"),
    include_str!("openapi/purge.json"),
    include_str!("openapi/sessions.json"),
    include_str!("openapi/values.json"),
    include_str!("openapi/warm.json"),
    include_str!("openapi/queues.json"),
];

static DOCUMENT: OnceLock<String> = OnceLock::new();

/// The whole description.
pub(super) fn document() -> Response<Body> {
    let document = DOCUMENT.get_or_init(|| Value::Object(assemble()).to_string());
    typed(StatusCode::OK, "application/vnd.oai.openapi+json;version=3.1", document.clone())
}

fn assemble() -> Map<String, Value> {
    let mut whole = Map::new();
    for part in PARTS {
        if let Ok(Value::Object(part)) = serde_json::from_str(part) {
            merge(&mut whole, part);
        }
    }
    whole
}

/// Puts `part` into `whole`, object by object.
fn merge(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_json_and_none_replaces_another() {
        let mut paths = 0;
        for part in PARTS {
            let part: Value = serde_json::from_str(part).unwrap();
            paths += part["paths"].as_object().map_or(0, Map::len);
        }
        assert_eq!(assemble()["paths"].as_object().unwrap().len(), paths);
    }
}

//! The description of the API (OpenAPI 3.1), assembled from one part for each service.

use super::reply::typed;
use crate::body::Body;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// The parts: the first is the frame, the others have `paths`, and `components` of their own.
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

/// Returns the whole description.
pub(super) fn document() -> Response<Body> {
    let document = DOCUMENT.get_or_init(|| Value::Object(assemble()).to_string());
    typed(StatusCode::OK, "application/vnd.oai.openapi+json;version=3.1", document.clone())
}

pub(super) fn assemble() -> Map<String, Value> {
    let mut whole = Map::new();
    for part in PARTS {
        if let Ok(Value::Object(part)) = serde_json::from_str(part) {
            merge(&mut whole, part);
        }
    }
    let paths = whole.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    for (_, operation) in items.flatten().filter(|(name, _)| *name != "parameters") {
        complete(operation);
    }
    whole
}

/// Adds the responses that any operation may have.
fn complete(operation: &mut Value) {
    let has_content = operation.get("requestBody").is_some();
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    let common = [("400", "BadRequest"), ("429", "TooManyRequests")];
    for (status, name) in common.into_iter().chain(has_content.then_some(("415", "UnsupportedType"))) {
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        responses.entry(status).or_insert(reference);
    }
}

/// Merges `part` into `whole`, object by object.
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

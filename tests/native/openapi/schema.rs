//! The part of JSON Schema (2020-12) that the description uses. An unknown keyword is a mistake.

use regex_lite::Regex;
use serde_json::Value;

/// The mistakes in `value` under `schema`, each with its place. References are resolved in `root`.
pub(crate) fn mistakes(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let keywords =
        schema.as_object().unwrap_or_else(|| panic!("{at}: a schema is an object, found {schema}"));
    for (keyword, wanted) in keywords {
        let fits = match keyword.as_str() {
            "description" | "default" | "title" | "examples" => true,
            "$ref" => {
                check(root, resolve(root, wanted), value, at, found);
                true
            }
            "type" => types(wanted).any(|one| is_of(one, value)),
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "allOf" => {
                wanted.as_array().unwrap().iter().for_each(|one| check(root, one, value, at, found));
                true
            }
            "oneOf" => {
                let fits = |one: &&Value| mistakes(root, one, value).is_empty();
                wanted.as_array().unwrap().iter().filter(fits).count() == 1
            }
            "required"
            | "properties"
            | "additionalProperties"
            | "maxProperties"
            | "items"
            | "minItems"
            | "maxItems" => inside(root, keyword, (schema, wanted), value, at, found),
            _ => scalar(keyword, wanted, value),
        };
        if !fits {
            found.push(format!("{at}: expected {keyword} {wanted}, found {value}"));
        }
    }
}

/// The target of a reference.
pub(crate) fn resolve<'a>(root: &'a Value, reference: &Value) -> &'a Value {
    let reference = reference.as_str().unwrap();
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
    root.pointer(pointer).unwrap_or_else(|| panic!("{reference} points to nothing"))
}

fn types(wanted: &Value) -> impl Iterator<Item = &str> {
    wanted
        .as_array()
        .map_or_else(|| std::slice::from_ref(wanted), Vec::as_slice)
        .iter()
        .filter_map(Value::as_str)
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other} is no type"),
    }
}

fn inside(
    root: &Value,
    keyword: &str,
    (schema, wanted): (&Value, &Value),
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) -> bool {
    match (keyword, value) {
        ("required", Value::Object(members)) => {
            wanted.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
        }
        ("properties", Value::Object(members)) => {
            for (name, schema) in wanted.as_object().unwrap() {
                if let Some(member) = members.get(name) {
                    check(root, schema, member, &format!("{at}.{name}"), found);
                }
            }
            true
        }
        ("additionalProperties", Value::Object(members)) => {
            let named = |name: &str| schema["properties"].get(name).is_some();
            for (name, member) in members.iter().filter(|(name, _)| !named(name)) {
                match wanted {
                    Value::Bool(true) => {}
                    Value::Bool(false) => found.push(format!("{at}: {name} is not described")),
                    schema => check(root, schema, member, &format!("{at}.{name}"), found),
                }
            }
            true
        }
        ("maxProperties", Value::Object(members)) => members.len() as u64 <= wanted.as_u64().unwrap(),
        ("items", Value::Array(items)) => {
            for (number, item) in items.iter().enumerate() {
                check(root, wanted, item, &format!("{at}[{number}]"), found);
            }
            true
        }
        ("minItems", Value::Array(items)) => items.len() as u64 >= wanted.as_u64().unwrap(),
        ("maxItems", Value::Array(items)) => items.len() as u64 <= wanted.as_u64().unwrap(),
        _ => true,
    }
}

fn scalar(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let (number, bound) = (value.as_f64(), wanted.as_f64());
    match keyword {
        "minLength" => length.is_none_or(|length| length >= wanted.as_u64().unwrap()),
        "maxLength" => length.is_none_or(|length| length <= wanted.as_u64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| {
            Regex::new(wanted.as_str().unwrap())
                .unwrap_or_else(|error| panic!("{wanted}: {error}"))
                .is_match(text)
        }),
        "minimum" => number.is_none_or(|number| number >= bound.unwrap()),
        "maximum" => number.is_none_or(|number| number <= bound.unwrap()),
        "exclusiveMinimum" => number.is_none_or(|number| number > bound.unwrap()),
        other => panic!("the keyword {other} is not known here"),
    }
}

#[test]
fn what_does_not_fit_is_found_with_its_place() {
    let root = serde_json::json!({"s": {"Name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"}}});
    let schema = serde_json::json!({
        "type": "object",
        "required": ["a"],
        "additionalProperties": false,
        "properties": {
            "a": {"type": "array", "minItems": 1, "items": {"$ref": "#/s/Name"}},
            "b": {"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 0}]},
        },
    });
    let wrong = |text: &str| mistakes(&root, &schema, &serde_json::from_str(text).unwrap());
    assert!(wrong(r#"{"a":["x"],"b":null}"#).is_empty());
    assert!(wrong(r#"{"a":["x"],"b":3.0}"#).is_empty());
    for (text, expected) in [
        ("[]", "$: expected type"),
        ("{}", "$: expected required"),
        (r#"{"a":[]}"#, "$.a: expected minItems"),
        (r#"{"a":["X"]}"#, "$.a[0]: expected pattern"),
        (r#"{"a":["x",""]}"#, "$.a[1]: expected minLength"),
        (r#"{"a":["x"],"b":-1}"#, "$.b: expected oneOf"),
        (r#"{"a":["x"],"c":1}"#, "$: c is not described"),
    ] {
        let found = wrong(text);
        assert!(found.iter().any(|one| one.starts_with(expected)), "{text}: {found:?}");
    }
}

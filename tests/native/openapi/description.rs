//! The description of the API, and whether a response agrees with it.

use super::schema::{mistakes, resolve};
use crate::support::exchange::Got;
use serde_json::Value;

/// The document.
pub(crate) struct Description(pub(crate) Value);

/// One operation of it.
pub(crate) struct Operation<'a> {
    /// The path, with its parameters in braces.
    pub(crate) path: &'a str,
    /// The method, in capitals.
    pub(crate) method: String,
    /// Its description.
    pub(crate) said: &'a Value,
}

impl Description {
    /// Every operation.
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, said) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
                all.push(Operation { path, method: method.to_uppercase(), said });
            }
        }
        all
    }

    /// The operation that handles a request: literal segments take precedence over parameters.
    pub(crate) fn operation(&self, method: &str, target: &str) -> Option<Operation<'_>> {
        let path = target.split('?').next().unwrap();
        let fits = |operation: &Operation<'_>| {
            let (all, found): (Vec<_>, Vec<_>) =
                (operation.path.split('/').collect(), path.split('/').collect());
            all.len() == found.len()
                && all.iter().zip(found).all(|(one, found)| one.starts_with('{') || *one == found)
        };
        let mut all: Vec<_> =
            self.operations().into_iter().filter(|one| one.method == method && fits(one)).collect();
        all.sort_by_key(|one| one.path.matches('{').count());
        all.into_iter().next()
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        value.get("$ref").map_or(value, |reference| resolve(&self.0, reference))
    }

    /// The schema of an operation's content in JSON, if it takes any.
    pub(crate) fn content<'a>(&self, operation: &Operation<'a>) -> Option<&'a Value> {
        operation.said.pointer("/requestBody/content/application~1json/schema")
    }

    /// The ways in which a response differs from the description.
    pub(crate) fn judge(&self, operation: &Operation<'_>, got: &Got) -> Vec<String> {
        let status = got.status.to_string();
        let Some(said) = operation.said["responses"].get(&status) else {
            return vec![format!("the status {status} is not described")];
        };
        let said = self.resolved(said);
        let mut wrong = Vec::new();
        for (name, header) in said["headers"].as_object().into_iter().flatten() {
            let required = self.resolved(header)["required"] == true;
            if required && !got.headers.contains_key(name.as_str()) {
                wrong.push(format!("the field {name} is missing"));
            }
        }
        let full = got.header("content-type");
        let media_type = full.split(';').next().unwrap().trim();
        let no_content = got.body.as_ref().is_ok_and(bytes::Bytes::is_empty);
        let Some(content) = said.get("content").and_then(Value::as_object) else {
            if !no_content {
                wrong.push(format!("content of {full} is not described"));
            }
            return wrong;
        };
        let Some(media) = content.get(media_type).or_else(|| content.get("*/*")) else {
            wrong.push(format!("content of {full:?} is not described"));
            return wrong;
        };
        if media_type.ends_with("json") && operation.method != "HEAD" && !content.contains_key("*/*") {
            let value = serde_json::from_slice(got.body.as_ref().unwrap()).unwrap();
            wrong.extend(mistakes(&self.0, &media["schema"], &value));
        }
        wrong
    }
}

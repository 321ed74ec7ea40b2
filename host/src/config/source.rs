//! The ways to give a value with `--variable`: directly, from a file, or many from one file.

use crate::error::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One `--variable` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableSource {
    /// `name=value`
    Literal(String, String),
    /// `name=@file`: the file's text is the value.
    File(String, PathBuf),
    /// `@file.json`: an object of names and strings.
    Json(PathBuf),
    /// `@file.toml`: a table of names and strings.
    Toml(PathBuf),
}

impl FromStr for VariableSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            let path = PathBuf::from(path);
            return match path.extension().and_then(|it| it.to_str()) {
                Some("json") => Ok(Self::Json(path)),
                Some("toml") => Ok(Self::Toml(path)),
                _ => Err(format!("expected a file that ends in .json or .toml, found {}", path.display())),
            };
        }
        // The argument may hold a secret, so a message must not repeat it.
        let (name, value) = text.split_once('=').ok_or("expected <name>=<value> or @<file>, found no `=`")?;
        Ok(match value.strip_prefix('@') {
            Some(path) => Self::File(name.to_owned(), path.into()),
            None => Self::Literal(name.to_owned(), value.to_owned()),
        })
    }
}

impl VariableSource {
    /// Returns the names and values of this source.
    ///
    /// # Errors
    /// A file that cannot be read, or does not have the format that its name promises.
    pub fn read(&self) -> Result<BTreeMap<String, String>, Error> {
        match self {
            Self::Literal(name, value) => Ok(BTreeMap::from([(name.clone(), value.clone())])),
            Self::File(name, path) => Ok(BTreeMap::from([(name.clone(), read(path)?)])),
            Self::Json(path) => json(&read(path)?).map_err(|problem| wrong(path, &problem)),
            Self::Toml(path) => toml(&read(path)?).map_err(|problem| wrong(path, &problem)),
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::Variables(format!("{}: expected names and strings: {problem}", path.display()))
}

// The messages of the parsers are not passed on: they quote the text, and a value may be a secret.

fn json(text: &str) -> Result<BTreeMap<String, String>, String> {
    let all: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| format!("line {} is something else", e.line()))?;
    let string = |(name, value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        _ => Err(format!("the value of {name:?} is no string")),
    };
    all.into_iter().map(string).collect()
}

fn toml(text: &str) -> Result<BTreeMap<String, String>, String> {
    let all: toml::Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    let string = |(name, value)| match value {
        toml::Value::String(text) => Ok((name, text)),
        _ => Err(format!("the value of {name:?} is no string")),
    };
    all.into_iter().map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told_apart() {
        let parse = |text: &str| text.parse::<VariableSource>();
        assert_eq!(parse("k=v=w"), Ok(VariableSource::Literal("k".into(), "v=w".into())));
        assert_eq!(parse("k="), Ok(VariableSource::Literal("k".into(), String::new())));
        assert_eq!(parse("k=@dir/f"), Ok(VariableSource::File("k".into(), "dir/f".into())));
        assert_eq!(parse("@v.json"), Ok(VariableSource::Json("v.json".into())));
        assert_eq!(parse("@v.toml"), Ok(VariableSource::Toml("v.toml".into())));
        assert!(parse("@v.txt").is_err());
        assert!(!parse("secret").unwrap_err().contains("secret"));
    }

    #[test]
    fn files_hold_names_and_strings_and_no_message_shows_a_value() {
        let expected = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
        assert_eq!(json(r#"{"a":"x"}"#).unwrap(), expected);
        assert_eq!(toml("a = \"x\"").unwrap(), expected);
        let broken = ["\"4711\"", "{\"a\":4711}", "{\"a\":\"4711}", "[4711]"].map(json);
        let others = ["a = 4711", "a = \"4711", "a = 4711 4711", "4711"].map(toml);
        for result in broken.into_iter().chain(others) {
            let message = result.unwrap_err();
            assert!(!message.contains("4711"), "{message}");
        }
    }
}

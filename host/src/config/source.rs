//! The forms of `--variable`.

use crate::error::Error;
use std::collections::BTreeMap;
use std::path::PathBuf;
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
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))
        };
        let wrong = |path: &PathBuf, e: &dyn std::fmt::Display| {
            Error::Variables(format!("{}: expected names and strings: {e}", path.display()))
        };
        match self {
            Self::Literal(name, value) => Ok(BTreeMap::from([(name.clone(), value.clone())])),
            Self::File(name, path) => Ok(BTreeMap::from([(name.clone(), read(path)?)])),
            Self::Json(path) => serde_json::from_str(&read(path)?).map_err(|e| wrong(path, &e)),
            Self::Toml(path) => toml::from_str(&read(path)?).map_err(|e| wrong(path, &e)),
        }
    }
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
}

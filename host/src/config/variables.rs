//! Application variables: declared in the manifest, given by flags, environment or `.env`.

use super::template::Template;
use crate::error::Error;
use crate::manifest::VariableDeclaration;
use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;

/// The prefix of a variable's name in the environment.
pub const ENV_PREFIX: &str = "SPIN_VARIABLE_";

/// The sources of values, in order of precedence: flags, environment, `.env`, default.
pub struct Sources<'a> {
    /// Values of `--variable`; a later one takes precedence over an earlier one.
    pub flags: &'a BTreeMap<String, String>,
    /// Looks up a name in the environment of the process.
    pub env: &'a dyn Fn(&str) -> Result<String, VarError>,
    /// The values in `.env` in the working directory.
    pub dotenv: &'a BTreeMap<String, String>,
}

impl Sources<'_> {
    fn get(&self, name: &str) -> Result<Option<String>, Error> {
        if let Some(value) = self.flags.get(name) {
            return Ok(Some(value.clone()));
        }
        let key = format!("{ENV_PREFIX}{}", name.to_ascii_uppercase());
        match (self.env)(&key) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(self.dotenv.get(&key).cloned()),
            Err(VarError::NotUnicode(_)) => Err(Error::Variables(format!(
                "environment variable {key}: expected UTF-8, found other bytes"
            ))),
        }
    }
}

/// Determines the value of every declared variable.
///
/// # Errors
/// All required variables without a value, by name; a value that is not UTF-8.
pub fn resolve(
    declared: &BTreeMap<String, VariableDeclaration>,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, declaration) in declared {
        match sources.get(name)?.or_else(|| declaration.default.clone()) {
            Some(value) => drop(values.insert(name.clone(), value)),
            None => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(values);
    }
    let how = "set them with --variable <name>=<value> or SPIN_VARIABLE_<NAME> in the environment";
    Err(Error::Variables(format!("expected values for {}, found none: {how}", missing.join(", "))))
}

/// Returns the defaults in the manifest, for checks that need no environment.
#[must_use]
pub fn defaults(declared: &BTreeMap<String, VariableDeclaration>) -> BTreeMap<String, String> {
    declared.iter().filter_map(|(name, it)| Some((name.clone(), it.default.clone()?))).collect()
}

/// Reads `path` in the format of `.env` files; a missing file counts as empty.
///
/// # Errors
/// A line that is not `NAME=value`.
pub fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let Ok(lines) = dotenvy::from_path_iter(path) else {
        return Ok(BTreeMap::new());
    };
    let wrong = |(index, line): (usize, dotenvy::Result<_>)| {
        line.map_err(|e| match e {
            // Without the line, which may contain a secret.
            dotenvy::Error::LineParse(..) => {
                format!("expected NAME=value, found something else in entry {}", index + 1)
            }
            other => other.to_string(),
        })
    };
    let entries = lines.enumerate().map(wrong).collect::<Result<_, _>>();
    entries.map_err(|problem| Error::Variables(format!("{}: {problem}", path.display())))
}

/// Checks the name of a variable.
///
/// # Errors
/// What is wrong with the name. Expected are lower-case letters, digits and single underscores between them,
/// beginning with a letter.
pub fn check_name(name: &str) -> Result<(), String> {
    let foreign = name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_'));
    let problem = if name.is_empty() {
        "expected a name, found nothing".to_owned()
    } else if let Some(c) = foreign {
        format!("expected lower-case letters, digits and underscores, found {c:?}")
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "expected a letter first".to_owned()
    } else if name.ends_with('_') {
        "expected a letter or digit last".to_owned()
    } else if name.contains("__") {
        "expected single underscores, found several in a row".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{name:?}: {problem}"))
}

/// Checks the name of a variable in a manifest, where words that begin with a digit are not allowed either.
///
/// # Errors
/// What is wrong with the name.
pub fn check_declared_name(name: &str) -> Result<(), String> {
    check_name(name)?;
    match name.split('_').find(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        Some(word) => Err(format!("{name:?}: expected a letter at the start of each word, found {word:?}")),
        None => Ok(()),
    }
}

/// The variables of one component, with their values resolved.
#[derive(Clone, Debug, Default)]
pub struct ComponentVariables {
    component: String,
    values: BTreeMap<String, String>,
}

/// Why a component did not get a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name cannot be a variable's name.
    InvalidName(String),
    /// The manifest gives this component no variable with that name.
    Undefined(String),
}

impl ComponentVariables {
    /// Resolves a component's `variables` table.
    ///
    /// # Errors
    /// The name of a variable with an invalid name or a template that cannot be filled in.
    pub fn new(
        component: &str,
        templates: &BTreeMap<String, String>,
        values: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let resolve = |(name, text): (&String, &String)| {
            check_name(name)?;
            let value = Template::parse(text)?.resolve(values).map_err(|e| format!("{name}: {e}"))?;
            Ok((name.clone(), value))
        };
        let values = templates
            .iter()
            .map(resolve)
            .collect::<Result<_, String>>()
            .map_err(|e| Error::component(component, format!("variables: {e}")))?;
        Ok(Self { component: component.to_owned(), values })
    }

    /// Returns the value of `name`.
    ///
    /// # Errors
    /// The name is invalid, or this component has no such variable.
    pub fn get(&self, name: &str) -> Result<String, LookupError> {
        check_name(name).map_err(LookupError::InvalidName)?;
        let undefined = || LookupError::Undefined(format!("no variable for {:?}.{name:?}", self.component));
        self.values.get(name).cloned().ok_or_else(undefined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(default: Option<&str>) -> VariableDeclaration {
        VariableDeclaration { default: default.map(Into::into), ..VariableDeclaration::default() }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn flags_win_over_environment_over_dotenv_over_default() {
        let names = ["a", "b", "c", "d"];
        let all = names.iter().map(|n| ((*n).to_owned(), declared(Some("default")))).collect();
        let env = |key: &str| match key {
            "SPIN_VARIABLE_A" | "SPIN_VARIABLE_B" => Ok("env".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        let dotenv =
            map(&[("SPIN_VARIABLE_A", "dot"), ("SPIN_VARIABLE_B", "dot"), ("SPIN_VARIABLE_C", "dot")]);
        let sources = Sources { flags: &map(&[("a", "flag")]), env: &env, dotenv: &dotenv };
        let values = resolve(&all, &sources).unwrap();
        assert_eq!(values, map(&[("a", "flag"), ("b", "env"), ("c", "dot"), ("d", "default")]));
    }

    #[test]
    fn a_wrong_line_of_dotenv_is_not_repeated() {
        let file = std::env::temp_dir().join(format!("spindrift-dotenv-{}", std::process::id()));
        std::fs::write(&file, "# a comment\nA=1\n\nB=\"hunter2\n").unwrap();
        let message = read_dotenv(&file).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(message.contains("entry 2") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn every_missing_variable_is_named() {
        let all = BTreeMap::from([("x".to_owned(), declared(None)), ("y_z".to_owned(), declared(None))]);
        let none = BTreeMap::new();
        let sources = Sources { flags: &none, env: &|_| Err(VarError::NotPresent), dotenv: &none };
        let message = resolve(&all, &sources).unwrap_err().to_string();
        assert!(message.contains("x, y_z"), "{message}");
    }

    #[test]
    fn names_follow_spins_rule() {
        for good in ["a", "a1", "redis_url", "a_1"] {
            check_name(good).unwrap();
        }
        for bad in ["", "A", "1a", "_a", "a_", "a__b", "a-b", "ä"] {
            check_name(bad).unwrap_err();
        }
    }

    #[test]
    fn every_word_of_a_declared_name_begins_with_a_letter() {
        for good in ["a", "a1", "redis_url", "a_b1"] {
            check_declared_name(good).unwrap();
        }
        assert!(check_declared_name("a_1").unwrap_err().contains("found \"1\""));
        check_declared_name("_a").unwrap_err();
    }

    #[test]
    fn a_component_sees_its_own_names_only() {
        let values = map(&[("redis_url", "redis://x"), ("secret", "s")]);
        let it = ComponentVariables::new("gateway", &map(&[("url", "<{{ redis_url }}>")]), &values).unwrap();
        assert_eq!(it.get("url").unwrap(), "<redis://x>");
        assert!(matches!(it.get("secret"), Err(LookupError::Undefined(_))));
        assert!(matches!(it.get("Secret"), Err(LookupError::InvalidName(_))));
        assert!(ComponentVariables::new("g", &map(&[("a", "{{ nope }}")]), &values).is_err());
    }
}

//! `{{ name }}` in a string stands for an application variable.

use std::collections::BTreeMap;

/// A string with placeholders for variables, parsed once so that resolving cannot fail on syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

impl Template {
    /// Parses the `{{ }}` pairs in `text`.
    ///
    /// # Errors
    /// A `{{` without its `}}`; a `}}` alone is ordinary text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let inside = &rest[open + 2..];
            let close =
                inside.find("}}").ok_or_else(|| format!("expected `}}}}` after `{{{{` in {text:?}"))?;
            parts.push(Part::Variable(inside[..close].trim().to_owned()));
            rest = &inside[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Returns whether it has no placeholders.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// Returns the names of its variables, in order and with repetitions.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Fills in `values`.
    ///
    /// # Errors
    /// The name of the first variable that is missing in `values`.
    pub fn resolve(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Variable(name) => {
                    values.get(name).ok_or_else(|| format!("variable {name:?} has no value"))?
                }
            });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, String> {
        let values =
            BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b_c".to_owned(), "{{ a }}".to_owned())]);
        Template::parse(text)?.resolve(&values)
    }

    #[test]
    fn literals_and_variables_alternate() {
        assert_eq!(resolve("").unwrap(), "");
        assert_eq!(resolve("plain } text }} here").unwrap(), "plain } text }} here");
        assert_eq!(resolve("redis://{{ a }}:{{a}}/").unwrap(), "redis://1:1/");
        assert!(Template::parse("no braces").unwrap().is_literal());
        assert!(!Template::parse("{{a}}").unwrap().is_literal());
    }

    #[test]
    fn a_value_is_not_a_template() {
        assert_eq!(resolve("<{{ b_c }}>").unwrap(), "<{{ a }}>");
    }

    #[test]
    fn open_braces_and_unknown_names_are_errors() {
        assert!(resolve("x {{ a").unwrap_err().contains("}}"));
        assert!(resolve("{{ zz }}").unwrap_err().contains("\"zz\""));
    }
}

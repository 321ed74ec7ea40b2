//! Reads the tables of a TOML document by hand, so that all problems are found, each with its place.
//!
//! Reading a key marks it as known; [`Table::finish`] reports all keys that were not read.

use super::errors::{ConfigError, ConfigErrors};
use super::suggest;
use super::value::expected;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its place in the text.
pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// Collects the problems of one text.
pub(super) struct Report<'d> {
    file: &'d str,
    text: &'d str,
    problems: RefCell<Vec<ConfigError>>,
}

impl<'d> Report<'d> {
    /// Makes an empty report for `text`, whose name in errors is `file`.
    pub(super) fn new(file: &'d str, text: &'d str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// Adds a problem of `key` at byte `at`.
    pub(super) fn add(&self, at: usize, key: String, message: String) {
        let problem = ConfigError::in_text(self.file, line_column(self.text, at), key, message);
        self.problems.borrow_mut().push(problem);
    }

    /// Returns the line of byte `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        line_column(self.text, at).0
    }

    /// Returns `value` unless there were problems.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        ConfigErrors::check(value, self.problems.into_inner())
    }
}

/// Line and column of byte `at`, from 1; the column counts characters.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The name of the file in errors.
pub(super) const FILE: &str = "spindrift.toml";

/// Returns the content of the file, or why it could not be read, as text, which TOML requires to be UTF-8.
///
/// # Errors
/// Why it could not be read, or the position of the first byte that is not UTF-8.
pub(super) fn text<'c>(file: Result<&'c [u8], &str>) -> Result<&'c str, ConfigErrors> {
    let content = match file {
        Ok(content) => content,
        Err(error) => return wrong("", format!("expected a file that can be read: {error}")),
    };
    std::str::from_utf8(content).or_else(|error| {
        let before = String::from_utf8_lossy(content.get(..error.valid_up_to()).unwrap_or_default());
        wrong(&before, "expected UTF-8, found other bytes".to_owned())
    })
}

/// Reports that the file is wrong after the text `before`.
fn wrong(before: &str, message: String) -> Result<&'static str, ConfigErrors> {
    let report = Report::new(FILE, before);
    report.add(before.len(), String::new(), message);
    report.finish("")
}

/// Returns whether a line has no content. If it has control characters, the parser must look at it.
pub(super) fn is_blank_or_comment(line: &str) -> bool {
    let content = line.trim_matches([' ', '\t']);
    content.is_empty()
        || (content.starts_with('#') && !content.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'))
}

/// Parses the document; its syntax errors, the first in each line, are added to `report`.
///
/// After a syntax error no other problems are reported, because they could be wrong.
pub(super) fn parse<'d>(text: &'d str, report: &Report<'d>) -> Option<Spanned<DeTable<'d>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut places: Vec<(usize, String)> = errors
        .iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))
        .collect();
    places.sort_by_key(|(at, _)| *at);
    places.dedup_by_key(|(at, _)| report.line(*at));
    for (at, message) in &places {
        report.add(*at, String::new(), format!("not valid TOML: {message}"));
    }
    places.is_empty().then_some(document)
}

/// One table of the document and the keys that were read from it.
pub(super) struct Table<'r, 'd> {
    report: &'r Report<'d>,
    path: String,
    at: usize,
    entries: &'r DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'r, 'd> Table<'r, 'd> {
    /// Makes the table at `path`, which is empty for the whole document; `span` is its place.
    pub(super) fn new(
        report: &'r Report<'d>,
        path: String,
        span: &Range<usize>,
        entries: &'r DeTable<'d>,
    ) -> Self {
        Self { report, path, at: span.start, entries, known: Vec::new() }
    }

    /// Returns the path of this table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path of `key` in this table.
    fn path_of(&self, key: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = if !key.is_empty() && key.chars().all(plain) {
            Cow::Borrowed(key)
        } else {
            Cow::Owned(format!("{:?}", key.chars().take(60).collect::<String>()))
        };
        if self.path.is_empty() { key.into_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns the line where this table begins, from 1.
    pub(super) fn line(&self) -> usize {
        self.report.line(self.at)
    }

    /// Returns the value of `key`, and marks the key as known.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'r Value<'d>> {
        self.known.push(key);
        self.entries.get(key)
    }

    /// Reads `key` with `parse`. `None` when it is missing or invalid; the latter is reported.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'d>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        self.check(key, value, parse(value.get_ref()))
    }

    /// Reports the error in `result`, if any, for `key`, whose value is `value`.
    pub(super) fn check<T>(&self, key: &str, value: &Value<'d>, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.report.add(value.span().start, self.path_of(key), message)).ok()
    }

    /// Reports a problem of `key`, at its value if it has one.
    pub(super) fn fail(&self, key: &str, message: impl Into<String>) {
        let at = self.entries.get(key).map_or(self.at, |value| value.span().start);
        self.report.add(at, self.path_of(key), message.into());
    }

    /// Reports a problem of this table as a whole.
    pub(super) fn fail_all(&self, message: impl Into<String>) {
        self.report.add(self.at, self.path.clone(), message.into());
    }

    /// Returns the table below `key`.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Table<'r, 'd>> {
        let value = self.value(key)?;
        self.sub(self.path_of(key), value)
    }

    /// Returns the tables of the array of tables `key`, written `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table<'r, 'd>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.fail(key, expected(&format!("tables, each headed [[{key}]]"), value.get_ref()));
            return Vec::new();
        };
        let tables = items.iter().enumerate().map(|(index, item)| {
            let path = format!("{}[{index}]", self.path_of(key));
            self.sub(path, item)
        });
        tables.flatten().collect()
    }

    fn sub(&self, path: String, value: &'r Value<'d>) -> Option<Table<'r, 'd>> {
        let Some(entries) = value.get_ref().as_table() else {
            self.report.add(value.span().start, path, expected("a table", value.get_ref()));
            return None;
        };
        Some(Table::new(self.report, path, &value.span(), entries))
    }

    /// Reads an array of strings, each with `parse`; `None` when it is missing or any string is invalid.
    pub(super) fn strings<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&DeValue<'d>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.fail(key, expected("an array of strings", value.get_ref()));
            return None;
        };
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item.get_ref()) {
                Ok(one) => parsed.push(one),
                Err(message) => {
                    self.report.add(item.span().start, format!("{}[{index}]", self.path_of(key)), message);
                }
            }
        }
        (parsed.len() == items.len()).then_some(parsed)
    }

    /// Returns whether `key` is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns every key with its value, for tables whose keys are data, so that none is unknown.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'r str, &'r Value<'d>)> {
        self.entries.iter().map(|(key, value)| (key.get_ref().as_ref(), value))
    }

    /// Reports a problem of a key itself, rather than of its value.
    pub(super) fn fail_key(&self, key: &str, message: String) {
        let at = self.entries.get_key_value(key).map_or(self.at, |(key, _)| key.span().start);
        self.report.add(at, self.path_of(key), message);
    }

    /// Reports every key that was not read. `elsewhere` may say where such a key belongs.
    pub(super) fn finish(self, elsewhere: impl Fn(&str) -> Option<&'static str>) {
        for (key, _) in self.entries() {
            if !self.known.contains(&key) {
                self.fail_key(key, self.unknown(key, elsewhere(key)));
            }
        }
    }

    fn unknown(&self, key: &str, elsewhere: Option<&'static str>) -> String {
        if let Some(place) = elsewhere {
            return format!("unknown key here: {place}");
        }
        match suggest::closest(key, &self.known) {
            Some(meant) => format!("unknown key, did you mean \"{meant}\"?"),
            None => format!("unknown key, expected one of: {}", self.known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let text = "a\nbé = ü\n";
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, 2), (2, 1));
        assert_eq!(line_column(text, text.find('ü').unwrap()), (2, 6));
        assert_eq!(line_column(text, text.len() + 9), (3, 1));
        assert_eq!(line_column("é", 1), (1, 1), "inside of a character");
    }
}

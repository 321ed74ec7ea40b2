//! Which parameters of a query count.

use super::table::Table;
use super::value::{expected, string};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Which query parameters count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// All of them; the query is used byte for byte.
    #[default]
    All,
    /// None: the query makes no difference.
    None,
    /// Only these.
    Only(NameSet),
    /// All but these.
    Except(NameSet),
}

/// A set of parameter names; a trailing `*` stands for every name with this prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet {
    names: BTreeSet<String>,
    prefixes: BTreeSet<String>,
}

impl NameSet {
    /// Makes a set of names as they are in the configuration: a `*` at the end makes a prefix.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for name in names {
            match name.strip_suffix('*') {
                Some(prefix) => set.prefixes.insert(prefix.to_owned()),
                None => set.names.insert(name.to_owned()),
            };
        }
        set
    }

    /// Returns whether it contains no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    /// Returns whether the set contains this decoded name.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
            || std::str::from_utf8(name).is_ok_and(|name| self.names.contains(name))
    }
}

const QUERY: &str = "\"all\", \"none\", { only = [names] } or { except = [names] }";

impl QueryRule {
    /// Returns whether parameters with this decoded name count.
    pub(super) fn keeps(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(names) => names.contains(name),
            Self::Except(names) => !names.contains(name),
        }
    }

    /// Reads the key `query`; `None` when it is missing or invalid.
    pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Self> {
        let value = table.value("query")?;
        if let Some(word) = value.get_ref().as_str() {
            let rule = match word {
                "all" => Ok(Self::All),
                "none" => Ok(Self::None),
                _ => Err(expected(QUERY, value.get_ref())),
            };
            return table.check("query", value, rule);
        }
        if !value.get_ref().is_table() {
            table.fail("query", expected(QUERY, value.get_ref()));
            return None;
        }
        let mut inner = table.table("query")?;
        let (only, except) = (read_names(&mut inner, "only"), read_names(&mut inner, "except"));
        let count = inner.entries().count();
        inner.finish(|_| None);
        match (only, except) {
            (Some(names), None) if count == 1 => Some(Self::Only(names)),
            (None, Some(names)) if count == 1 => Some(Self::Except(names)),
            _ => {
                if count != 1 {
                    table.fail("query", format!("expected {QUERY}, found a table with {count} keys"));
                }
                None
            }
        }
    }
}

fn read_names(table: &mut Table<'_, '_>, key: &'static str) -> Option<NameSet> {
    let what = "a percent-decoded parameter name, which may end with \"*\"";
    let names = table.strings(key, string(what, parameter_name))?;
    if names.is_empty() {
        table.fail(
            key,
            "expected at least one name; for all or no parameters write query = \"all\" or \"none\"",
        );
    }
    Some(NameSet::new(names.iter().map(String::as_str)))
}

fn parameter_name(text: &str) -> Option<String> {
    let (begin, last) = text.split_at_checked(text.len().checked_sub(1)?).unwrap_or((text, ""));
    let valid =
        !begin.contains('*') && text != "*" && !begin.contains(['&', '=']) && last != "=" && last != "&";
    valid.then(|| text.to_owned())
}

/// One piece of a query, between two `&`.
pub(crate) struct Parameter<'a> {
    /// The piece as it is.
    pub(crate) raw: &'a str,
    /// The decoded name.
    pub(crate) name: Cow<'a, [u8]>,
}

impl<'a> Parameter<'a> {
    /// Splits the name, up to the first `=`, off a piece.
    pub(crate) fn new(raw: &'a str) -> Self {
        let name = raw.split('=').next().unwrap_or_default();
        Self { raw, name: decode(name) }
    }
}

/// Decodes `%XX` and `+` as in forms; a `%` without two hexadecimal digits is kept.
pub(crate) fn decode(name: &str) -> Cow<'_, [u8]> {
    let bytes = name.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, after) = match (first, escaped(rest)) {
            (_, Some(byte)) => (byte, &rest[3..]),
            (b'+', None) => (b' ', tail),
            (byte, None) => (byte, tail),
        };
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

/// Returns the byte for which a `%XX` at the start of `text` stands.
pub(super) fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

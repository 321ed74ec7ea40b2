//! `No-Vary-Search` (draft-ietf-httpbis-no-vary-search-10): which parts of a query make no difference to a response.

use crate::config::{Parameter, decode};
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};
use std::collections::BTreeSet;

const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// The longest field that is considered, in bytes.
const LONGEST: usize = 1024;

/// Which parts of a query make a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchVariance {
    parameters: Parameters,
    key_order: bool,
}

/// The parameters that count. Names are percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Parameters {
    AllBut(BTreeSet<Vec<u8>>),
    Only(BTreeSet<Vec<u8>>),
}

impl SearchVariance {
    /// Reads the field of a response. `None` where everything makes a difference: because the field says so, or is missing,
    /// invalid, or too long.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let lines: Vec<&[u8]> = headers.get_all(&NO_VARY_SEARCH).iter().map(HeaderValue::as_bytes).collect();
        if lines.is_empty() {
            return None;
        }
        Self::parse(&lines.join(&b", "[..]))
    }

    /// Parses the value of the field (§5.1): "it tends to return the default URL search variance whenever it sees
    /// something it doesn't recognize".
    fn parse(value: &[u8]) -> Option<Self> {
        let members: Dictionary = Parser::new(value).parse().ok().filter(|_| value.len() <= LONGEST)?;
        let key_order = match members.get("key-order") {
            None => true,
            Some(value) => !boolean(value)?,
        };
        let (all, named) = match members.get("params") {
            None => (false, BTreeSet::new()),
            Some(ListEntry::InnerList(list)) => (false, names(list)?),
            Some(value) => (boolean(value)?, BTreeSet::new()),
        };
        let parameters = match members.get("except") {
            None if all => Parameters::Only(BTreeSet::new()),
            None => Parameters::AllBut(named),
            Some(ListEntry::InnerList(list)) if all => Parameters::Only(names(list)?),
            Some(_) => return None,
        };
        let default = key_order && parameters == Parameters::AllBut(BTreeSet::new());
        (!default).then_some(Self { parameters, key_order })
    }

    /// Returns the canonical query among all that make no difference: only the parameters that count, sorted by name if
    /// their order does not matter. `None` if nothing counts, which equals no query at all (§6).
    ///
    /// What counts is kept byte for byte. So a few queries that the draft considers equal (`a` and `a=`) stay different, which
    /// it permits: "Caches aren't required to reuse stored responses".
    #[must_use]
    pub fn canonical(&self, query: Option<&str>) -> Option<String> {
        let pieces = query?.split('&').filter(|piece| !piece.is_empty()).map(Parameter::new);
        let mut kept: Vec<Parameter<'_>> = pieces.filter(|parameter| self.counts(&parameter.name)).collect();
        if !self.key_order {
            kept.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let pieces: Vec<&str> = kept.iter().map(|parameter| parameter.raw).collect();
        (!pieces.is_empty()).then(|| pieces.join("&"))
    }

    fn counts(&self, name: &[u8]) -> bool {
        match &self.parameters {
            Parameters::AllBut(names) => !names.contains(name),
            Parameters::Only(names) => names.contains(name),
        }
    }

    /// Returns a field value with the same meaning.
    #[must_use]
    pub fn to_field(&self) -> String {
        let list = |names: &BTreeSet<Vec<u8>>| {
            let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", escaped(name))).collect();
            format!("({})", names.join(" "))
        };
        let order = if self.key_order { "" } else { "key-order, " };
        match &self.parameters {
            Parameters::AllBut(names) => format!("{order}params={}", list(names)),
            Parameters::Only(names) => format!("{order}params, except={}", list(names)),
        }
    }

    /// Reads what [`SearchVariance::to_field`] wrote.
    #[must_use]
    pub fn from_field(text: &[u8]) -> Option<Self> {
        Self::parse(text)
    }
}

fn boolean(value: &ListEntry) -> Option<bool> {
    match value {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::Boolean(value) => Some(value),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    }
}

/// Decodes names as in a form (§5.3): `+` is a blank, and the rest is percent-decoded.
fn names(list: &InnerList) -> Option<BTreeSet<Vec<u8>>> {
    let name = |item: &sfv::Item| match &item.bare_item {
        BareItem::String(text) => Some(decode(text.as_str()).into_owned()),
        _ => None,
    };
    list.items.iter().map(name).collect()
}

fn escaped(name: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.iter()
        .map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variance(value: &'static str) -> Option<SearchVariance> {
        SearchVariance::of(&[(NO_VARY_SEARCH, HeaderValue::from_static(value))].into_iter().collect())
    }

    fn canonical(value: &'static str, query: &str) -> String {
        variance(value).unwrap().canonical(Some(query)).unwrap_or_default()
    }

    #[test]
    fn only_what_counts_is_left() {
        for (value, query, expected) in [
            ("params", "a=1&b=2", ""),
            ("params=(\"a\")", "a=1&b=2&a=3&c", "b=2&c"),
            ("params, except=(\"a\")", "a=1&b=2&a=3", "a=1&a=3"),
            ("params=?1, except=(\"a\" \"b\");x, unknown=1", "c&b=2&a=1", "b=2&a=1"),
            ("key-order", "b=1&a=2&b=0&%61=3", "a=2&%61=3&b=1&b=0"),
            ("key-order, params=(\"x\")", "b&x&a", "a&b"),
            ("params=(\"%C3%A9+x\")", "%C3%A9%20x=1&a", "a"),
            ("params=(\"a\")", "&&b&&", "b"),
        ] {
            assert_eq!(canonical(value, query), expected, "{value} {query}");
        }
        assert_eq!(variance("params").unwrap().canonical(None), None);
    }

    #[test]
    fn what_is_not_said_well_is_not_said() {
        for value in [
            "",
            "unknown-key",
            "key-order=\"not a boolean\"",
            "params=\"not a boolean or inner list\"",
            "params=(not-a-string)",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "params=?0, except=(\"x\")",
            "params, except=(not-a-string)",
            "params, except=\"not an inner list\"",
            "params, except=?1",
            "except=(\"x\")",
            "except=()",
            "params=?0",
            "params=()",
            "key-order=?0",
            "params=(\"a\"",
        ] {
            assert_eq!(variance(value), None, "{value}");
        }
        let long = HeaderValue::from_str(&format!("params=(\"{}\")", "a".repeat(LONGEST))).unwrap();
        assert_eq!(SearchVariance::of(&[(NO_VARY_SEARCH, long)].into_iter().collect()), None);
    }

    fn any_variance() -> impl Strategy<Value = SearchVariance> {
        let names = proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..4), 0..4);
        (names, any::<bool>(), any::<bool>()).prop_map(|(names, only, key_order)| SearchVariance {
            parameters: if only { Parameters::Only(names) } else { Parameters::AllBut(names) },
            key_order,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(variance in any_variance()) {
            let read = SearchVariance::from_field(variance.to_field().as_bytes());
            let default = variance.key_order && variance.parameters == Parameters::AllBut(BTreeSet::new());
            prop_assert_eq!(read, (!default).then_some(variance));
        }

        #[test]
        fn twice_is_once(variance in any_variance(), query in "([a-c%0-9=+]{0,4}&?){0,6}") {
            let once = variance.canonical(Some(&query));
            prop_assert_eq!(variance.canonical(once.as_deref()), once);
        }

        /// Nothing is added or changed: the canonical query consists of pieces of the query.
        #[test]
        fn what_is_left_was_there(variance in any_variance(), query in "([a-c%0-9=+]{0,4}&?){0,6}") {
            let left = variance.canonical(Some(&query)).unwrap_or_default();
            let mut pieces: Vec<&str> = query.split('&').collect();
            for piece in left.split('&').filter(|piece| !piece.is_empty()) {
                let at = pieces.iter().position(|one| *one == piece);
                prop_assert!(at.is_some(), "{} of {}", piece, query);
                pieces.remove(at.unwrap_or_default());
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64), text in "[ -~]{0,64}") {
            let _ = (SearchVariance::parse(&value), SearchVariance::parse(text.as_bytes()));
        }
    }
}

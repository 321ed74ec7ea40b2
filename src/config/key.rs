//! Key rules: which parts of a request, besides method, host and path, tell stored responses apart.

use super::query::{Parameter, QueryRule};
use super::table::Table;
use super::value::{boolean, one_of, shown, string, text};
use crate::field::forward;
use http::header::{self, HeaderName};
use std::borrow::Cow;

/// Which parts of a request go into its cache key, besides scheme, host and path.
///
/// The default is the whole query as it is, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// Which query parameters count.
    pub query: QueryRule,
    /// Whether parameters are sorted by name, so that `?b=1&a=2` and `?a=2&b=1` are one entry.
    /// Parameters of the same name keep their order.
    pub sort_query: bool,
    /// Request header fields whose values are part of the key: lower case, without repetition.
    pub headers: Vec<HeaderName>,
    /// Names of cookies whose values are part of the key, without repetition.
    pub cookies: Vec<String>,
    /// Whether requests with a session are answered from the cache, and how they are told apart.
    pub visitor: Visitor,
    /// The content codings that `Accept-Encoding` is reduced to, in lower case.
    pub encodings: Vec<String>,
    /// The languages that `Accept-Language` is reduced to; an empty list leaves it as it is.
    pub languages: Vec<String>,
}

/// Which property of a session tells stored responses apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visitor {
    /// Nothing: a request with a session is not answered from the cache.
    #[default]
    Nobody,
    /// The user who has logged in. A session without one is not answered from the cache.
    User,
    /// The session itself.
    Session,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            query: QueryRule::default(),
            sort_query: false,
            headers: Vec::new(),
            cookies: Vec::new(),
            visitor: Visitor::default(),
            encodings: ["br", "gzip", "zstd"].map(str::to_owned).into(),
            languages: Vec::new(),
        }
    }
}

impl KeyRules {
    /// Returns those parts of the query `raw` (without its `?`) that count.
    ///
    /// They are kept byte for byte and in their order, unless [`KeyRules::sort_query`] is set; names are
    /// percent-decoded only to be compared. An empty result means that nothing of the query counts.
    ///
    /// Send the origin exactly this, and not `raw`, for a request whose response may be stored: a parameter
    /// that the origin sees and the key does not lets one client poison the entry of all others.
    #[must_use]
    pub fn query<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        match &self.query {
            QueryRule::None => return Cow::Borrowed(""),
            QueryRule::All if !self.sort_query => return Cow::Borrowed(raw),
            _ => {}
        }
        let mut kept: Vec<Parameter<'a>> = raw
            .split('&')
            .map(Parameter::new)
            .filter(|parameter| self.query.keeps(&parameter.name))
            .collect();
        if self.sort_query {
            kept.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let pieces: Vec<&str> = kept.iter().map(|parameter| parameter.raw).collect();
        if raw.split('&').eq(pieces.iter().copied()) {
            return Cow::Borrowed(raw);
        }
        Cow::Owned(pieces.join("&"))
    }

    /// Reads the table `key` of `table` over `base`, key by key.
    /// `believed` tells whether clients' claims about themselves are forwarded.
    pub(super) fn read(table: &mut Table<'_, '_>, base: &Self, believed: bool) -> Self {
        let Some(mut inner) = table.table("key") else { return base.clone() };
        let visitors = [("none", Visitor::Nobody), ("user", Visitor::User), ("session", Visitor::Session)];
        let rules = Self {
            query: QueryRule::read(&mut inner).unwrap_or_else(|| base.query.clone()),
            sort_query: inner.read("sort_query", boolean).unwrap_or(base.sort_query),
            headers: inner
                .strings("headers", |value| key_header(text("a field name", value)?, believed))
                .map_or_else(|| base.headers.clone(), unique),
            cookies: inner
                .strings("cookies", string("a cookie name, without blanks, \"=\" and \";\"", cookie_name))
                .map_or_else(|| base.cookies.clone(), unique),
            visitor: inner.read("visitor", one_of(&visitors)).unwrap_or(base.visitor),
            encodings: inner
                .strings("encodings", string("a content coding like \"gzip\"", coding))
                .map_or_else(|| base.encodings.clone(), unique),
            languages: inner
                .strings("languages", string("a language tag like \"de\" or \"pt-BR\"", language))
                .map_or_else(|| base.languages.clone(), unique),
        };
        inner.finish(|_| None);
        rules
    }
}

/// Returns the items without repetition, in their order.
pub(super) fn unique<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    items.into_iter().fold(Vec::new(), |mut kept, item| {
        if !kept.contains(&item) {
            kept.push(item);
        }
        kept
    })
}

fn cookie_name(text: &str) -> Option<String> {
    // A cookie name is a token (RFC 6265 §4.1.1), and so is a method.
    http::Method::from_bytes(text.as_bytes()).ok().map(|_| text.to_owned())
}

/// Parses a coding other than `identity`, which needs no mention.
fn coding(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let token =
        !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (token && lower != "identity").then_some(lower)
}

/// Parses a tag of the general form of RFC 5646 §2.1: letters and digits in parts of at most eight.
fn language(text: &str) -> Option<String> {
    let part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.split('-').all(part).then(|| text.to_owned())
}

/// Fields that must not be part of a key, each with the reason.
const UNKEYABLE: [(HeaderName, &str); 16] = [
    (header::HOST, "it is always part of the key"),
    (header::COOKIE, "name individual cookies in `cookies` instead"),
    (header::SET_COOKIE, "it is a response field"),
    (
        header::AUTHORIZATION,
        "responses to such requests are not storable even with it in the key (RFC 9111 §3.5)",
    ),
    (header::PROXY_AUTHORIZATION, "it is meant for the next hop only"),
    (header::CONNECTION, "it is meant for the next hop only"),
    (header::TE, "it is meant for the next hop only"),
    (header::TRANSFER_ENCODING, "it is meant for the next hop only"),
    (header::UPGRADE, "it is meant for the next hop only"),
    (header::RANGE, "ranges are answered from the whole response"),
    (header::IF_NONE_MATCH, "conditions are evaluated against the whole response"),
    (header::IF_MATCH, "conditions are evaluated against the whole response"),
    (header::IF_MODIFIED_SINCE, "conditions are evaluated against the whole response"),
    (header::IF_UNMODIFIED_SINCE, "conditions are evaluated against the whole response"),
    (header::IF_RANGE, "conditions are evaluated against the whole response"),
    (header::CACHE_CONTROL, "its directives are obeyed instead"),
];

/// Returns why a field is never present when a request is looked up. The origin gets our own, with values that differ by client.
fn dropped(name: &HeaderName, believed: bool) -> Option<&'static str> {
    if forward::is_spin(name) {
        return Some("the value that clients send is dropped");
    }
    let claim = !believed && forward::is_claim(name);
    claim.then_some("the value that clients send is dropped, unless origin.trust_forwarded is set")
}

fn key_header(text: &str, believed: bool) -> Result<HeaderName, String> {
    let found = || format!("expected a field name like \"accept-language\", found {}", shown(text));
    let name = HeaderName::try_from(text).map_err(|_| found())?;
    let refused = UNKEYABLE.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason);
    match refused.or(dropped(&name, believed)) {
        Some(reason) => Err(format!("expected a field other than {name}: {reason}")),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::NameSet;
    use super::*;
    use proptest::prelude::*;

    fn rules(query: QueryRule, sort_query: bool) -> KeyRules {
        KeyRules { query, sort_query, ..KeyRules::default() }
    }

    fn only(names: &[&str]) -> QueryRule {
        QueryRule::Only(NameSet::new(names.iter().copied()))
    }

    fn except(names: &[&str]) -> QueryRule {
        QueryRule::Except(NameSet::new(names.iter().copied()))
    }

    #[test]
    fn without_rules_the_query_is_used_byte_for_byte() {
        for raw in ["", "&", "a=%zz&&b==&;+", "b=1&a=2"] {
            assert!(matches!(KeyRules::default().query(raw), Cow::Borrowed(kept) if kept == raw), "{raw}");
        }
        assert_eq!(rules(QueryRule::None, false).query("a=1"), "");
    }

    #[test]
    fn only_the_named_parameters_are_kept_in_their_order() {
        let rules = rules(only(&["page", "q", "f_*"]), false);
        assert_eq!(rules.query("x=1&q=b&f_a=2&page=3&q=a&f"), "q=b&f_a=2&page=3&q=a");
        assert_eq!(rules.query("x=1"), "");
        assert_eq!(rules.query("q"), "q");
    }

    #[test]
    fn excepted_parameters_are_left_out() {
        let rules = rules(except(&["utm_*", "fbclid"]), false);
        assert_eq!(rules.query("a=1&utm_source=x&b=2&fbclid=y&utm_=1&utm=2"), "a=1&b=2&utm=2");
        assert!(matches!(rules.query("a=1&b=2"), Cow::Borrowed("a=1&b=2")));
    }

    #[test]
    fn an_encoded_name_does_not_escape_the_rule() {
        assert_eq!(rules(except(&["utm_*"]), false).query("utm%5Fsource=x&%75tm_b=1&c=1"), "c=1");
        assert_eq!(
            rules(only(&["q", "a b"]), false).query("%71=evil&a+b=1&a%20b=2"),
            "%71=evil&a+b=1&a%20b=2"
        );
        assert_eq!(rules(only(&["q"]), false).query("%ff=1&%=2&%4=3&%zz=4"), "");
    }

    #[test]
    fn sorting_goes_by_name_and_keeps_the_order_of_equal_names() {
        let rules = rules(QueryRule::All, true);
        assert_eq!(rules.query("b=1&a=2&b=0&%61=1"), "a=2&%61=1&b=1&b=0");
        assert!(matches!(rules.query("a=1&b=2"), Cow::Borrowed(_)));
    }

    fn any_rule() -> impl Strategy<Value = QueryRule> {
        let names = || proptest::collection::vec("[abu%][b*]?", 0..4);
        let set = |names: Vec<String>| NameSet::new(names.iter().map(String::as_str));
        prop_oneof![
            Just(QueryRule::All),
            Just(QueryRule::None),
            names().prop_map(move |names| QueryRule::Only(set(names))),
            names().prop_map(move |names| QueryRule::Except(set(names))),
        ]
    }

    proptest! {
        #[test]
        fn applying_the_rule_twice_is_applying_it_once(
            rule in any_rule(), sort: bool, raw in "([abu%][b=1%6+]{0,4}&?){0,6}",
        ) {
            let rules = rules(rule, sort);
            let once = rules.query(&raw).into_owned();
            prop_assert_eq!(rules.query(&once), once.as_str());
        }

        #[test]
        fn what_is_kept_is_a_subsequence_of_the_query(rule in any_rule(), raw in "([abu%][b=1%6+]{0,4}&?){0,6}") {
            let kept = rules(rule, false).query(&raw).into_owned();
            let mut pieces = raw.split('&');
            prop_assert!(kept.is_empty() || kept.split('&').all(|piece| pieces.any(|one| one == piece)));
        }

        #[test]
        fn sorting_makes_the_order_of_different_names_irrelevant(mut pieces in proptest::collection::btree_map("[a-e]{1,2}", "[0-9]{0,2}", 0..6)
            .prop_map(|map| map.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()).prop_shuffle()) {
            let rules = rules(QueryRule::All, true);
            let shuffled = rules.query(&pieces.join("&")).into_owned();
            pieces.sort_by(|a, b| a.split('=').next().cmp(&b.split('=').next()));
            prop_assert_eq!(shuffled, pieces.join("&"));
        }

        #[test]
        fn arbitrary_text_is_no_problem(rule in any_rule(), sort: bool, raw in ".*") {
            let _ = rules(rule, sort).query(&raw);
        }
    }
}

//! `Cache-Control` (RFC 9111 §5.2): request and response directives, as different types.
//!
//! ```text
//! Cache-Control   = #cache-directive
//! cache-directive = token [ "=" ( token / quoted-string ) ]
//! ```
//! Unknown directives are ignored (§5.2.3). An argument is accepted in either form (§5.2). Of several directives
//! of one name with a number, the first counts (§4.2.1).

use super::list;
use crate::time::DeltaSeconds;
use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

/// A directive with a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seconds {
    /// The directive is absent.
    #[default]
    Absent,
    /// The argument is not a number. "Caches are encouraged to consider responses that
    /// have invalid freshness information (e.g., a max-age directive with non-integer content) to be
    /// stale" (RFC 9111 §4.2.1).
    Invalid,
    /// The number of seconds.
    Is(DeltaSeconds),
}

impl Seconds {
    fn parse(argument: Option<&str>) -> Self {
        argument.and_then(DeltaSeconds::parse).map_or(Self::Invalid, Self::Is)
    }

    fn set_first(&mut self, argument: Option<&str>) {
        if *self == Self::Absent {
            *self = Self::parse(argument);
        }
    }

    /// Returns whether the directive is present, valid or not.
    #[must_use]
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// Returns the number, if it is valid.
    #[must_use]
    pub const fn valid(self) -> Option<DeltaSeconds> {
        match self {
            Self::Is(seconds) => Some(seconds),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// The scope of `no-cache` or `private` in a response, which may name fields (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is absent.
    #[default]
    Absent,
    /// It covers these fields only.
    Fields(Vec<HeaderName>),
    /// It covers the whole response.
    All,
}

impl Scope {
    /// Adds a directive. An argument that is not a list of field names covers everything: the safe reading.
    fn add(&mut self, argument: Option<&str>) {
        *self = match (std::mem::take(self), argument.and_then(field_names)) {
            (Self::All, _) | (_, None) => Self::All,
            (Self::Fields(mut fields), Some(named)) => {
                fields.extend(named);
                Self::Fields(fields)
            }
            (Self::Absent, Some(named)) => Self::Fields(named),
        };
    }

    /// Returns the fields that it names, if any.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(fields) => fields,
            Self::Absent | Self::All => &[],
        }
    }
}

/// Parses a list of at least one field name; `None` for anything else.
pub(super) fn field_names(text: &str) -> Option<Vec<HeaderName>> {
    let names: Option<Vec<_>> =
        list::split(text).map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
    names.filter(|names| !names.is_empty())
}

/// Cache directives of a response (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// How long it is fresh (§5.2.2.1).
    pub max_age: Seconds,
    /// How long it is fresh in shared caches; these must not reuse it stale, as with `proxy-revalidate` (§5.2.2.10).
    pub s_maxage: Seconds,
    /// It must not be reused stale (§5.2.2.2).
    pub must_revalidate: bool,
    /// It must not be reused stale by shared caches (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// It may be stored only if the status code is understood (§5.2.2.3).
    pub must_understand: bool,
    /// It must not be reused without validation (§5.2.2.4).
    pub no_cache: Scope,
    /// It must not be stored (§5.2.2.5).
    pub no_store: bool,
    /// It is not for shared caches (§5.2.2.7).
    pub private: Scope,
    /// It may be stored even where it otherwise might not (§5.2.2.9).
    pub public: bool,
    /// Its content must not be transformed (§5.2.2.6).
    pub no_transform: bool,
    /// It does not change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// For how long it may be reused stale while it is refreshed (RFC 5861 §3).
    pub stale_while_revalidate: Seconds,
    /// For how long it may be reused stale while the origin fails (RFC 5861 §4).
    pub stale_if_error: Seconds,
}

impl ResponseDirectives {
    /// Reads the directives of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        each_directive(headers, |name, argument| found.add(name, argument));
        found
    }

    fn add(&mut self, name: &str, argument: Option<&str>) {
        match name {
            "max-age" => self.max_age.set_first(argument),
            "s-maxage" => self.s_maxage.set_first(argument),
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "no-cache" => self.no_cache.add(argument),
            "no-store" => self.no_store = true,
            "private" => self.private.add(argument),
            "public" => self.public = true,
            "no-transform" => self.no_transform = true,
            "immutable" => self.immutable = true,
            "stale-while-revalidate" => self.stale_while_revalidate.set_first(argument),
            "stale-if-error" => self.stale_if_error.set_first(argument),
            _ => {}
        }
    }

    /// Returns whether a shared cache must not reuse it stale, whatever fails (RFC 9111 §4.2.4).
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_present()
            || self.no_cache == Scope::All
    }
}

/// How stale a response the client accepts (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxStale {
    /// Not stale at all.
    #[default]
    No,
    /// Stale by at most this.
    Within(DeltaSeconds),
    /// However stale.
    Any,
}

/// Cache directives of a request (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// The greatest age that the client accepts (§5.2.1.1).
    pub max_age: Seconds,
    /// Whether the client accepts stale responses (§5.2.1.2).
    pub max_stale: MaxStale,
    /// How much longer the response must be fresh (§5.2.1.3).
    pub min_fresh: Seconds,
    /// The client wants no response without validation (§5.2.1.4, and `Pragma: no-cache`, §5.4).
    pub no_cache: bool,
    /// Nothing of this exchange may be stored (§5.2.1.5).
    pub no_store: bool,
    /// The client wants a stored response or none (§5.2.1.7).
    pub only_if_cached: bool,
    /// For how long the client accepts a stale response while the origin fails (RFC 5861 §4).
    pub stale_if_error: Seconds,
}

impl RequestDirectives {
    /// Reads the directives of a request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        each_directive(headers, |name, argument| found.add(name, argument));
        // RFC 9111 §5.4: when Cache-Control is not present, no-cache in Pragma means the same.
        if !headers.contains_key(CACHE_CONTROL) {
            found.no_cache =
                list::members(headers, PRAGMA).any(|pragma| pragma.eq_ignore_ascii_case("no-cache"));
        }
        found
    }

    /// Drops the directives that would have a fresh response validated: "They are advisory; caches MAY implement them, but are
    /// not required to" (RFC 9111 §5.2.1).
    #[must_use]
    pub fn without_revalidation(self) -> Self {
        Self { max_age: Seconds::Absent, min_fresh: Seconds::Absent, no_cache: false, ..self }
    }

    fn add(&mut self, name: &str, argument: Option<&str>) {
        match name {
            "max-age" => self.max_age.set_first(argument),
            "max-stale" => {
                self.max_stale = match argument {
                    None => MaxStale::Any,
                    Some(text) => DeltaSeconds::parse(text).map_or(MaxStale::No, MaxStale::Within),
                }
            }
            "min-fresh" => self.min_fresh.set_first(argument),
            "no-cache" => self.no_cache = true,
            "no-store" => self.no_store = true,
            "only-if-cached" => self.only_if_cached = true,
            "stale-if-error" => self.stale_if_error.set_first(argument),
            _ => {}
        }
    }
}

/// Calls `each` with the name of every directive, in lower case, and its argument, without quotes.
///
/// Bytes that are not text, which a quoted string may contain, do not hide the other directives of their line, and neither
/// does a quoted string without an end: its quote is then taken as an ordinary character. White
/// space before the `=` is not allowed; it makes the argument invalid but not the name, so that `private =x` is
/// private and `max-age =60` stale.
fn each_directive(headers: &HeaderMap, mut each: impl FnMut(&str, Option<&str>)) {
    for line in headers.get_all(CACHE_CONTROL) {
        for member in list::split(&String::from_utf8_lossy(line.as_bytes())) {
            if list::is_closed(member) {
                directive(member, &mut each);
            } else {
                member.split(',').for_each(|member| directive(member.trim_matches([' ', '\t']), &mut each));
            }
        }
    }
}

fn directive(member: &str, each: &mut impl FnMut(&str, Option<&str>)) {
    let (name, argument) = match member.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (member, None),
    };
    let plain = name.trim_end_matches([' ', '\t']);
    let argument = argument.map(|argument| if plain == name { argument } else { "=" });
    let unquoted = argument.and_then(list::unquote);
    each(&plain.to_ascii_lowercase(), unquoted.as_deref().or(argument));
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_static(line))).collect()
    }

    fn response(lines: &[&'static str]) -> ResponseDirectives {
        ResponseDirectives::of(&headers(lines))
    }

    fn is(seconds: u64) -> Seconds {
        Seconds::Is(DeltaSeconds::from_secs(seconds))
    }

    #[test]
    fn directives_are_read_over_all_lines_in_any_case() {
        let found = response(&["Public, MAX-AGE=5", "s-maxage=10"]);
        assert!(found.public);
        assert_eq!((found.max_age, found.s_maxage), (is(5), is(10)));
    }

    #[test]
    fn a_number_may_be_quoted_but_must_be_a_number() {
        assert_eq!(response(&[r#"max-age="3600""#]).max_age, is(3600));
        for bad in
            ["max-age=a", "max-age", "max-age=", "max-age=1.5", "max-age=-1", "max-age='1'", "max-age= 1"]
        {
            assert_eq!(response(&[bad]).max_age, Seconds::Invalid, "{bad}");
        }
    }

    #[test]
    fn the_first_of_several_numbers_counts() {
        assert_eq!(response(&["max-age=1, max-age=100"]).max_age, is(1));
        assert_eq!(response(&["max-age=x, max-age=100"]).max_age, Seconds::Invalid);
    }

    #[test]
    fn a_directive_name_inside_a_quoted_string_is_not_a_directive() {
        let found = response(&[r#"extension="no-store, private", max-age=1"#]);
        assert!(!found.no_store);
        assert_eq!(found.private, Scope::Absent);
        assert_eq!(found.max_age, is(1));
    }

    #[test]
    fn nothing_malformed_makes_a_response_less_private_or_fresher() {
        for line in
            ["private =x", "private = \"a\"", "private=\"a", "private=\"\"", "private=\"a b\"", "PRIVATE\t=a"]
        {
            assert_eq!(response(&[line]).private, Scope::All, "{line}");
        }
        for line in ["max-age =60", "max-age\t=60", "max-age= 60", "max-age=\"60"] {
            assert_eq!(response(&[line]).max_age, Seconds::Invalid, "{line}");
        }
        assert!(response(&["no-store = 1"]).no_store && response(&["no-store=\"x\""]).no_store);
        let unclosed = response(&["max-age=60, x=\", no-store, private"]);
        assert!(unclosed.no_store && unclosed.private == Scope::All && unclosed.max_age == is(60));
        let bytes = HeaderValue::from_bytes(b"x=\"\xff\", private, no-store").unwrap();
        let found = ResponseDirectives::of(&[(CACHE_CONTROL, bytes)].into_iter().collect());
        assert!(found.no_store && found.private == Scope::All);
    }

    #[test]
    fn private_and_no_cache_may_name_fields() {
        let found = response(&[r#"private="Set-Cookie, x-user", no-cache"#]);
        assert_eq!(found.private.fields(), [http::header::SET_COOKIE, HeaderName::from_static("x-user")]);
        assert_eq!(found.no_cache, Scope::All);
        assert_eq!(response(&["private=\"not a field\""]).private, Scope::All);
        assert_eq!(response(&[r#"private="a""#, "private"]).private, Scope::All);
        assert_eq!(response(&["private=\"\""]).private, Scope::All);
    }

    #[test]
    fn requests_have_their_own_directives() {
        let found = RequestDirectives::of(&headers(&["max-stale, min-fresh=3, only-if-cached"]));
        assert_eq!((found.max_stale, found.min_fresh, found.only_if_cached), (MaxStale::Any, is(3), true));
        let bounded = RequestDirectives::of(&headers(&["max-stale=10"]));
        assert_eq!(bounded.max_stale, MaxStale::Within(DeltaSeconds::from_secs(10)));
        assert_eq!(RequestDirectives::of(&headers(&["max-stale=x"])).max_stale, MaxStale::No);
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        let mut lines = HeaderMap::new();
        lines.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        assert!(RequestDirectives::of(&lines).no_cache);
        lines.insert(CACHE_CONTROL, HeaderValue::from_static("nothing-to-see-here"));
        assert!(!RequestDirectives::of(&lines).no_cache);
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), text in "[ -~\\t]*") {
            for bytes in [line.as_slice(), text.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let lines: HeaderMap = [(CACHE_CONTROL, value)].into_iter().collect();
                let _ = (ResponseDirectives::of(&lines), RequestDirectives::of(&lines));
            }
        }

        /// A restricting directive takes effect, whatever surrounds it.
        #[test]
        fn a_restriction_is_heard_in_any_company(before in "[a-z]{1,8}(=([0-9]{1,12}|\"[ -!#-\\[\\]-~]{0,9}\"))?", at in 0usize..3) {
            let lines = ["no-store", "private", "no-cache"];
            let found = ResponseDirectives::of(&[(CACHE_CONTROL, HeaderValue::from_str(&format!("{before}, {}", lines[at]))?)].into_iter().collect());
            proptest::prop_assert!([found.no_store, found.private == Scope::All, found.no_cache == Scope::All][at]);
        }
    }
}

//! Targeted cache control (RFC 9213): directives for certain caches, in place of `Cache-Control` and `Expires`.
//!
//! "When a cache that implements this specification receives a response with one or more of the header field names on
//! its target list, the cache MUST select the first (in target-list order) field with a valid, non-empty value and use
//! its value to determine the caching policy for the response, and it MUST ignore the Cache-Control and Expires header
//! fields in that response" (§2.2).
//!
//! `Surrogate-Control` (Edge Architecture Specification, W3C Note of 2001) may be on the list too. It is older than
//! structured fields and has a syntax of its own, see `surrogate`.

use super::cache_control::{ResponseDirectives, Scope, Seconds, field_names};
use super::forward::append_member;
use super::list;
use crate::time::DeltaSeconds;
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The field that tells the origin which surrogates a request passes, and what they understand.
const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");

/// The one target field that is not a structured field.
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// The target list: the fields that address this cache, in order of precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    fields: Vec<HeaderName>,
    /// The name of this cache in `Surrogate-Control`.
    device: String,
}

impl Default for Targets {
    /// `Spindrift-Cache-Control`, then `CDN-Cache-Control` (RFC 9213 §3.1).
    fn default() -> Self {
        Self::new(
            ["spindrift-cache-control", "cdn-cache-control"].map(HeaderName::from_static).into(),
            "spindrift",
        )
    }
}

impl Targets {
    /// Makes the target list of the cache with this name.
    #[must_use]
    pub fn new(fields: Vec<HeaderName>, name: &str) -> Self {
        Self { fields, device: name.to_owned() }
    }

    /// Tells the origin that `Surrogate-Control` is understood, if it is: an origin may send it only then.
    pub fn announce(&self, request: &mut HeaderMap) {
        if self.fields.contains(&SURROGATE_CONTROL) {
            append_member(request, &SURROGATE_CAPABILITY, &format!("{}=\"Surrogate/1.0\"", self.device));
        }
    }

    /// Returns the directives of the first target field that is valid and not empty; `None` where `Cache-Control` counts.
    fn select(&self, headers: &HeaderMap) -> Option<ResponseDirectives> {
        self.fields.iter().filter(|name| headers.contains_key(*name)).find_map(|name| {
            if *name == SURROGATE_CONTROL {
                surrogate(headers, &self.device)
            } else {
                structured(headers, name)
            }
        })
    }
}

/// The directives that govern a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governing {
    /// The directives.
    pub directives: ResponseDirectives,
    /// Whether they come from a targeted field, so that `Expires` does not count.
    pub targeted: bool,
}

impl Governing {
    /// Determines what governs a response, for a cache with these targets.
    #[must_use]
    pub fn of(headers: &HeaderMap, targets: &Targets) -> Self {
        match targets.select(headers) {
            Some(directives) => Self { directives, targeted: true },
            None => Self { directives: ResponseDirectives::of(headers), targeted: false },
        }
    }
}

/// Parses a targeted field: a dictionary (RFC 9651 §3.2) of which each member is a directive. "If a targeted field in a given
/// response is empty, or a parsing error is encountered, that field MUST be ignored by the cache" (RFC 9213 §2.1); the same
/// applies if the value of a directive has the wrong type. Parameters and unknown directives are ignored.
fn structured(headers: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    let members: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    if members.is_empty() {
        return None;
    }
    let mut found = ResponseDirectives::default();
    for (name, member) in &members {
        let value = match member {
            ListEntry::Item(item) => Some(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        set(&mut found, name.as_str(), value)?;
    }
    Some(found)
}

/// Sets one directive; `None` for a value of the wrong type. Seconds must be an integer, other directives true, and
/// `no-cache` and `private` true or a string with field names (RFC 9213 §2.1).
fn set(found: &mut ResponseDirectives, name: &str, value: Option<&BareItem>) -> Option<()> {
    match name {
        "max-age" => found.max_age = seconds(value)?,
        "s-maxage" => found.s_maxage = seconds(value)?,
        "stale-while-revalidate" => found.stale_while_revalidate = seconds(value)?,
        "stale-if-error" => found.stale_if_error = seconds(value)?,
        "must-revalidate" => found.must_revalidate = said(value)?,
        "proxy-revalidate" => found.proxy_revalidate = said(value)?,
        "must-understand" => found.must_understand = said(value)?,
        "no-store" => found.no_store = said(value)?,
        "public" => found.public = said(value)?,
        "no-transform" => found.no_transform = said(value)?,
        "immutable" => found.immutable = said(value)?,
        "no-cache" => found.no_cache = scope(value)?,
        "private" => found.private = scope(value)?,
        _ => {}
    }
    Some(())
}

/// Converts a number of seconds. A negative one is invalid, which makes the response stale.
fn seconds(value: Option<&BareItem>) -> Option<Seconds> {
    let BareItem::Integer(number) = value? else { return None };
    let seconds = u64::try_from(i64::from(*number)).ok();
    Some(seconds.map_or(Seconds::Invalid, |seconds| Seconds::Is(DeltaSeconds::from_secs(seconds))))
}

fn said(value: Option<&BareItem>) -> Option<bool> {
    matches!(value?, BareItem::Boolean(true)).then_some(true)
}

fn scope(value: Option<&BareItem>) -> Option<Scope> {
    match value? {
        BareItem::Boolean(true) => Some(Scope::All),
        BareItem::String(names) => Some(field_names(names.as_str()).map_or(Scope::All, Scope::Fields)),
        _ => None,
    }
}

/// Parses `Surrogate-Control`, as far as it concerns caching:
///
/// ```text
/// Surrogate-Control = 1#( directive *( ";" device ) )
/// directive         = "no-store" | "max-age=" seconds [ "+" seconds ] | ...
/// ```
/// A directive with devices is for these only. The seconds after the `+` are how much longer the response may be used
/// while it is refreshed. Other directives, such as `content="ESI/1.0"`, do not concern caching.
fn surrogate(headers: &HeaderMap, device: &str) -> Option<ResponseDirectives> {
    let mut found = ResponseDirectives::default();
    for member in list::members(headers, SURROGATE_CONTROL) {
        let mut parts = list::split_at(member, b';');
        let directive = parts.next().unwrap_or_default();
        let mut devices = parts.peekable();
        if devices.peek().is_some() && !devices.any(|one| one.eq_ignore_ascii_case(device)) {
            continue;
        }
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") {
            found.no_store = true;
        } else if name.eq_ignore_ascii_case("max-age") && !found.max_age.is_present() {
            let (fresh, stale) = argument.split_once('+').unwrap_or((argument, "0"));
            found.max_age = DeltaSeconds::parse(fresh).map_or(Seconds::Invalid, Seconds::Is);
            found.stale_while_revalidate = DeltaSeconds::parse(stale).map_or(Seconds::Invalid, Seconds::Is);
        }
    }
    (found.no_store || found.max_age.is_present()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::lines::map;
    use http::HeaderValue;
    use http::header::{CACHE_CONTROL, SET_COOKIE};
    use proptest::prelude::*;

    const CDN: &str = "cdn-cache-control";

    fn governing(lines: &[(&'static str, &str)], targets: &Targets) -> Governing {
        Governing::of(&map(lines), targets)
    }

    fn cdn(value: &str) -> Option<ResponseDirectives> {
        let found = governing(&[("cache-control", "no-store"), (CDN, value)], &Targets::default());
        found.targeted.then_some(found.directives)
    }

    fn is(seconds: u64) -> Seconds {
        Seconds::Is(DeltaSeconds::from_secs(seconds))
    }

    #[test]
    fn a_targeted_field_replaces_cache_control_altogether() {
        let found = cdn("max-age=60, must-revalidate").unwrap();
        assert_eq!((found.max_age, found.must_revalidate, found.no_store), (is(60), true, false));
        assert_eq!(cdn("foobar, max-age=60;ext=1, x=(a b)").unwrap().max_age, is(60));
        assert_eq!(cdn("max-age=1, max-age=2").unwrap().max_age, is(2), "of a dictionary the last counts");
        assert!(cdn("no-store, public, immutable").is_some_and(|found| found.no_store && found.immutable));
    }

    #[test]
    fn the_first_valid_target_counts() {
        let both = [(CDN, "max-age=1"), ("spindrift-cache-control", "max-age=2")];
        assert_eq!(governing(&both, &Targets::default()).directives.max_age, is(2));
        let broken = [(CDN, "max-age=1"), ("spindrift-cache-control", "max-age=")];
        assert_eq!(governing(&broken, &Targets::default()).directives.max_age, is(1));
        assert!(!governing(&both, &Targets::new(vec![], "x")).targeted);
    }

    #[test]
    fn lines_are_one_dictionary() {
        let lines = [(CDN, "max-age=60"), (CDN, "must-revalidate")];
        let found = governing(&lines, &Targets::default()).directives;
        assert!(found.must_revalidate && found.max_age == is(60));
    }

    #[test]
    fn what_is_empty_or_does_not_parse_or_has_another_type_is_ignored() {
        for value in [
            "",
            " ",
            "max-age=10000, &&&&&",
            "max-age =100",
            "max-age= 100",
            "max-age",
            "MaX-aGe=3600",
            "max-age=\"10000\"",
            "max-age=1.5",
            "max-age=?0",
            "max-age=(1)",
            "max-age=1,",
            "no-store=1",
            "no-store=?0",
            "private=1",
            "private=token",
            "must-revalidate=()",
            "max-age=1234567890123456",
            "max-age=60, é",
        ] {
            assert_eq!(cdn(value), None, "{value}");
        }
    }

    #[test]
    fn numbers_may_be_large_or_below_zero() {
        assert_eq!(cdn("max-age=99999999999").unwrap().max_age, Seconds::Is(DeltaSeconds::MAX));
        assert_eq!(cdn("max-age=-1").unwrap().max_age, Seconds::Invalid);
    }

    #[test]
    fn private_and_no_cache_are_true_or_name_fields() {
        assert_eq!(cdn("private").unwrap().private, Scope::All);
        assert_eq!(cdn("no-cache=\"Set-Cookie\"").unwrap().no_cache.fields(), [SET_COOKIE]);
        assert_eq!(cdn("no-cache=\"not a field\"").unwrap().no_cache, Scope::All);
    }

    fn surrogate_control(value: &'static str) -> Option<ResponseDirectives> {
        let targets = Targets::new(vec![SURROGATE_CONTROL], "spindrift");
        let found = governing(&[("cache-control", "max-age=1"), ("surrogate-control", value)], &targets);
        found.targeted.then_some(found.directives)
    }

    #[test]
    fn surrogate_control_is_understood_where_it_is_a_target() {
        assert_eq!(surrogate_control("MaX-aGe=3600").unwrap().max_age, is(3600));
        assert!(surrogate_control("no-store, content=\"ESI/1.0\"").unwrap().no_store);
        let extended = surrogate_control("max-age=60+30").unwrap();
        assert_eq!((extended.max_age, extended.stale_while_revalidate), (is(60), is(30)));
        assert_eq!(surrogate_control("max-age= 100").unwrap().max_age, Seconds::Invalid);
        for none in ["", "content=\"ESI/1.0\"", "max-age =100", "foo"] {
            assert_eq!(surrogate_control(none), None, "{none}");
        }
    }

    #[test]
    fn a_directive_for_other_devices_is_not_for_us() {
        assert_eq!(surrogate_control("max-age=60;other"), None);
        assert_eq!(surrogate_control("max-age=60;Spindrift, max-age=5").unwrap().max_age, is(60));
        assert_eq!(surrogate_control("max-age=60;").unwrap().max_age, is(60));
    }

    #[test]
    fn origins_are_told_that_surrogate_control_is_understood() {
        let told = |fields: &[HeaderName]| {
            let mut request = HeaderMap::new();
            request.insert(SURROGATE_CAPABILITY, HeaderValue::from_static("front=\"Surrogate/1.0\""));
            Targets::new(fields.to_vec(), "edge").announce(&mut request);
            request[SURROGATE_CAPABILITY].clone()
        };
        assert_eq!(told(&[SURROGATE_CONTROL]), "front=\"Surrogate/1.0\", edge=\"Surrogate/1.0\"");
        assert_eq!(told(&[]), "front=\"Surrogate/1.0\"");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64), text in "[ -~]{0,64}") {
            let targets = Targets::new(vec![HeaderName::from_static(CDN), SURROGATE_CONTROL], "spindrift");
            for bytes in [value.as_slice(), text.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                for name in [HeaderName::from_static(CDN), SURROGATE_CONTROL, CACHE_CONTROL] {
                    let headers = [(name, value.clone())].into_iter().collect();
                    let _ = Governing::of(&headers, &targets);
                }
            }
        }
    }
}

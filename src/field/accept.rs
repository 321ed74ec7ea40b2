//! `Accept-Encoding` and `Accept-Language` (RFC 9110 §12.5.3, §12.5.4), reduced to what an origin can answer.
//!
//! Browsers send a dozen spellings of `Accept-Encoding` and thousands of `Accept-Language`, to an origin that knows three
//! codings and two languages. The origin gets the reduced fields, too: so "normalizing both header field values in a way
//! that is known to have identical semantics" (RFC 9111 §4.1) holds by itself.

use super::list;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Replaces `Accept-Encoding` by those of `codings` that the client accepts, sorted, without weights. A request without
/// the field stays without it.
///
/// A coding with `q=0` is not accepted, and one that is not named is accepted where `*` is (RFC 9110 §12.5.3). A client that
/// refuses even `identity` still does so afterwards.
pub fn reduce_encoding(headers: &mut HeaderMap, codings: &[String]) {
    let Some(offers) = Offers::of(headers, &ACCEPT_ENCODING) else { return };
    let accepted = codings.iter().filter(|coding| offers.weight(coding).unwrap_or(offers.any) > 0);
    let mut accepted: Vec<&str> = accepted.map(String::as_str).collect();
    accepted.sort_unstable();
    // "If the representation has no content coding, then it is acceptable by default unless specifically excluded by the
    // Accept-Encoding header field stating either "identity;q=0" or "*;q=0" without a more specific entry for "identity"".
    let refused = offers.weight("identity").unwrap_or(if offers.any_refused { 0 } else { 1 }) == 0;
    match (refused, accepted.is_empty()) {
        (true, _) => accepted.push("identity;q=0"),
        (false, true) => accepted.push("identity"),
        (false, false) => {}
    }
    replace(headers, ACCEPT_ENCODING, &accepted.join(", "));
}

/// Replaces `Accept-Language` by the one of `languages` that the client prefers, or else by the first that it does not
/// refuse, or by the first. A request without the field stays without it, and with no `languages` nothing changes.
///
/// A range is looked up as in RFC 4647 §3.4: `de-CH` is answered by `de`, and by `de-AT`, too, if there is no `de`. Of
/// ranges with the same weight the first counts.
pub fn reduce_language(headers: &mut HeaderMap, languages: &[String]) {
    let Some(first) = languages.first() else { return };
    let Some(mut offers) = Offers::of(headers, &ACCEPT_LANGUAGE) else { return };
    // Stable: those of the same weight stay in their order.
    offers.named.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    // Once for each language rather than for each range: a client can name as many ranges as fit in a head.
    let refused = |language: &&str| offers.weight(language) == Some(0);
    let accepted: Vec<&str> =
        languages.iter().map(String::as_str).filter(|language| !refused(language)).collect();
    let liked = offers.named.iter().filter(|(_, weight)| *weight > 0);
    let mut liked = liked.filter_map(|(range, _)| lookup(range, languages));
    let best = liked.find(|language| accepted.contains(language)).or(accepted.first().copied());
    replace(headers, ACCEPT_LANGUAGE, best.unwrap_or(first));
}

/// Returns the language that answers a range.
fn lookup<'a>(range: &str, languages: &'a [String]) -> Option<&'a str> {
    let mut range = range;
    loop {
        let exact = languages.iter().find(|language| language.eq_ignore_ascii_case(range));
        let longer = || {
            languages.iter().find(|language| {
                let head = language.get(..range.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(range))
                    && language.as_bytes().get(range.len()) == Some(&b'-')
            })
        };
        if let Some(found) = exact.or_else(longer) {
            return Some(found);
        }
        (range, _) = range.rsplit_once('-')?;
    }
}

fn replace(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let mut lines = headers.get_all(&name).iter();
    if lines.next().is_some_and(|line| line.as_bytes() == value.as_bytes()) && lines.next().is_none() {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What a client accepts, each with a weight in thousandths.
struct Offers<'a> {
    /// In the order of the field.
    named: Vec<(&'a str, u16)>,
    /// The weight of everything that is not named.
    any: u16,
    any_refused: bool,
}

impl<'a> Offers<'a> {
    /// Parses the field. `None` where it is missing or not entirely text: then nothing is known of it.
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        if lines.any(|line| line.to_str().is_err()) {
            return None;
        }
        let mut offers = Self { named: Vec::with_capacity(8), any: 0, any_refused: false };
        for member in list::members(headers, name) {
            let mut parts = list::split_at(member, b';');
            let name = parts.next().unwrap_or_default();
            let weight = weight(parts);
            match name {
                "*" => (offers.any, offers.any_refused) = (weight, weight == 0),
                // RFC 9110 §8.4.1.3: "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"".
                _ if name.eq_ignore_ascii_case("x-gzip") => offers.named.push(("gzip", weight)),
                _ => offers.named.push((name, weight)),
            }
        }
        Some(offers)
    }

    fn weight(&self, name: &str) -> Option<u16> {
        self.named.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight)
    }
}

/// Parses a weight, `q=0.5` (RFC 9110 §12.4.2); 1 where it is missing. An invalid one counts as 0: its meaning is not known.
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> u16 {
    let mut weights = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
    });
    weights.next().map_or(1000, Option::unwrap_or_default)
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = if digits { format!("{fraction:0<3}").parse().ok()? } else { return None };
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reduced(name: &HeaderName, lines: &[&str], to: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
        }
        let to: Vec<String> = to.iter().map(|&text| text.to_owned()).collect();
        if *name == ACCEPT_ENCODING {
            reduce_encoding(&mut headers, &to);
        } else {
            reduce_language(&mut headers, &to);
        }
        assert!(headers.get_all(name).iter().count() <= 1);
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    fn encoding(lines: &[&str]) -> String {
        reduced(&ACCEPT_ENCODING, lines, &["gzip", "br", "zstd"]).unwrap()
    }

    #[test]
    fn encodings_become_those_that_can_be_answered() {
        for (lines, expected) in [
            (&["gzip, deflate, br, zstd"][..], "br, gzip, zstd"),
            (&["GZIP;q=0.5", "deflate, Br; q=1.0"], "br, gzip"),
            (&["x-gzip"], "gzip"),
            (&["gzip;q=0, br"], "br"),
            (&["gzip;q=0.000"], "identity"),
            (&["deflate"], "identity"),
            (&[""], "identity"),
            (&["identity"], "identity"),
            (&["*"], "br, gzip, zstd"),
            (&["*;q=0.1, br;q=0"], "gzip, zstd"),
            (&["gzip, *;q=0"], "gzip, identity;q=0"),
            (&["gzip, identity;q=0"], "gzip, identity;q=0"),
            (&["identity;q=0.5, *;q=0"], "identity"),
            (&["*;q=0"], "identity;q=0"),
            (&["gzip;q=2, br;q=1.001, zstd;q=0.1234"], "identity"),
            (&["gzip;q=x, br;Q=1"], "br"),
        ] {
            assert_eq!(encoding(lines), expected, "{lines:?}");
        }
        assert_eq!(reduced(&ACCEPT_ENCODING, &[], &["gzip"]), None);
        assert_eq!(reduced(&ACCEPT_ENCODING, &["gzip"], &[]).as_deref(), Some("identity"));
    }

    fn language(line: &str, languages: &[&str]) -> String {
        reduced(&ACCEPT_LANGUAGE, &[line], languages).unwrap()
    }

    #[test]
    fn the_language_is_the_one_that_is_liked_best() {
        let languages = ["en", "de", "pt-BR"];
        for (line, expected) in [
            ("de, en;q=0.5", "de"),
            ("fr;q=0.9, EN;q=0.2, de;q=0.3", "de"),
            ("en, de", "en"),
            ("de, en", "de"),
            ("de-CH-1996, en;q=0.9", "de"),
            ("pt", "pt-BR"),
            ("pt-br", "pt-BR"),
            ("fr", "en"),
            ("fr, *;q=0.1", "en"),
            ("en;q=0, *", "de"),
            ("de;q=0, de-AT", "en"),
            ("", "en"),
            ("en;q=0, de;q=0, pt-br;q=0", "en"),
        ] {
            assert_eq!(language(line, &languages), expected, "{line}");
        }
        assert_eq!(language("fr, DE", &[]), "fr, DE", "as it came");
        assert_eq!(reduced(&ACCEPT_LANGUAGE, &[], &languages), None);
    }

    #[test]
    fn a_list_as_long_as_a_head_is_read() {
        let line = format!("{}de;q=0", "de-a,".repeat(25_000));
        assert_eq!(language(&line, &["en", "de"]), "en");
    }

    proptest! {
        #[test]
        fn no_line_panics_and_reducing_twice_is_reducing_once(line in "[ -~\\t]{0,40}", near in "((gzip|br|\\*|identity|de)(;q=[01](\\.[0-9]{0,4})?)?,? ?){0,5}") {
            for line in [line, near] {
                for name in [ACCEPT_ENCODING, ACCEPT_LANGUAGE] {
                    let Ok(value) = HeaderValue::from_str(&line) else { continue };
                    let to = ["gzip", "br", "de", "en"].map(str::to_owned);
                    let reduce = |headers: &mut HeaderMap| {
                        reduce_encoding(headers, &to);
                        reduce_language(headers, &to);
                    };
                    let mut headers: HeaderMap = [(name, value)].into_iter().collect();
                    reduce(&mut headers);
                    let once = headers.clone();
                    reduce(&mut headers);
                    prop_assert_eq!(once, headers);
                }
            }
        }

        /// The reduced field never asks for a coding that the client did not accept.
        #[test]
        fn nothing_is_accepted_that_the_client_refuses(line in "((gzip|br|zstd)(;q=(0|0\\.5|1))?, ?){0,4}") {
            let asked = encoding(&[&line]);
            let accepted: Vec<&str> = line.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
            for coding in asked.split(", ").filter(|coding| !coding.starts_with("identity")) {
                // The first mention of a coding counts.
                let first = accepted.iter().find(|one| one.split(';').next() == Some(coding));
                prop_assert!(first.is_some_and(|one| !one.ends_with("q=0")), "{} of {}", coding, line);
            }
        }
    }
}

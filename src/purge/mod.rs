//! Purging: what is purged, and how to tell whether a stored response was.
//!
//! A URL names one resource, whose key is dropped; a fetch under way for it cannot be stored any more, since
//! its generation is dropped as well. Tags, patterns, prefixes and paths of every host are written into the
//! [`ledger`], a short list that every lookup is checked against: one write purges any number of entries,
//! nothing has to be found or counted, and losing the ledger loses the entries rather than the purge.

mod apply;
mod book;
mod books;
mod globs;
pub mod ledger;
mod recent;
mod sweep;

pub use apply::{Purger, Report, Written};
pub use book::{Book, Change};
pub use books::Books;
pub use recent::{Recent, recent};
pub use sweep::Swept;

use crate::cache::key::{self, ResourceKey};
use crate::cache::tags::{self, MAX_TAG};
use serde::{Deserialize, Serialize};

/// The most targets in one purge.
pub const MAX_TARGETS: usize = 1000;
/// The longest target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;

/// What to purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Absolute URLs, or paths (with query) that begin with `/` and apply to every host.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Tags, compared as a whole.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Globs (`*`, `?`) over the whole URL.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Beginnings of URLs; those that begin with `/` apply to every host.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Cache groups (RFC 9875), each of one origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Makes entries stale rather than dropping them, so that the next request validates them.
    #[serde(default)]
    pub soft: bool,
}

/// A cache group of one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The origin, such as `https://example.com`; http and https are equivalent here.
    pub origin: String,
    /// The name of the group in `Cache-Groups`.
    pub group: String,
}

impl Group {
    /// Returns its tags for http and https: behind a proxy that terminates TLS, users see another scheme than Spindrift does.
    fn targets(&self) -> Result<[Target; 2], String> {
        let Target::Url(uri) = bounded(&self.origin).and_then(url)? else {
            return Err(format!("origin: expected https://host, found {:?}", self.origin));
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/")) {
            return Err(format!("origin: expected https://host without a path, found {:?}", self.origin));
        }
        Ok(["http", "https"].map(|scheme| {
            let key = ResourceKey::new(scheme, authority, "/", None);
            Target::Tag(tags::of_group(key.origin(), &self.group))
        }))
    }
}

/// One thing to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The resource with this absolute URL.
    Url(http::Uri),
    /// This path and query on every host.
    Path(String),
    /// Everything with this tag.
    Tag(String),
    /// Every URL this glob matches.
    Pattern(String),
    /// Every URL that begins with this.
    Prefix(String),
}

impl Purge {
    /// Returns the targets, checked.
    ///
    /// # Errors
    /// All problems found, each with the place of its target.
    pub fn targets(&self) -> Result<Vec<Target>, Vec<String>> {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        let lists: [(&str, &[String], Parse); 4] = [
            ("urls", &self.urls, url),
            ("tags", &self.tags, tag),
            ("patterns", &self.patterns, pattern),
            ("prefixes", &self.prefixes, prefix),
        ];
        for (list, texts, parse) in lists {
            for (at, text) in texts.iter().enumerate() {
                match bounded(text).and_then(parse) {
                    Ok(target) => found.push(target),
                    Err(problem) => problems.push(format!("{list}[{at}]: {problem}")),
                }
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            match group.targets() {
                Ok(targets) => found.extend(targets),
                Err(problem) => problems.push(format!("groups[{at}]: {problem}")),
            }
        }
        if found.is_empty() && problems.is_empty() {
            problems.push(
                "expected at least one of urls, tags, patterns, prefixes, groups, found none".to_owned(),
            );
        }
        if found.len() > MAX_TARGETS {
            problems.push(format!("expected at most {MAX_TARGETS} targets, found {}", found.len()));
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }
}

/// Parses one target of a list.
type Parse = fn(&str) -> Result<Target, String>;

fn bounded(text: &str) -> Result<&str, String> {
    match text.len() {
        0 => Err("expected a text that is not empty".to_owned()),
        length if length > MAX_TARGET => Err(format!("expected at most {MAX_TARGET} bytes, found {length}")),
        _ => Ok(text),
    }
}

fn url(text: &str) -> Result<Target, String> {
    if text.starts_with('/') {
        return plain(text).map(Target::Path);
    }
    let uri: http::Uri = text.parse().map_err(|_| absolute_expected(text))?;
    let absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    if absolute { Ok(Target::Url(uri)) } else { Err(absolute_expected(text)) }
}

fn absolute_expected(text: &str) -> String {
    format!("expected an http:// or https:// URL, or a path beginning with /, found {text:?}")
}

/// A tag that a field can have. Any other, such as a line read with its line end, would purge nothing.
fn tag(text: &str) -> Result<Target, String> {
    let is_around = text.trim_matches([' ', '\t']) != text;
    if is_around || text.len() > MAX_TAG || text.chars().any(|it| it.is_ascii_control() && it != '\t') {
        return Err(format!(
            "expected a tag of at most {MAX_TAG} bytes without surrounding blanks, found {text:?}"
        ));
    }
    Ok(Target::Tag(text.to_owned()))
}

/// A glob that can match a whole URL: the part before its first wildcard begins as a URL does.
fn pattern(text: &str) -> Result<Target, String> {
    let beginning = &text[..text.find(['*', '?']).unwrap_or(text.len())];
    if !["http://", "https://"].iter().any(|it| it.starts_with(beginning) || beginning.starts_with(it)) {
        return Err(format!(
            "expected a glob over the whole URL, beginning with http://, https:// or a wildcard, found {text:?}"
        ));
    }
    plain(text).map(|text| Target::Pattern(as_in_keys(&text)))
}

/// Returns the beginning of a URL with the host as it is in keys: in lower case, and without the default port of its scheme.
fn as_in_keys(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A wildcard may stand for the end of the host and for the path, where capitals count.
    let (authority, rest) = rest.split_at(rest.find(['/', '*', '?']).unwrap_or(rest.len()));
    // What may be the beginning of a longer port is none.
    let is_whole = rest.starts_with('/');
    let authority =
        if is_whole { key::authority(scheme, authority) } else { authority.to_ascii_lowercase().into() };
    format!("{scheme}://{authority}{rest}")
}

/// Checks that the text could be part of a URL.
fn plain(text: &str) -> Result<String, String> {
    if text.bytes().any(|byte| byte == b' ' || byte.is_ascii_control()) {
        return Err(format!(
            "expected no blanks and no control characters, which no URL has, found {text:?}"
        ));
    }
    Ok(text.to_owned())
}

fn prefix(text: &str) -> Result<Target, String> {
    if text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://") {
        plain(text).map(|text| Target::Prefix(as_in_keys(&text)))
    } else {
        Err(absolute_expected(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_spelled_as_in_keys() {
        for (given, kept) in [
            ("https://Shop.Example/Img/", "https://shop.example/Img/"),
            ("https://shop.example:443/img/", "https://shop.example/img/"),
            ("http://shop.example:443/", "http://shop.example:443/"),
            ("https://Shop.ex", "https://shop.ex"),
            ("https://shop.example:443", "https://shop.example:443"),
            ("/Img/", "/Img/"),
        ] {
            assert_eq!(prefix(given), Ok(Target::Prefix(kept.to_owned())));
        }
        for (given, kept) in [
            ("https://*.Example:443/A*", "https://*.Example:443/A*"),
            ("https://Shop.Example*Img/", "https://shop.example*Img/"),
            ("https://*Img/a", "https://*Img/a"),
            ("http://Shop.example:80/*", "http://shop.example/*"),
            ("*/Img/*", "*/Img/*"),
            ("http*://Shop.example/*", "http*://shop.example/*"),
        ] {
            assert_eq!(pattern(given), Ok(Target::Pattern(kept.to_owned())));
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let purge = Purge {
            urls: vec!["/ok".into(), "example.com/x".into(), String::new()],
            prefixes: vec!["ftp://x".into()],
            ..Purge::default()
        };
        let problems = purge.targets().unwrap_err();
        assert_eq!(problems.len(), 3);
        assert!(problems[0].starts_with("urls[1]: expected an http:// or https:// URL"), "{problems:?}");
        assert!(problems[1].starts_with("urls[2]: expected a text"), "{problems:?}");
        assert!(problems[2].starts_with("prefixes[0]:"), "{problems:?}");
    }

    #[test]
    fn a_group_is_of_one_origin_by_http_and_https() {
        let purge = |origin: &str| {
            let group = Group { origin: origin.to_owned(), group: "a b".to_owned() };
            Purge { groups: vec![group], ..Purge::default() }.targets()
        };
        let tag = |origin| Target::Tag(tags::of_group(origin, "a b"));
        assert_eq!(purge("HTTPS://H:443").unwrap(), [tag("http://h:443"), tag("https://h")]);
        assert_eq!(purge("http://h/").unwrap(), [tag("http://h"), tag("https://h")]);
        for wrong in ["", "h", "/a", "http://h/a", "http://h?x"] {
            assert!(purge(wrong).unwrap_err()[0].starts_with("groups[0]: "), "{wrong}");
        }
    }

    #[test]
    fn what_nothing_can_match_is_a_mistake() {
        let purge = |list: &str, text: &str| {
            let purge: Purge = serde_json::from_value(serde_json::json!({ list: [text] })).unwrap();
            purge.targets()
        };
        let long = "t".repeat(MAX_TAG + 1);
        for (list, text) in [
            ("tags", "sport\n"),
            ("tags", " sport"),
            ("tags", long.as_str()),
            ("urls", "/news\n"),
            ("urls", "http://h/a b"),
            ("prefixes", "/img/ "),
            ("patterns", "*.css\r"),
            ("patterns", "/img/*"),
            ("patterns", "www.example.com/*"),
            ("patterns", "ftp://h/?"),
        ] {
            assert!(
                purge(list, text).unwrap_err()[0].starts_with(&format!("{list}[0]: expected")),
                "{text:?}"
            );
        }
        for pattern in ["*", "*/img/*", "h*", "http?://h/*", "https://h/a", "?ttp://h/"] {
            assert_eq!(purge("patterns", pattern), Ok(vec![Target::Pattern(pattern.to_owned())]));
        }
        for tag in ["a b", "a\tb", "é", &long[1..]] {
            assert_eq!(purge("tags", tag), Ok(vec![Target::Tag(tag.to_owned())]));
        }
    }

    #[test]
    fn an_empty_purge_is_a_mistake() {
        assert!(Purge::default().targets().is_err());
        let many = Purge { tags: vec!["t".into(); MAX_TARGETS + 1], ..Purge::default() };
        assert!(many.targets().is_err());
    }
}

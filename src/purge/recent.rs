//! The last purges, read from the ledger.

use crate::cache::tags;
use crate::env::Env;
use crate::redis::{Arg, Client, Key, RedisError};
use serde::Serialize;

/// The target of a purge. Hard purges of URLs are not in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recent {
    /// `path`, `tag`, `group`, `pattern`, `prefix` or `url`.
    pub kind: &'static str,
    /// The target as text; for a group, its origin and name.
    pub target: String,
    /// Whether entries became stale rather than gone.
    pub soft: bool,
}

impl Recent {
    /// Parses a ledger entry; `None` for those that no operator writes.
    fn parse(member: &str) -> Option<Self> {
        let kind = match member.get(..1)? {
            "p" => "path",
            "t" => "tag",
            "g" => "pattern",
            "x" => "prefix",
            "u" | "q" => "url",
            _ => return None,
        };
        let (soft, target) = (member.get(1..2)? == "s", member.get(2..)?);
        let group = tags::group_of(target).filter(|_| kind == "tag");
        let (kind, target) = match group {
            Some((origin, name)) => ("group", format!("{origin} {name}")),
            None => (kind, target.to_owned()),
        };
        Some(Self { kind, target, soft })
    }
}

/// Returns the targets of the last purges, newest first, at most `count`, from the entries of a ledger.
///
/// # Errors
/// [`RedisError`].
pub async fn recent<E: Env>(redis: &Client<E>, entries: &Key, count: u32) -> Result<Vec<Recent>, RedisError> {
    let last = i64::from(count) - 1;
    let arguments = vec![Arg::from(entries), Arg::Int(0), Arg::Int(last)];
    let mut found = Vec::new();
    for member in redis.call("ZREVRANGE", arguments).await? {
        let member = member.bytes()?.unwrap_or_default();
        found.extend(Recent::parse(&String::from_utf8_lossy(&member)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Target, ledger};
    use super::*;

    #[test]
    fn what_the_ledger_has_is_read_again() {
        for (target, kind, text) in [
            (Target::Tag("news".to_owned()), "tag", "news"),
            (Target::Tag(tags::of_group("https://h", "a b")), "group", "https://h a b"),
            (Target::Path("/a?b".to_owned()), "path", "/a?b"),
            (Target::Pattern("*.css".to_owned()), "pattern", "*.css"),
            (Target::Prefix("/ä".to_owned()), "prefix", "/ä"),
        ] {
            for soft in [false, true] {
                let member = ledger::member(&target, soft).unwrap();
                let expected = Recent { kind, target: text.to_owned(), soft };
                assert_eq!(Recent::parse(&member), Some(expected));
            }
        }
        assert_eq!(Recent::parse(&ledger::soft_url("https://h/a")).unwrap().kind, "url");
        for other in ["", "t", "khuser:*", "ä"] {
            assert_eq!(Recent::parse(other), None, "{other}");
        }
    }
}

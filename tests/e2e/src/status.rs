//! `Cache-Status` (RFC 9211), read strictly: a structured field list (RFC 9651).

/// One member of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// The cache's name.
    pub cache: String,
    parameters: Vec<(String, Option<String>)>,
}

impl CacheStatus {
    /// The last member, that of the cache closest to the client; `None` if the field is not valid in RFC 9211.
    #[must_use]
    pub fn parse_last(field: &str) -> Option<Self> {
        // None of our values is a quoted string, so every comma and every semicolon is a separator.
        let members: Option<Vec<_>> = field.split(',').map(|member| Self::parse(member.trim())).collect();
        members?.pop()
    }

    fn parse(member: &str) -> Option<Self> {
        let mut parts = member.split(';').map(str::trim);
        let cache = parts.next().filter(|name| is_token(name))?.to_owned();
        let parameters = parts
            .map(|part| match part.split_once('=') {
                None => is_key(part).then(|| (part.to_owned(), None)),
                Some((key, value)) => (is_key(key) && (is_token(value) || value.parse::<i64>().is_ok()))
                    .then(|| (key.to_owned(), Some(value.to_owned()))),
            })
            .collect::<Option<Vec<_>>>()?;
        let status = Self { cache, parameters };
        status.is_sound().then_some(status)
    }

    /// The rules of RFC 9211 §2 for its parameters: `hit` and `fwd` exclude each other, `ttl` and `fwd-status` are
    /// integers, `fwd` is a registered token.
    fn is_sound(&self) -> bool {
        const FORWARD: [&str; 8] =
            ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"];
        let integer = |key| self.value(key).is_none_or(|value| value.parse::<i64>().is_ok());
        !(self.is_hit() && self.forward().is_some())
            && self.forward().is_none_or(|forward| FORWARD.contains(&forward))
            && integer("ttl")
            && integer("fwd-status")
            && ["hit", "stored", "collapsed"].iter().all(|flag| self.value(flag).is_none())
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == key)?.1.as_deref()
    }

    fn flag(&self, key: &str) -> bool {
        self.parameters.iter().any(|(found, _)| found == key)
    }

    /// Answered from the cache.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.flag("hit")
    }

    /// Whether the response from the origin is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.flag("stored")
    }

    /// Why the request went to the origin.
    #[must_use]
    pub fn forward(&self) -> Option<&str> {
        self.value("fwd")
    }

    /// The origin's status code.
    #[must_use]
    pub fn forward_status(&self) -> Option<&str> {
        self.value("fwd-status")
    }

    /// Seconds of freshness left.
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        self.value("ttl")?.parse().ok()
    }

    /// The detail.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.value("detail")
    }
}

fn is_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
}

fn is_key(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::CacheStatus;

    #[test]
    fn the_last_member_counts_and_must_be_sound() {
        let status =
            CacheStatus::parse_last("origin; hit, spindrift; fwd=stale; fwd-status=304; ttl=-5").unwrap();
        assert_eq!(
            (status.cache.as_str(), status.forward(), status.ttl()),
            ("spindrift", Some("stale"), Some(-5))
        );
        for bad in ["", "x; hit; fwd=miss", "x; fwd=nonsense", "x; ttl=a", "x;; hit", "x; hit=1", "1x; hit"] {
            assert_eq!(CacheStatus::parse_last(bad), None, "{bad}");
        }
    }
}

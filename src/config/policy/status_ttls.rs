//! Freshness lifetimes by status code.

use crate::config::table::Table;
use crate::config::value::{seconds, shown};
use http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// Lifetimes by status code, such as `404`, or by class, such as `5xx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusTtls {
    exact: BTreeMap<u16, Duration>,
    /// By the first digit.
    classes: BTreeMap<u16, Duration>,
}

impl StatusTtls {
    /// Returns the lifetime for this status, which takes precedence over that for its class.
    pub(super) fn get(&self, status: StatusCode) -> Option<Duration> {
        let status = status.as_u16();
        self.exact.get(&status).or_else(|| self.classes.get(&(status / 100))).copied()
    }

    /// Reads `ttl_by_status` of `table`, if present.
    pub(super) fn read(table: &mut Table<'_, '_>, max_ttl: Duration) -> Option<Self> {
        let inner = table.table("ttl_by_status")?;
        let mut ttls = Self::default();
        for (key, value) in inner.entries() {
            let time = seconds(Duration::ZERO..=max_ttl)(value.get_ref());
            let time = inner.check(key, value, time).unwrap_or_default();
            match parse_status(key) {
                Some(Status::Exact(status)) => ttls.exact.insert(status, time),
                Some(Status::Class(class)) => ttls.classes.insert(class, time),
                None => {
                    let message = "expected a final status like 404 or a class like 5xx as key, found";
                    inner.fail_key(key, format!("{message} {}", shown(key)));
                    None
                }
            };
        }
        Some(ttls)
    }
}

enum Status {
    Exact(u16),
    Class(u16),
}

/// Parses `404` or `4xx`. Not 1xx, which is not final, and not 304, which is never stored.
fn parse_status(key: &str) -> Option<Status> {
    let (first, rest) = key.split_at_checked(1)?;
    let class = first.parse().ok().filter(|class| (2..=5).contains(class))?;
    match rest {
        "xx" => Some(Status::Class(class)),
        "04" if class == 3 => None,
        _ if rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Status::Exact(class * 100 + rest.parse::<u16>().ok()?))
        }
        _ => None,
    }
}

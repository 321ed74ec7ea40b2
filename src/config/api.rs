//! `[api]`: who may use the management API, from which pages, and how often.

use super::limit::{self, Limit};
use super::table::Table;
use super::topics::allowed_origin;
use super::value::{boolean, integer, string};
use std::rc::Rc;

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Whether the dashboard is served. Default true.
    pub dashboard: bool,
    /// Origins (RFC 6454) whose pages may make cross-origin requests to the API; `*` is any. Default none.
    pub allow_origins: Vec<String>,
    /// How many wrong tokens a client address may send in a minute; 0 is any number. Default 100.
    pub failures: u32,
    /// The limits of all requests to the API except the health checks. Default none.
    pub limits: Vec<Rc<Limit>>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { dashboard: true, allow_origins: Vec::new(), failures: 100, limits: Vec::new() }
    }
}

impl ApiConfig {
    pub(super) fn read(mut table: Table<'_, '_>, limits: &[Rc<Limit>]) -> Self {
        let default = Self::default();
        let origin = "\"*\", or an origin like \"https://www.example.com\"";
        let failures = table.read("failures", integer(0..=1_000_000));
        let config = Self {
            dashboard: table.read("dashboard", boolean).unwrap_or(default.dashboard),
            allow_origins: table
                .strings("allow_origins", string(origin, allowed_origin))
                .unwrap_or(default.allow_origins),
            failures: failures.and_then(|count| u32::try_from(count).ok()).unwrap_or(default.failures),
            limits: limit::read_names(&mut table, limits, false).unwrap_or(default.limits),
        };
        table.finish(|_| None);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let text = r#"
            [api]
            dashboard = false
            allow_origins = ["https://ops.example.com", "*"]
            failures = 0
            limits = ["api"]
            [[limit]]
            name = "api"
            limit = 5
            period = "1s"
        "#;
        let api = Config::parse(text, "f").unwrap().api;
        assert_eq!((api.dashboard, api.failures, api.allow_origins.len()), (false, 0, 2));
        assert_eq!(api.limits[0].policy.name(), "api");
        assert_eq!(Config::parse("[api]", "f").unwrap().api, ApiConfig::default());
    }

    #[test]
    fn the_manual_names_every_key() {
        let manual = include_str!("../../docs/configuration.md");
        let unknown = Config::parse("[api]\nx = 1", "f").unwrap_err().to_string();
        let (_, keys) = unknown.split_once("expected one of: ").unwrap();
        let (_, section) = manual.split_once("## `[api]`").unwrap();
        for key in keys.split(", ") {
            assert!(section.contains(&format!("| `{key}` |")), "{key} is missing in the manual");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (line, expected) in [
            ("failures = -1", "failures: expected a whole number from 0 to 1000000"),
            ("dashboard = 1", "dashboard: expected true or false"),
            ("allow_origins = [\"x\"]", "allow_origins[0]: expected \"*\", or an origin"),
            ("limits = [\"x\"]", "limits[0]: there is no [[limit]] \"x\""),
        ] {
            let found = Config::parse(&format!("[api]\n{line}"), "f").unwrap_err().to_string();
            assert!(found.contains(&format!("api.{expected}")), "{found}");
        }
    }
}

//! Details of HTTP that a route may choose.

use super::table::Table;
use super::value::boolean;

/// Choices for the requests and responses of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Whether a client may demand that a fresh response be validated, by `no-cache`, `max-age`, `min-fresh` or
    /// `Pragma`. RFC 9111 §5.2.1 leaves it to the cache. Default true.
    pub client_revalidation: bool,
    /// Whether the response to a POST may answer a later GET (RFC 9110 §9.3.3). Default false: it costs every POST two
    /// round trips to Redis.
    pub store_post: bool,
    /// Whether `No-Vary-Search` is followed. Default false: the first URL with a query on a path that is new to an instance
    /// costs more than one round trip to Redis.
    pub no_vary_search: bool,
}

impl Default for Semantics {
    fn default() -> Self {
        Self { client_revalidation: true, store_post: false, no_vary_search: false }
    }
}

/// The keys of these choices, in the table of a policy.
pub(super) const KEYS: [&str; 3] = ["client_revalidation", "store_post", "no_vary_search"];

impl Semantics {
    /// Reads the keys of `table` over `base`.
    pub(super) fn read(table: &mut Table<'_, '_>, base: Self) -> Self {
        let mut read = |key, base| table.read(key, boolean).unwrap_or(base);
        Self {
            client_revalidation: read("client_revalidation", base.client_revalidation),
            store_post: read("store_post", base.store_post),
            no_vary_search: read("no_vary_search", base.no_vary_search),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RoutePolicy};
    use super::*;

    #[test]
    fn a_route_may_choose_otherwise_than_all() {
        let text = "[cache]\nclient_revalidation = false\nstore_post = true\n[[route]]\npath = \"/a\"\n\
                    cache = { store_post = false, no_vary_search = true }";
        let config = Config::parse(text, "f").unwrap();
        let chosen = |path| match &config.route("h", path).policy {
            RoutePolicy::Cache(policy) => policy.semantics,
            RoutePolicy::Bypass => panic!("bypass"),
        };
        assert_eq!(
            chosen("/a"),
            Semantics { client_revalidation: false, store_post: false, no_vary_search: true }
        );
        assert_eq!(
            chosen("/"),
            Semantics { client_revalidation: false, store_post: true, no_vary_search: false }
        );
    }
}

//! Which trigger answers which path.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The destination of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The component with this id.
    Component(String),
    /// The fixed response of the HTTP trigger with this index.
    Fixed(usize),
}

#[derive(Clone, Debug)]
struct Target {
    destination: Destination,
    /// As the manifest has it.
    raw: String,
    /// With a leading and without a trailing slash.
    normal: String,
}

/// All routes of the app. Exact segments precede `:name`, and these `/...`, from the left.
#[derive(Debug, Default)]
pub(crate) struct Router {
    routes: routefinder::Router<Target>,
}

/// A route that matched, and what it captured.
#[derive(Debug)]
pub(crate) struct RouteMatch {
    /// What answers the request.
    pub(crate) destination: Destination,
    /// The route as the manifest has it.
    pub(crate) raw: String,
    /// The route with a leading and without a trailing slash.
    pub(crate) normal: String,
    /// The text that a trailing `/...` matched.
    pub(crate) rest: String,
    /// The text that each `:name` matched; of two with the same name, the last.
    pub(crate) names: BTreeMap<String, String>,
}

impl Router {
    /// Makes the router. Of routes with the same text the last is used, in the place of the first, as in Spin.
    ///
    /// # Errors
    /// See [`Router::add`].
    pub(crate) fn new<'a>(routes: impl IntoIterator<Item = (&'a str, Destination)>) -> Result<Self, String> {
        let mut different: Vec<(&str, Destination)> = Vec::new();
        for (raw, destination) in routes {
            match different.iter_mut().find(|(other, _)| *other == raw) {
                Some((_, earlier)) => *earlier = destination,
                None => different.push((raw, destination)),
            }
        }
        let mut router = Self::default();
        different.into_iter().try_for_each(|(raw, destination)| router.add(raw, destination))?;
        Ok(router)
    }

    /// Adds a route; of two with the same meaning, such as `/a` and `/a/`, the earlier is used.
    ///
    /// # Errors
    /// A route with `...` anywhere but at the end, or with an empty name.
    pub(super) fn add(&mut self, raw: &str, destination: Destination) -> Result<(), String> {
        let absolute = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
        let normal = absolute.strip_suffix('/').unwrap_or(&absolute).to_owned();
        let spec = match normal.strip_suffix("/...") {
            Some(prefix) => format!("{prefix}/*"),
            None => normal.clone(),
        };
        let target = Target { destination, raw: raw.to_owned(), normal };
        self.routes.add(spec.as_str(), target).map_err(|e| format!("route {raw:?}: {e}"))
    }

    /// Returns the best match for `path`, which begins with `/` and has no query.
    pub(crate) fn find(&self, path: &str) -> Option<RouteMatch> {
        let found = self.routes.best_match(path)?;
        let captures = found.captures();
        let target = found.handler();
        Some(RouteMatch {
            destination: target.destination.clone(),
            raw: target.raw.clone(),
            normal: target.normal.clone(),
            rest: captures.wildcard().map(|rest| with_slashes(rest, path).into_owned()).unwrap_or_default(),
            names: captures.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }

    /// Returns every route with its destination, for the list printed at the start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, &Destination)> {
        self.routes.iter().map(|(_, target)| {
            let shown = match target.normal.strip_suffix("/...") {
                Some(prefix) => format!("{} (wildcard)", if prefix.is_empty() { "/" } else { prefix }),
                None if target.normal.is_empty() => "/".to_owned(),
                None => target.normal.clone(),
            };
            (shown, &target.destination)
        })
    }
}

impl RouteMatch {
    /// Returns the match of a request from inside the app: `/...` for the component that it names.
    pub(crate) fn chained(component: &str, path: &str) -> Self {
        Self {
            destination: Destination::Component(component.to_owned()),
            raw: "/...".to_owned(),
            normal: "/...".to_owned(),
            rest: path.to_owned(),
            names: BTreeMap::new(),
        }
    }

    /// Returns the route as it is in the manifest, without a trailing `/...`.
    pub(crate) fn prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }
}

/// The router drops the slashes around the text that a wildcard matched; components are promised them.
fn with_slashes<'a>(rest: &'a str, path: &str) -> Cow<'a, str> {
    match (rest.is_empty(), path.ends_with('/')) {
        (true, false) => rest.into(),
        (true, true) => "/".into(),
        (false, false) => format!("/{rest}").into(),
        (false, true) => format!("/{rest}/").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Router {
        let mut router = Router::default();
        for route in routes {
            router.add(route, Destination::Component((*route).to_owned())).unwrap();
        }
        router
    }

    fn raw(router: &Router, path: &str) -> Option<String> {
        router.find(path).map(|it| it.raw)
    }

    #[test]
    fn the_most_exact_route_wins() {
        let router = router(&["/...", "/a/...", "/a/b", "/a/:id", "/a/b/c/..."]);
        assert_eq!(raw(&router, "/").unwrap(), "/...");
        assert_eq!(raw(&router, "/zz/y").unwrap(), "/...");
        assert_eq!(raw(&router, "/a").unwrap(), "/a/...");
        assert_eq!(raw(&router, "/a/b").unwrap(), "/a/b");
        assert_eq!(raw(&router, "/a/x").unwrap(), "/a/:id");
        assert_eq!(raw(&router, "/a/x/y").unwrap(), "/a/...");
        assert_eq!(raw(&router, "/a/b/c/d").unwrap(), "/a/b/c/...");
    }

    #[test]
    fn of_routes_written_alike_the_last_is_used_where_the_first_stands() {
        let routes = ["/a", "/a/", "/a", "/b/", "/b"].into_iter().zip(0..);
        let router = Router::new(routes.map(|(raw, index)| (raw, Destination::Fixed(index)))).unwrap();
        let found = |path: &str| router.find(path).unwrap().destination;
        assert_eq!((found("/a"), found("/a/")), (Destination::Fixed(2), Destination::Fixed(2)));
        assert_eq!(found("/b"), Destination::Fixed(3));
    }

    #[test]
    fn an_exact_route_matches_nothing_below_it() {
        let router = router(&["/a", "/b/"]);
        assert!(raw(&router, "/a").is_some() && raw(&router, "/a/").is_some());
        assert!(raw(&router, "/a/x").is_none() && raw(&router, "/").is_none());
        assert!(raw(&router, "/b").is_some());
    }

    #[test]
    fn wildcards_keep_their_slashes() {
        let router = router(&["/a/..."]);
        let rest = |path: &str| router.find(path).unwrap().rest;
        assert_eq!(rest("/a"), "");
        assert_eq!(rest("/a/"), "/");
        assert_eq!(rest("/a/b/c"), "/b/c");
        assert_eq!(rest("/a/b/"), "/b/");
        assert_eq!(router.find("/a/b").unwrap().prefix(), "/a");
    }

    #[test]
    fn names_are_captured() {
        let found = router(&["/u/:user/p/:post_id/..."]).find("/u/7/p/x/y").unwrap();
        let expected = [("user", "7"), ("post_id", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(found.names, BTreeMap::from(expected));
        assert_eq!(found.rest, "/y");
        let twice = router(&["/:a/:a"]).find("/x/y").unwrap().names;
        assert_eq!(twice, BTreeMap::from([("a".to_owned(), "y".to_owned())]));
    }

    #[test]
    fn a_chained_request_matches_everything() {
        let found = RouteMatch::chained("c", "/x/y");
        assert_eq!((found.raw.as_str(), found.prefix(), found.rest.as_str()), ("/...", "", "/x/y"));
    }
}

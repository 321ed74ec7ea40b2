//! The table of paths and their methods: nothing else is served, and the description has the same.

/// A path below `/_spindrift/`, and its methods. `{}` is any segment, `{*}` one or more.
type Route = (&'static str, &'static [&'static str]);

/// Every route.
const ROUTES: &[Route] = &[
    ("", &["GET"]),
    ("health", &["GET"]),
    ("health/redis", &["GET"]),
    ("stats", &["GET"]),
    ("metrics", &["GET"]),
    ("openapi.json", &["GET"]),
    ("v1/purge", &["POST"]),
    ("v1/warm", &["POST"]),
    ("v1/limits", &["GET"]),
    ("v1/limits/check", &["POST"]),
    ("v1/limits/peek", &["POST"]),
    ("v1/limits/{}", &["DELETE"]),
    ("v1/limits/{}/check", &["POST"]),
    ("v1/limits/{}/peek", &["POST"]),
    ("v1/limits/{}/refund", &["POST"]),
    ("v1/limits/{}/penalty", &["POST"]),
    ("v1/sessions", &["POST"]),
    ("v1/sessions:verify", &["POST"]),
    ("v1/sessions/{}", &["DELETE", "GET", "PATCH", "PUT"]),
    ("v1/sessions/{}/rotate", &["POST"]),
    ("v1/users/{}/sessions", &["DELETE", "GET"]),
    ("v1/cache", &["DELETE"]),
    ("v1/cache/{*}", &["DELETE", "GET", "PUT"]),
    ("v1/cache:batch", &["POST"]),
    ("v1/locks/{}", &["DELETE", "GET", "POST", "PUT"]),
    ("v1/fences/{}/check", &["POST"]),
    ("v1/channels/{}", &["GET", "POST"]),
    ("v1/channels:token", &["POST"]),
    ("v1/queues", &["GET"]),
    ("v1/queues:tick", &["POST"]),
    ("v1/queues/{}", &["GET"]),
    ("v1/queues/{}/jobs", &["DELETE", "POST"]),
    ("v1/queues/{}/claim", &["POST"]),
    ("v1/queues/{}/dequeue", &["POST"]),
    ("v1/queues/{}/pause", &["POST"]),
    ("v1/queues/{}/resume", &["POST"]),
    ("v1/queues/{}/jobs/{}", &["DELETE", "GET"]),
    ("v1/queues/{}/jobs/{}/ack", &["POST"]),
    ("v1/queues/{}/jobs/{}/retry", &["POST"]),
    ("v1/queues/{}/jobs/{}/release", &["POST"]),
    ("v1/queues/{}/jobs/{}/bury", &["POST"]),
    ("v1/queues/{}/jobs/{}/extend", &["POST"]),
    ("v1/queues/{}/dead", &["DELETE", "GET"]),
    ("v1/queues/{}/dead/replay", &["POST"]),
    ("v1/queues/{}/dead/{}", &["DELETE"]),
    ("v1/queues/{}/dead/{}/replay", &["POST"]),
    ("v1/queues/{}/schedules", &["GET"]),
    ("v1/queues/{}/schedules/{}", &["DELETE", "GET", "PUT"]),
];

/// Returns the methods of a path in alphabetical order, including `HEAD` and `OPTIONS`; none for an unknown path.
pub(super) fn methods(segments: &[&str]) -> Vec<&'static str> {
    let routes = ROUTES.iter().filter(|(path, _)| matches(path, segments));
    let mut all: Vec<&str> = routes.flat_map(|(_, methods)| methods.iter().copied()).collect();
    if all.is_empty() {
        return all;
    }
    if all.contains(&"GET") {
        all.push("HEAD");
    }
    all.push("OPTIONS");
    all.sort_unstable();
    all.dedup();
    all
}

fn matches(path: &str, segments: &[&str]) -> bool {
    let mut rest = segments.iter();
    for wanted in path.split('/') {
        let Some(found) = rest.next() else { return false };
        match wanted {
            "{*}" => return true,
            "{}" => {}
            _ if wanted == *found => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_path_has_the_methods_of_all_routes_that_match_it() {
        for (path, expected) in [
            ("health", "GET, HEAD, OPTIONS"),
            ("", "GET, HEAD, OPTIONS"),
            ("v1/purge", "OPTIONS, POST"),
            ("v1/limits/check", "DELETE, OPTIONS, POST"),
            ("v1/limits/x", "DELETE, OPTIONS"),
            ("v1/cache/a/b", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("v1/cache/", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("v1/queues/", "GET, HEAD, OPTIONS"),
            ("v1/queues/q/dead/replay", "DELETE, OPTIONS, POST"),
            ("v1/queues/q/jobs/x/steal", ""),
            ("health/", ""),
            ("v1", ""),
            ("v2/purge", ""),
        ] {
            let segments: Vec<&str> = path.split('/').collect();
            assert_eq!(methods(&segments).join(", "), expected, "{path}");
        }
    }

    /// HEAD and OPTIONS are served without being listed; the description has them only where they are special.
    #[test]
    fn the_description_has_the_same_routes() {
        let described = super::super::openapi::assemble();
        let mut routes = BTreeSet::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            let path = path.strip_prefix("/_spindrift/").unwrap();
            let path: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
            let methods = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
            for method in methods.filter(|name| !["head", "options"].contains(&name.as_str())) {
                routes.insert((path.join("/"), method.to_uppercase()));
            }
        }
        let served = ROUTES.iter().flat_map(|(path, methods)| {
            methods.iter().map(|method| (path.replace("{*}", "{}"), (*method).to_owned()))
        });
        assert_eq!(served.collect::<BTreeSet<_>>(), routes);
    }
}

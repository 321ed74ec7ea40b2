//! What several of the tests need.

use spindrift_e2e::{Headers, Origin};

/// The two ways an instance lives that matter: for one request, and for many at once.
pub(crate) const EACH_REUSE: [(usize, usize); 2] = [(1, 1), (128, 16)];

/// The names of fields that begin so.
pub(crate) fn beginning_with<'a>(headers: &'a Headers, beginning: &str) -> Vec<&'a str> {
    headers.names().into_iter().filter(|name| name.to_ascii_lowercase().starts_with(beginning)).collect()
}

/// Method and target of every request, as `GET /a`.
pub(crate) fn names(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|it| format!("{} {}", it.method, it.target)).collect()
}

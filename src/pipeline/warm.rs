//! Warming: fetching URLs into the cache before anybody asks for them.

use super::{Incoming, Plan, cached, plan, session};
use crate::app::App;
use crate::body::Body;
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::field::spin;
use crate::role::Role;
use crate::time::Timestamp;
use futures_util::StreamExt as _;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The most URLs in one request or message.
pub const MAX_URLS: usize = 1000;

/// How many URLs are fetched at once.
const AT_ONCE: usize = 8;

/// The codings that browsers accept, so that the variant is fetched that they are given.
const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// What to warm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// Absolute URLs, as clients request them.
    pub urls: Vec<String>,
}

/// The result for one URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warmed {
    /// The URL.
    pub url: String,
    /// The status code of the response.
    pub status: u16,
    /// Whether it is stored now, by this warm-up or from before.
    pub stored: bool,
    /// Why it is not stored, as one token, or another remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
}

impl Warm {
    /// Returns the URLs, checked.
    ///
    /// # Errors
    /// All problems found, each with its place.
    pub fn targets(&self) -> Result<Vec<Uri>, Vec<String>> {
        let parsed = self.urls.iter().enumerate().map(|(at, text)| {
            let uri: Option<Uri> = text.parse().ok();
            let absolute =
                |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
            uri.filter(absolute)
                .ok_or_else(|| format!("urls[{at}]: expected an http:// or https:// URL, found {text:?}"))
        });
        let (targets, mut problems): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
        let mut problems: Vec<String> = problems.drain(..).filter_map(Result::err).collect();
        if self.urls.is_empty() || self.urls.len() > MAX_URLS {
            problems.push(format!("expected 1 to {MAX_URLS} urls, found {}", self.urls.len()));
        }
        if problems.is_empty() { Ok(targets.into_iter().flatten().collect()) } else { Err(problems) }
    }
}

/// Fetches what is not stored yet, several URLs at once, and returns the results in the order of the URLs.
pub async fn warm<E: Env>(app: &Rc<App<E>>, targets: Vec<Uri>) -> Vec<Warmed> {
    let each = targets.into_iter().map(|uri| one(app, uri));
    futures_util::stream::iter(each).buffered(AT_ONCE).collect().await
}

/// Like [`warm`], but begins no fetch at `until` or later. Returns the URLs that are left, too.
pub async fn warm_until<E: Env>(
    app: &Rc<App<E>>,
    targets: Vec<Uri>,
    until: Timestamp,
) -> (Vec<Warmed>, Vec<Uri>) {
    let each = targets
        .into_iter()
        .map(async |uri| if app.env.now() < until { Ok(one(app, uri).await) } else { Err(uri) });
    let all: Vec<_> = futures_util::stream::iter(each).buffered(AT_ONCE).collect().await;
    let (mut warmed, mut left) = (Vec::new(), Vec::new());
    for result in all {
        match result {
            Ok(one) => warmed.push(one),
            Err(uri) => left.push(uri),
        }
    }
    (warmed, left)
}

async fn one<E: Env>(app: &Rc<App<E>>, uri: Uri) -> Warmed {
    let url = uri.to_string();
    let (method, body) = (Method::GET, Body::Empty);
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED))]);
    let for_next = match app.role {
        Role::Gateway => HeaderMap::new(),
        Role::Middleware => spin::inside(&uri),
    };
    let (received, client, visitor, admission, visit, range) = (None, None, None, Rc::default(), None, None);
    let mut incoming =
        Incoming { method, uri, received, headers, body, client, visitor, admission, visit, for_next, range };
    let route = app.config.route(incoming.authority(), incoming.uri.path());
    incoming.visit = session::of_nobody(app, route, &incoming.uri);
    let (response, status) = match plan(app, &route.policy, &incoming) {
        // What will not be stored need not be fetched.
        Plan::Pass(status) => (None, status),
        Plan::Post { .. } => (None, CacheStatus::default()),
        Plan::Cache { shared, policy, key } => {
            let answer = cached(app, shared, policy, key, incoming).await;
            (Some(answer.response), answer.status)
        }
    };
    let code = response.as_ref().map_or(StatusCode::OK, http::Response::status).as_u16();
    let whole = match response {
        Some(response) => read(response.into_body()).await,
        None => false,
    };
    let CacheStatus { hit, stored, collapsed, detail, .. } = status;
    let detail = detail.map(Detail::as_str);
    Warmed { url, status: code, stored: whole && (hit || stored || collapsed), detail }
}

/// Reads a body to its end, so that all of it is stored. `false` when it ends early.
async fn read(mut body: Body) -> bool {
    while let Some(piece) = body.chunk().await {
        if piece.is_err() {
            return false;
        }
    }
    true
}

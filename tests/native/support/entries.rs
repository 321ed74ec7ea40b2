//! Resources, selecting fields and entries, made without the request path.

use super::Instance;
use super::env::TestEnv;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use spindrift::cache::entry::{Content, Entry, Policy};
use spindrift::cache::fill::Fill;
use spindrift::cache::key::ResourceKey;
use spindrift::cache::lease::FillLease;
use spindrift::cache::lookup::Lookup;
use spindrift::cache::selecting::Selecting;
use spindrift::config::KeyRules;
use spindrift::env::Clock as _;
use spindrift::time::DeltaSeconds;
use std::rc::Rc;
use std::time::Duration;

/// The key of `http://h` and this path.
pub(crate) fn resource(path: &str) -> ResourceKey {
    ResourceKey::new("http", "h", path, None)
}

/// The fields of a request that select a response.
pub(crate) struct By {
    headers: HeaderMap,
    rules: KeyRules,
}

impl By {
    /// The selecting fields.
    pub(crate) const fn selecting(&self) -> Selecting<'_> {
        Selecting::of(&self.headers, &self.rules)
    }

    /// The values of the fields in `spec`.
    pub(crate) fn values(&self, spec: &str) -> String {
        self.selecting().values(spec)
    }
}

/// The selecting fields of a request with these fields.
pub(crate) fn selecting(fields: &[(&'static str, &str)]) -> By {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    By { headers, rules: KeyRules::default() }
}

/// An entry that `lease` may store: fresh for a minute, selected by `selecting` under `spec`.
pub(crate) fn entry(env: &TestEnv, lease: &FillLease, spec: &str, by: &By, content: &str) -> Entry {
    let policy = Policy {
        lifetime: DeltaSeconds::from_secs(60),
        always_validate: false,
        forbids_stale: false,
        immutable: false,
        stale_if_error: DeltaSeconds::ZERO,
        stale_while_revalidate: DeltaSeconds::ZERO,
    };
    Entry {
        key: lease.resource.text().to_owned(),
        selecting: by.values(spec),
        received: env.now(),
        initial_age: 0,
        policy,
        ledger: lease.ledger().clone(),
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        tags: vec![],
        content: Content::Inline(Bytes::copy_from_slice(content.as_bytes())),
    }
}

impl Instance {
    /// Looks up `path` without selecting fields.
    pub(crate) async fn find(&self, path: &str) -> Lookup {
        self.find_by(path, &selecting(&[])).await
    }

    /// Looks up `path` for a request with these fields.
    pub(crate) async fn find_by(&self, path: &str, by: &By) -> Lookup {
        self.store().lookup(&resource(path), by.selecting()).await.unwrap()
    }

    /// Begins a fetch of `path`.
    pub(crate) async fn begin(&self, path: &str) -> FillLease {
        self.store().begin(&resource(path), "", None, "", Duration::ZERO).await.unwrap().lease
    }

    /// What is stored for `path`, as text.
    pub(crate) async fn content(&self, path: &str) -> Option<String> {
        content(self.find(path).await)
    }

    /// What is stored for `path` and these fields, as text.
    pub(crate) async fn content_by(&self, path: &str, by: &By) -> Option<String> {
        content(self.find_by(path, by).await)
    }

    /// Stores `text` under `lease`, for requests without selecting fields.
    pub(crate) async fn keep(&self, lease: &FillLease, text: &str) -> bool {
        self.keep_by(lease, "", &selecting(&[]), text).await
    }

    /// Stores `text` under `lease`, varying on `spec`.
    pub(crate) async fn keep_by(&self, lease: &FillLease, spec: &str, by: &By, text: &str) -> bool {
        let entry = entry(&self.env, lease, spec, by, text);
        self.store().store(lease, spec, &entry, self.env.now()).await.unwrap()
    }

    /// Stores `text` at `path` with these tags.
    pub(crate) async fn put(&self, path: &str, tags: &[&str], text: &str) {
        let lease = self.begin(path).await;
        let mut entry = entry(&self.env, &lease, "", &selecting(&[]), text);
        entry.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        assert!(self.store().store(&lease, "", &entry, self.env.now()).await.unwrap());
    }

    /// Stores a body of any size at `path`, in pieces where it is large.
    pub(crate) async fn put_body(&self, path: &str, body: Bytes) {
        self.put_body_by(path, "", &selecting(&[]), body).await;
    }

    /// The same, varying on `spec`.
    pub(crate) async fn put_body_by(&self, path: &str, spec: &str, by: &By, body: Bytes) {
        let lease = self.begin(path).await;
        let entry = entry(&self.env, &lease, spec, by, "");
        let length = body.len() as u64;
        let fill = Fill::begin(Rc::clone(self.store()), lease, spec.to_owned(), entry, Some(length), length);
        fill.ok().unwrap().pass(body.into()).await;
        self.env.settle().await;
    }
}

fn content(found: Lookup) -> Option<String> {
    match found.entry?.content {
        Content::Inline(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Content::Chunked { .. } => panic!("expected a small body"),
    }
}

//! One request to our API.

use super::auth;
use crate::app::{App, Shared};
use crate::body::CollectError;
use crate::env::Env;
use crate::field::list;
use crate::pipeline::Incoming;
use crate::problem::Problem;
use crate::redis::RedisError;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;

/// The largest content of a request to the management API, in bytes.
pub(super) const MAX_CONTENT: usize = 1024 * 1024;

/// The query parameters that may occur several times.
const SEVERAL: [&str; 6] = ["key", "match", "state", "tag", "tags", "topic"];

/// A request below `/_spindrift/`.
pub(super) struct Call<'a, E: Env> {
    /// The instance.
    pub(super) app: &'a Rc<App<E>>,
    /// The request as it was received.
    pub(super) incoming: Incoming,
    /// The names and values in the query, percent-decoded.
    query: Vec<(String, String)>,
}

impl<'a, E: Env> Call<'a, E> {
    /// Parses a request. Also returns the segments of its path below `/_spindrift/`, percent-decoded: `/` in
    /// a name is written `%2F`.
    ///
    /// # Errors
    /// 400 for percent-encoding that is malformed or not UTF-8.
    pub(super) fn new(app: &'a Rc<App<E>>, incoming: Incoming) -> Result<(Self, Vec<String>), Problem> {
        let path = incoming.uri.path().strip_prefix(super::PREFIX).unwrap_or_default();
        let segments =
            path.split('/').map(|segment| decoded(segment, "the path")).collect::<Result<_, _>>()?;
        let query = incoming.uri.query().unwrap_or_default();
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decoded(name, "the query")?, decoded(&value.replace('+', " "), "the query")?))
            })
            .collect::<Result<_, Problem>>()?;
        Ok((Self { app, incoming, query }, segments))
    }

    /// Checks that the request has the management token.
    ///
    /// # Errors
    /// As [`auth::check`].
    pub(super) fn authorised(&self) -> Result<(), Problem> {
        auth::check(self.app, &self.incoming)
    }

    /// Returns Redis and what is built on it.
    ///
    /// # Errors
    /// 503 when Redis is switched off.
    pub(super) fn shared(&self) -> Result<&'a Shared<E>, Problem> {
        self.app.shared()
    }

    /// Deserializes the content from JSON; `form` shows the expected form.
    ///
    /// # Errors
    /// 400 when it has another form, 413 when it is too long, 415 when another media type is declared.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, form: &str) -> Result<T, Problem> {
        self.expects_json()?;
        let content = self.content(MAX_CONTENT).await?;
        object(&content, form)
    }

    /// Like [`Call::json`], but without content all members are missing.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(super) async fn form<T: DeserializeOwned + Default>(&mut self, form: &str) -> Result<T, Problem> {
        let content = self.content(MAX_CONTENT).await?;
        if content.is_empty() {
            return Ok(T::default());
        }
        self.expects_json()?;
        object(&content, form)
    }

    /// Checks that the content is not declared to be anything but JSON. It may be undeclared, or have the type that
    /// `curl -d` declares for everything.
    ///
    /// # Errors
    /// 415, with what is expected (RFC 9110 §15.5.16).
    pub(super) fn expects_json(&self) -> Result<(), Problem> {
        let headers = &self.incoming.headers;
        if list::members(headers, CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("identity")) {
            let problem = unsupported("expected content without Content-Encoding".to_owned());
            return Err(problem.with_field(ACCEPT_ENCODING, "identity"));
        }
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
        let value = String::from_utf8_lossy(value.as_bytes());
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = ["", "application/json", "application/x-www-form-urlencoded"];
        if json.contains(&essence.as_str()) || essence.ends_with("+json") {
            return Ok(());
        }
        let problem = unsupported(format!("expected content of application/json, found {essence:?}"));
        Err(problem.with_field(ACCEPT, "application/json"))
    }

    /// Returns the content unchanged, at most `limit` bytes.
    ///
    /// # Errors
    /// 413 when it is longer, 400 when it ends early.
    pub(super) async fn content(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let body = std::mem::take(&mut self.incoming.body);
        body.collect(limit).await.map_err(|error| {
            let status = match error {
                CollectError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                CollectError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            Problem::new(status, error.to_string())
        })
    }

    /// Returns the value of a query parameter that occurs once.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a query parameter, in order.
    pub(super) fn all_of_query<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.query.iter().filter(move |(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Checks that the query has only these parameters, and each at most once, except [`SEVERAL`].
    ///
    /// # Errors
    /// 400 with the first parameter that is unknown, or repeated.
    pub(super) fn only_query(&self, known: &[&str]) -> Result<(), Problem> {
        let problem = |detail| Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        for (at, (name, _)) in self.query.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let expected = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return problem(format!("expected query parameters: {expected}; found {name:?}"));
            }
            let again = self.query.iter().take(at).any(|(before, _)| before == name);
            if again && !SEVERAL.contains(&name.as_str()) {
                return problem(format!("expected {name:?} once in the query, found it more than once"));
            }
        }
        Ok(())
    }
}

/// Deserializes a JSON object; `form` shows the expected form. Serde would also accept an array of the members in order.
///
/// # Errors
/// 400 when it is anything else.
pub(super) fn object<'c, T: Deserialize<'c>>(content: &'c [u8], form: &str) -> Result<T, Problem> {
    let is_object = content.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte != b'[');
    let problem = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    if !is_object {
        return Err(problem(format!("expected {form}, found an array")));
    }
    serde_json::from_slice(content).map_err(|error| problem(format!("expected {form}: {error}")))
}

fn unsupported(detail: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

fn decoded(text: &str, place: &str) -> Result<String, Problem> {
    let encoded = text.split('%').skip(1);
    let is_pair = |rest: &str| {
        rest.as_bytes().first_chunk().is_some_and(|pair: &[u8; 2]| pair.iter().all(u8::is_ascii_hexdigit))
    };
    if let Some(found) = encoded.into_iter().find(|rest| !is_pair(rest)) {
        let found: String = found.chars().take(2).collect();
        let detail = format!("expected two hexadecimal digits after each % in {place}, found \"%{found}\"");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    percent_encoding::percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, format!("expected UTF-8 in the percent-encoding of {place}"))
    })
}

/// 503 for what Redis did not carry out, or may have carried out all the same: `outcome` says which.
pub(super) fn unavailable(error: &RedisError) -> Problem {
    Problem::from(error)
}

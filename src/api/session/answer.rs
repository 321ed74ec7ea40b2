//! Sessions in answers.

use super::asked::Id;
use crate::api::reply::json;
use crate::body::Body;
use crate::session::{Data, Loaded, Receipt, User};
use http::header::{ETAG, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

/// The characters of an id that are percent-encoded: all but the unreserved ones (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A session in an answer. Unknown members are left out.
#[derive(Default, Serialize)]
pub(super) struct Answer {
    id: String,
    /// Whether a caller chose the id.
    chosen: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(flatten)]
    times: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The token that opens it, for the client only.
    token: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    /// Whether the token was rotated away a moment ago, and can only read.
    read_only: bool,
}

/// Times in an answer, in seconds since the Unix epoch.
#[derive(Serialize)]
struct At {
    version: u64,
    created_at: u64,
    expires_at: u64,
    ends_at: u64,
}

impl From<Receipt> for At {
    fn from(Receipt { version, times }: Receipt) -> Self {
        Self {
            version,
            created_at: times.begun.as_secs(),
            expires_at: times.expires.as_secs(),
            ends_at: times.ends.as_secs(),
        }
    }
}

impl Answer {
    /// Makes an answer of which only the id is known.
    pub(super) fn of(id: &Id) -> Self {
        Self { id: id.text(), chosen: matches!(id, Id::Chosen(_)), ..Self::default() }
    }

    /// Adds user and data.
    pub(super) fn with_data(mut self, user: Option<&User>, data: &Data) -> Self {
        self.user = user.map(|user| user.as_str().to_owned());
        self.data = RawValue::from_string(data.to_json()).ok();
        self
    }

    /// Adds version and times.
    pub(super) fn at(mut self, receipt: Receipt) -> Self {
        self.times = Some(receipt.into());
        self
    }

    /// Adds the token for the client, if there is one.
    pub(super) fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// Marks the token as rotated away a moment ago.
    pub(super) fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Makes the response, with the version as `ETag`.
    pub(super) fn into_response(self, status: StatusCode) -> Response<Body> {
        let mut response = json(status, &self);
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        };
        if let Some(times) = &self.times {
            set(ETAG, format!("\"{}\"", times.version));
        }
        if status == StatusCode::CREATED {
            let id = utf8_percent_encode(&self.id, ENCODED);
            set(LOCATION, format!("{}v1/sessions/{id}", crate::api::PREFIX));
        }
        response
    }
}

/// Makes the answer for a session that was loaded.
pub(super) fn loaded(id: &Id, loaded: &Loaded) -> Answer {
    let receipt = Receipt { version: loaded.version, times: loaded.times };
    Answer::of(id).with_data(loaded.user.as_ref(), &loaded.data).at(receipt)
}

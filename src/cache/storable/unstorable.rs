//! The reasons not to store a response.

/// Why a response is not stored. The same word appears in Cache-Status, metrics and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    /// The response is not to a GET, a QUERY, or a POST that may answer a GET.
    Method,
    /// The status code: a 206 or 304 has nothing to be combined with, and 401, 429 and others are about one request.
    Status,
    /// The response has `no-store`.
    NoStore,
    /// The request has `no-store`.
    RequestNoStore,
    /// The response is `private`.
    Private,
    /// The request carried `Authorization` and the response does not permit sharing (RFC 9111 §3.5).
    Authorization,
    /// The response sets a cookie, which others would receive, too.
    SetCookie,
    /// The response depends on a session, so it is for one visitor.
    Session,
    /// The route does not store this media type.
    ContentType,
    /// The response varies on `*` or on a field that must not select.
    Vary,
    /// Nothing says that the response may be reused, and nothing can validate it.
    NoFreshness,
    /// The response's `No-Vary-Search` does not fit the place where it was looked up.
    NoVarySearch,
    /// The content is larger than the configured limit.
    TooLarge,
    /// The content ended early or was longer than declared.
    Incomplete,
    /// A part whose `Content-Range` is missing, or inconsistent with its length.
    ContentRange,
    /// A part without a strong validator.
    NoValidator,
    /// A part for a request with `If-Range`, which may lack fields, and no stored part to add it to.
    IfRange,
    /// A part of a response that is compressed when it is stored as a whole.
    Compress,
    /// A 304 about another representation than the stored one.
    AnotherValidator,
    /// Redis gave no lease: it is read-only, full or away.
    NoLease,
}

/// What a reason not to store a response is about.
#[derive(Clone, Copy)]
enum About {
    /// This request: the response to another one may be stored, and what is stored for others holds.
    Request,
    /// The kind of this request: the response to one of another kind may be stored.
    Kind,
    /// The client. It is probably the same with the next client; but what is stored for others holds, because the body that
    /// came with a cookie is mostly for all.
    Client,
    /// The response.
    Response,
}

impl Unstorable {
    const fn about(self) -> About {
        match self {
            Self::RequestNoStore | Self::Authorization => About::Request,
            Self::Method | Self::IfRange | Self::NoVarySearch => About::Kind,
            Self::SetCookie | Self::Session => About::Client,
            Self::Status
            | Self::NoStore
            | Self::Private
            | Self::ContentType
            | Self::Vary
            | Self::NoFreshness
            | Self::TooLarge
            | Self::Incomplete
            | Self::ContentRange
            | Self::NoValidator
            | Self::Compress
            | Self::AnotherValidator
            | Self::NoLease => About::Response,
        }
    }

    /// Returns whether the reason concerns one request or client only, and not what is stored for others.
    #[must_use]
    pub const fn is_of_request(self) -> bool {
        match self.about() {
            About::Request | About::Client => true,
            About::Kind | About::Response => false,
        }
    }

    /// Returns whether the response to the next request for the same will probably not be stored either, so that waiting for
    /// it is of no use.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        match self.about() {
            About::Client | About::Response => true,
            About::Request | About::Kind => false,
        }
    }

    /// Returns the reason as one token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::RequestNoStore => "request-no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Session => "session",
            Self::ContentType => "content-type",
            Self::Vary => "vary",
            Self::NoFreshness => "no-freshness",
            Self::NoVarySearch => "no-vary-search",
            Self::TooLarge => "too-large",
            Self::Incomplete => "incomplete",
            Self::ContentRange => "content-range",
            Self::NoValidator => "no-validator",
            Self::IfRange => "if-range",
            Self::Compress => "compress",
            Self::AnotherValidator => "another-validator",
            Self::NoLease => "redis-no-lease",
        }
    }
}

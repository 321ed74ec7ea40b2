//! The reasons not to store a response.

/// Why a response is not stored. The same word goes to Cache-Status, metrics and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    /// Only responses to GET and QUERY are.
    Method,
    /// 206 and 304 need a stored response to be combined with; 401, 429 and some others are about one request.
    Status,
    /// `no-store` in the response.
    NoStore,
    /// `no-store` in the request.
    RequestNoStore,
    /// `private`.
    Private,
    /// The request carried `Authorization` and the response does not permit sharing (RFC 9111 §3.5).
    Authorization,
    /// It sets a cookie, which would be handed to others.
    SetCookie,
    /// It used a session: it is for one visitor.
    Session,
    /// The route stores other media types.
    ContentType,
    /// It varies on `*` or on something that must not select.
    Vary,
    /// Nothing says that it may be reused, and nothing can validate it.
    NoFreshness,
    /// What it says of its query is at odds with where it was looked up.
    NoVarySearch,
    /// It is larger than the configured limit.
    TooLarge,
    /// Its content ended early or was longer than declared.
    Incomplete,
    /// A part whose `Content-Range` is missing, or at odds with its length.
    ContentRange,
    /// A part without a strong validator.
    NoValidator,
    /// A part for a request with `If-Range`, which may lack fields, and nothing that it adds to.
    IfRange,
    /// A part of what is compressed when it is stored as a whole.
    Compress,
    /// A 304 about another representation than what is stored.
    AnotherValidator,
    /// Redis gave no right to store: it is read-only, full or away.
    NoLease,
}

impl Unstorable {
    /// Whether it is about one request or one client, and nothing against what is stored for others: what a cookie came with
    /// is mostly for all.
    #[must_use]
    pub const fn is_of_request(self) -> bool {
        matches!(self, Self::RequestNoStore | Self::Authorization | Self::SetCookie | Self::Session)
    }

    /// The reason as one token.
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

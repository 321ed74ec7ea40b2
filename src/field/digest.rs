//! The digest fields, by what they cover: whoever changes that has to remove them.

use http::HeaderName;

/// Digests of the content of the message (RFC 9530 §2): of a part, they cover the part.
pub const OF_CONTENT: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

/// Digests of the encoded representation (RFC 9530 §3): of a part, they cover the whole.
pub const OF_REPRESENTATION: [HeaderName; 2] =
    [HeaderName::from_static("repr-digest"), HeaderName::from_static("digest")];

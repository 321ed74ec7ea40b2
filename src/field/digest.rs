//! Digests, by what they are of: whoever changes that has to remove them.

use http::HeaderName;

/// Of the content of the message (RFC 9530 §2): of a part, that is the part.
pub const OF_CONTENT: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

/// Of the representation (RFC 9530 §3), with its content coding: of a part, that is the whole.
pub const OF_REPRESENTATION: [HeaderName; 2] =
    [HeaderName::from_static("repr-digest"), HeaderName::from_static("digest")];

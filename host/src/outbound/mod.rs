//! What components reach through the host: HTTP servers, Redis, and one another.

pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod permission;
pub(crate) mod redis;
pub(crate) mod reply;
pub(crate) mod variables;

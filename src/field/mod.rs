//! Header fields as typed values: the only code that reads raw field lines.
//!
//! Each file is one field or one rule, with its RFC section. A field of several lines is always read as
//! the one list that they form (RFC 9110 §5.3).

pub mod accept;
pub mod cache_control;
pub mod cache_status;
pub mod conditional;
pub mod cookies;
pub mod digest;
pub mod forward;
pub mod groups;
pub mod hop;
#[cfg(test)]
pub(crate) mod lines;
pub mod list;
pub mod max_forwards;
pub mod no_vary_search;
pub mod proxied;
pub mod range;
pub mod rate_limit;
pub mod spin;
pub mod targeted;
pub mod validator;
pub mod variable;
pub mod vary;

//! Values that come from outside the code: variables, templates over them, and the hosts they allow.

pub mod address;
pub mod hosts;
pub mod source;
pub mod template;
pub mod variables;

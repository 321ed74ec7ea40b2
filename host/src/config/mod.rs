//! Values from outside the code: variables, templates with variables, and the hosts that they allow.

pub mod address;
pub mod hosts;
pub mod source;
pub mod template;
pub mod variables;

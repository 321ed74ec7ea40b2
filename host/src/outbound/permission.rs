//! Permission for outgoing connections, which is checked before anything else.

use crate::config::address::Address;
use crate::config::hosts::AllowedHosts;
use std::sync::Arc;

/// What one component may reach.
#[derive(Clone, Debug)]
pub(crate) struct Permission {
    /// The list, or why it cannot be used.
    list: Result<Arc<AllowedHosts>, Arc<str>>,
}

impl Permission {
    pub(crate) fn new(list: Result<AllowedHosts, String>) -> Self {
        Self { list: list.map(Arc::new).map_err(Into::into) }
    }

    /// Returns whether `address` may be reached; what cannot be parsed as an address may not.
    ///
    /// # Errors
    /// The component's list is invalid; this says why.
    pub(crate) fn allows(&self, address: &str, default_scheme: &str) -> Result<bool, String> {
        let Ok(address) = Address::parse(address, default_scheme) else {
            return Ok(false);
        };
        self.list.as_ref().map(|it| it.allow(&address)).map_err(ToString::to_string)
    }

    /// Returns whether the app may send requests to its own routes.
    pub(crate) fn allows_self(&self) -> bool {
        self.list.as_ref().is_ok_and(|it| it.allow_self())
    }
}

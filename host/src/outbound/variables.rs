//! `spin:variables/variables@3.0.0`: the component's own variables, resolved at the start.

use crate::config::variables::{ComponentVariables, LookupError};
use crate::runtime::bindings::variables::{Error, Host, HostWithStore};
use std::sync::Arc;
use wasmtime::component::{Accessor, HasData};

/// Identifies the variables to the linker.
pub(crate) struct HasVariables;

impl HasData for HasVariables {
    type Data<'a> = VariablesView<'a>;
}

/// The part of an instance that holds its variables.
pub(crate) struct VariablesView<'a>(pub(crate) &'a Arc<ComponentVariables>);

impl Host for VariablesView<'_> {}

impl<T: Send> HostWithStore<T> for HasVariables {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        let variables = accessor.with(|mut access| Arc::clone(access.get().0));
        variables.get(&name).map_err(|e| match e {
            LookupError::InvalidName(text) => Error::InvalidName(text),
            LookupError::Undefined(text) => Error::Undefined(text),
        })
    }
}

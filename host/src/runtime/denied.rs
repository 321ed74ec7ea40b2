//! The interfaces that a middleware does not inherit, implemented so that they refuse as Spin's do.

use super::bindings::{redis, variables};
use super::state::InstanceState;
use crate::manifest::Capability;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::{ErrorCode, Request, Response};

/// The prefix of the name of a denied interface; the index of the middleware follows.
const DENIED: &str = "denied";

/// The interfaces that belong to each part of a configuration, as far as this host has them, in any version.
const INTERFACES: [(&str, Capability); 5] = [
    ("spin:redis/redis", Capability::AllowedOutboundHosts),
    ("spin:variables/variables", Capability::Variables),
    ("wasi:cli/environment", Capability::Environment),
    ("wasi:filesystem/preopens", Capability::Files),
    ("wasi:http/client", Capability::AllowedOutboundHosts),
];

/// Returns what a middleware must inherit to use the interface with this name.
pub(super) fn governed_by(name: &str) -> Option<Capability> {
    let plain = name.split('@').next()?;
    INTERFACES.iter().find(|(interface, _)| *interface == plain).map(|(_, capability)| *capability)
}

/// Returns the name of the interface for the middleware with this index, which is denied it.
pub(super) fn rename(name: &str, index: usize) -> String {
    format!("{DENIED}{index}-{name}")
}

/// Returns the name of the interface before it was renamed.
fn original(name: &str) -> Option<&str> {
    let (index, name) = name.strip_prefix(DENIED)?.split_once('-')?;
    index.parse::<usize>().is_ok().then_some(name)
}

/// Adds the denied interfaces of a component to the linker.
///
/// # Errors
/// An interface is not what its name says.
pub(crate) fn link(
    linker: &mut Linker<InstanceState>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        if let (Some(original), ComponentItem::ComponentInstance(interface)) = (original(name), item.ty) {
            refuse(&mut linker.instance(name)?, engine, original, &interface)?;
        }
    }
    Ok(())
}

fn refuse(
    linker: &mut LinkerInstance<'_, InstanceState>,
    engine: &Engine,
    interface: &str,
    ty: &ComponentInstance,
) -> wasmtime::Result<()> {
    let plain = interface.split('@').next().unwrap_or(interface);
    for (name, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => one(linker, plain, name, &function)?,
            // Nobody gets such a resource: the functions that make one refuse.
            ComponentItem::Resource(_) if plain == "spin:redis/redis" => {
                linker.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A resource of which there is none.
struct Nothing;

fn one(
    linker: &mut LinkerInstance<'_, InstanceState>,
    interface: &str,
    name: &str,
    function: &ComponentFunc,
) -> wasmtime::Result<()> {
    match (interface, name) {
        ("spin:redis/redis", "[static]connection.open") => {
            linker.func_wrap_concurrent(name, |_, (_address,): (String,)| {
                let refused = redis::Error::Other(not_permitted("spin:redis/redis"));
                Box::pin(async { Ok((Err::<Resource<Nothing>, _>(refused),)) })
            })
        }
        ("spin:variables/variables", "get") => linker.func_wrap_concurrent(name, |_, (name,): (String,)| {
            Box::pin(async { Ok((Err::<String, _>(variables::Error::Undefined(name)),)) })
        }),
        ("wasi:http/client", "send") => {
            linker.func_wrap_concurrent(name, |accessor, (request,): (Resource<Request>,)| {
                let dropped = accessor.with(|mut access| access.data_mut().table.delete(request));
                let refused = ErrorCode::InternalError(Some(not_permitted("wasi:http/client")));
                Box::pin(async {
                    dropped?;
                    Ok((Err::<Resource<Response>, _>(refused),))
                })
            })
        }
        ("wasi:cli/environment" | "wasi:filesystem/preopens", _) => linker.func_new(name, nothing),
        _ => trap(linker, name, function),
    }
}

fn not_permitted(what: &str) -> String {
    format!("{what:?} is not permitted")
}

/// Returns an empty list, or `None`.
#[expect(clippy::needless_pass_by_value, reason = "the linker calls it so")]
fn nothing(
    _: StoreContextMut<'_, InstanceState>,
    function: ComponentFunc,
    _: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    for (result, ty) in results.iter_mut().zip(function.results()) {
        *result = match ty {
            wasmtime::component::Type::List(_) => Val::List(Vec::new()),
            _ => Val::Option(None),
        };
    }
    Ok(())
}

/// A function that can be called only with a resource that nobody gets.
fn trap(
    linker: &mut LinkerInstance<'_, InstanceState>,
    name: &str,
    function: &ComponentFunc,
) -> wasmtime::Result<()> {
    let refused = || wasmtime::Error::msg("a middleware used what it does not inherit");
    if function.async_() {
        linker.func_new_concurrent(name, move |_, _, _, _| Box::pin(async move { Err(refused()) }))
    } else {
        linker.func_new(name, move |_, _, _, _| Err(refused()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_governed_in_every_version() {
        assert_eq!(governed_by("spin:redis/redis@3.0.0"), Some(Capability::AllowedOutboundHosts));
        assert_eq!(governed_by("wasi:cli/environment@0.2.6"), Some(Capability::Environment));
        assert_eq!(governed_by("wasi:cli/environment@0.3.0"), Some(Capability::Environment));
        assert_eq!(governed_by("wasi:filesystem/types@0.2.6"), None);
        assert_eq!(governed_by("wasi:http/types@0.3.0"), None);
    }

    #[test]
    fn a_denied_name_leads_back_to_its_own() {
        let name = "wasi:http/client@0.3.0";
        assert_eq!(original(&rename(name, 12)), Some(name));
        assert_eq!(original(name), None);
        assert_eq!(original("denied-wasi:http/client"), None);
    }
}

//! Composing middleware and the component behind it into one component, as Spin does it.
//!
//! The whole has one set of permissions, those of the component behind. A middleware that does not inherit one
//! of them must be refused where the others are not. All of them import the same
//! interfaces, so what is denied is imported by the whole under a different name, and the linker
//! ([`denied`](super::denied)) gives that name an implementation that refuses.

use super::denied;
use crate::manifest::Capability;
use std::collections::BTreeSet;
use wac_graph::types::{Interface, ItemKind, Package};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

/// What a middleware imports and exports, and what the component behind it exports.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// A middleware to be composed.
pub(crate) struct Part<'a> {
    /// Its name in messages.
    pub(crate) name: &'a str,
    /// The component.
    pub(crate) wasm: &'a [u8],
    /// What it shares with the component behind it.
    pub(crate) inherits: &'a BTreeSet<Capability>,
}

/// Composes `middleware`, the outermost first, with the component behind it.
///
/// # Errors
/// One of them is not a component or not a middleware, with its name; or they do not fit together.
pub(crate) fn compose(behind: &[u8], middleware: &[Part<'_>]) -> Result<Vec<u8>, String> {
    let mut chain = Chain(CompositionGraph::new());
    let package = chain.register("behind", behind)?;
    if !chain.exports(package) {
        return Err(format!("expected the export {HANDLER}, which the middleware calls, found none"));
    }
    let mut handler = chain.handler(package, None).map_err(|e| format!("composing: {e:#}"))?;
    for (index, part) in middleware.iter().enumerate().rev() {
        let wrong = |e: &dyn std::fmt::Display| format!("middleware {:?}: {e}", part.name);
        let package = chain.register(&format!("middleware{index}"), part.wasm).map_err(|e| wrong(&e))?;
        if !chain.imports(package) || !chain.exports(package) {
            let what = format!("expected a component that imports and exports {HANDLER}");
            return Err(wrong(&format!("{what}, found one that {}", chain.lacks(package))));
        }
        let inner = Inner { handler, index, inherits: part.inherits };
        handler = chain.handler(package, Some(inner)).map_err(|e| wrong(&format!("composing: {e:#}")))?;
    }
    chain.finish(handler).map_err(|e| format!("composing: {e:#}"))
}

/// The imports of a middleware.
struct Inner<'a> {
    handler: NodeId,
    /// Its index, which distinguishes what several middlewares are denied.
    index: usize,
    inherits: &'a BTreeSet<Capability>,
}

struct Chain(CompositionGraph);

type Composed<T> = Result<T, Box<dyn std::error::Error>>;

impl Chain {
    fn register(&mut self, name: &str, wasm: &[u8]) -> Result<PackageId, String> {
        let package = Package::from_bytes(name, None, wasm, self.0.types_mut());
        let package = package.map_err(|e| format!("expected a component: {e:#}"))?;
        self.0.register_package(package).map_err(|e| format!("{e:#}"))
    }

    fn imports(&self, package: PackageId) -> bool {
        self.0.types()[self.0[package].ty()].imports.contains_key(HANDLER)
    }

    fn exports(&self, package: PackageId) -> bool {
        self.0.types()[self.0[package].ty()].exports.contains_key(HANDLER)
    }

    fn lacks(&self, package: PackageId) -> &'static str {
        match (self.imports(package), self.exports(package)) {
            (false, true) => "only exports it",
            (true, false) => "only imports it",
            _ => "does neither",
        }
    }

    /// Instantiates a component, and returns the handler that it exports.
    fn handler(&mut self, package: PackageId, inner: Option<Inner<'_>>) -> Composed<NodeId> {
        let instance = self.0.instantiate(package);
        if let Some(inner) = inner {
            self.0.set_instantiation_argument(instance, HANDLER, inner.handler)?;
            let imports = self.0.types()[self.0[package].ty()].imports.clone();
            for (name, kind) in imports {
                if denied::governed_by(&name).is_some_and(|it| !inner.inherits.contains(&it)) {
                    let refusing = self.import_as(denied::rename(&name, inner.index), kind)?;
                    self.0.set_instantiation_argument(instance, &name, refusing)?;
                }
            }
        }
        Ok(self.0.alias_instance_export(instance, HANDLER)?)
    }

    /// Imports an interface under another name. For that it must become another interface: imports of the same
    /// interface are merged into one.
    fn import_as(&mut self, name: String, kind: ItemKind) -> Composed<NodeId> {
        let ItemKind::Instance(interface) = kind else {
            return Err(format!("{name} is not an interface").into());
        };
        let types = self.0.types_mut();
        let renamed = Interface { id: Some(name.clone()), ..types[interface].clone() };
        let renamed = types.add_interface(renamed);
        Ok(self.0.import(name, ItemKind::Instance(renamed))?)
    }

    fn finish(mut self, handler: NodeId) -> Composed<Vec<u8>> {
        self.0.export(handler, HANDLER)?;
        Ok(self.0.encode(EncodeOptions::default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_cannot_be_composed_is_said() {
        let none = BTreeSet::new();
        let part = Part { name: "cache", wasm: EMPTY_COMPONENT, inherits: &none };
        let nothing = compose(EMPTY_COMPONENT, &[part]).unwrap_err();
        assert!(nothing.contains("expected the export wasi:http/handler@0.3.0"), "{nothing}");
        let part = Part { name: "cache", wasm: EMPTY_COMPONENT, inherits: &none };
        let text = compose(b"no wasm", &[part]).unwrap_err();
        assert!(text.contains("expected a component"), "{text}");
    }
}

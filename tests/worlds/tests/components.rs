//! Every component of the manifests imports nothing more than its world in `wit/world.wit`, and exports exactly what
//! it exports. The components must be built: `cargo xtask build`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use spindrift_worlds::{Worlds, component, manifest};

const MANIFESTS: [&str; 2] = ["spin.toml", "subscriber.toml"];

/// An app with the middleware, and the middleware's name there.
const EXAMPLE: (&str, &str) = ("examples/middleware/spin.toml", "spindrift");

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn worlds() -> Worlds {
    Worlds::read(&workspace().join("wit")).unwrap_or_else(|problem| panic!("{problem}"))
}

fn read(name: &str) -> BTreeMap<String, PathBuf> {
    manifest(&workspace().join(name)).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The components of all manifests, by name.
fn components() -> BTreeMap<String, PathBuf> {
    let (example, name) = EXAMPLE;
    let middleware = read(example).remove(name).map(|file| ("middleware".to_owned(), file));
    MANIFESTS.iter().flat_map(|name| read(name)).chain(middleware).collect()
}

fn hold(name: &str) {
    let components = components();
    let file = components.get(name).unwrap_or_else(|| panic!("no manifest has a component {name}"));
    let world = worlds().surface(name).unwrap_or_else(|problem| panic!("{problem}"));
    let built = component(file).unwrap_or_else(|problem| panic!("{problem}"));
    let departures = built.departures(&world);
    assert!(
        departures.is_empty(),
        "{} departs from the world {name} in wit/world.wit:\n  {}",
        file.display(),
        departures.join("\n  ")
    );
}

#[test]
fn gateway() {
    hold("gateway");
}

#[test]
fn middleware() {
    hold("middleware");
}

#[test]
fn subscriber() {
    hold("subscriber");
}

#[test]
fn demo_origin() {
    hold("demo-origin");
}

/// A component that imports the handler is middleware: it does not run without a component behind it.
#[test]
fn the_gateway_is_not_middleware() {
    let built = component(&components()["gateway"]).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(!built.imports("wasi:http/handler"), "the gateway imports wasi:http/handler");
    assert!(!worlds().surface("gateway").unwrap().imports("wasi:http/handler"));
}

/// It needs a component behind it.
#[test]
fn the_middleware_is_middleware() {
    let built = component(&components()["middleware"]).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(built.imports("wasi:http/handler"), "the middleware does not import wasi:http/handler");
}

#[test]
fn every_component_has_a_world_and_every_world_a_component() {
    let (components, worlds) = (components(), worlds());
    let names: BTreeSet<&str> = components.keys().map(String::as_str).collect();
    let included = BTreeSet::from(["library", "rust-std"]);
    assert_eq!(names, worlds.names().difference(&included).copied().collect());
}

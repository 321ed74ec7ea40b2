//! What a component imports and exports, according to its world in `wit/` and to the component itself.
//!
//! `tests/components.rs` compares the two for every component in a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{PackageId, PackageName, Resolve, WorldId, WorldItem, WorldKey};

/// Why something could not be read.
pub type Problem = String;

/// The functions of each interface, by its name; a function of the world itself has its own name.
type Functions = BTreeMap<String, BTreeSet<String>>;

/// What a world or a component imports and exports.
///
/// An interface is identified by its name and the significant part of its version: `wasi:cli/exit@0.2` for every
/// 0.2.x. The methods and constructors of a resource are among its functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// What it needs from its host.
    pub imports: Functions,
    /// What it offers.
    pub exports: Functions,
}

/// The worlds of a `wit/` directory.
pub struct Worlds {
    resolve: Resolve,
    package: PackageId,
}

impl Worlds {
    /// Reads a directory of WIT with its `deps`.
    ///
    /// # Errors
    /// It is not valid WIT.
    pub fn read(directory: &Path) -> Result<Self, Problem> {
        let mut resolve = Resolve::default();
        match resolve.push_dir(directory) {
            Ok((package, _)) => Ok(Self { resolve, package }),
            Err(error) => Err(format!("{} is not valid WIT: {error:#}", directory.display())),
        }
    }

    /// Reads one package from its text.
    ///
    /// # Errors
    /// It is not valid WIT.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut resolve = Resolve::default();
        match resolve.push_str("test.wit", text) {
            Ok(package) => Ok(Self { resolve, package }),
            Err(error) => Err(format!("not valid WIT: {error:#}")),
        }
    }

    /// The names of all worlds of the package.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.resolve.packages[self.package].worlds.keys().map(String::as_str).collect()
    }

    /// What the world `name` permits.
    ///
    /// # Errors
    /// There is no such world.
    pub fn surface(&self, name: &str) -> Result<Surface, Problem> {
        match self.resolve.packages[self.package].worlds.get(name) {
            Some(world) => Ok(surface(&self.resolve, *world)),
            None => Err(format!("there is no world {name}, only {:?}", self.names())),
        }
    }
}

/// What a built component imports and exports.
///
/// # Errors
/// It does not exist, or is not a component.
pub fn component(file: &Path) -> Result<Surface, Problem> {
    let place = file.display();
    let bytes = std::fs::read(file).map_err(|error| {
        format!("cannot read {place} ({error}): build the components first, with `cargo xtask build`")
    })?;
    match decode(&bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok(surface(&resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => Err(format!("{place} is a WIT package, not a component")),
        Err(error) => Err(format!("{place} is not a component: {error:#}")),
    }
}

/// The components of a manifest: the name of each, and the file that its build produces.
///
/// # Errors
/// The manifest cannot be read, or a component's source is not a path.
pub fn manifest(file: &Path) -> Result<BTreeMap<String, PathBuf>, Problem> {
    let place = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {place}: {error}"))?;
    let manifest: toml::Table = text.parse().map_err(|error| format!("{place}: {error}"))?;
    let components = manifest.get("component").and_then(toml::Value::as_table);
    let components = components.ok_or_else(|| format!("{place}: expected [component.*], found none"))?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let source = |(name, component): (&String, &toml::Value)| match component.get("source") {
        Some(toml::Value::String(path)) => Ok((name.clone(), directory.join(path))),
        _ => Err(format!("{place}: component.{name}.source: expected a path")),
    };
    components.iter().map(source).collect()
}

impl Surface {
    /// All differences from what `world` permits: imports and exports that the world does not have, and exports of
    /// the world that are missing. Fewer imports are permitted.
    #[must_use]
    pub fn departures(&self, world: &Self) -> Vec<String> {
        let more = beyond(&self.imports, &world.imports).map(|what| format!("imports {what}"));
        let besides = beyond(&self.exports, &world.exports).map(|what| format!("exports {what}"));
        let missing = beyond(&world.exports, &self.exports).map(|what| format!("does not export {what}"));
        more.chain(besides).chain(missing).collect()
    }

    /// Whether it imports the interface `name`, in any version.
    #[must_use]
    pub fn imports(&self, name: &str) -> bool {
        self.imports.keys().any(|import| import.split('@').next() == Some(name))
    }
}

/// Interfaces and functions that are in `these` but not in `those`.
fn beyond<'a>(these: &'a Functions, those: &'a Functions) -> impl Iterator<Item = String> + 'a {
    these.iter().flat_map(|(interface, functions)| match those.get(interface) {
        None => vec![interface.clone()],
        Some(known) => {
            functions.difference(known).map(|function| format!("{interface}#{function}")).collect()
        }
    })
}

fn surface(resolve: &Resolve, world: WorldId) -> Surface {
    let world = &resolve.worlds[world];
    let read = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| {
        let mut functions = Functions::new();
        for (key, item) in items {
            match item {
                WorldItem::Interface { id, .. } => {
                    let all = resolve.interfaces[*id].functions.keys().cloned();
                    functions.entry(name(resolve, key)).or_default().extend(all);
                }
                WorldItem::Function(function) => {
                    functions.entry(function.name.clone()).or_default();
                }
                WorldItem::Type { .. } => {}
            }
        }
        functions
    };
    Surface { imports: read(&mut world.imports.iter()), exports: read(&mut world.exports.iter()) }
}

fn name(resolve: &Resolve, key: &WorldKey) -> String {
    let WorldKey::Interface(id) = key else { return resolve.name_world_key(key) };
    let interface = &resolve.interfaces[*id];
    let Some((package, name)) = interface.package.zip(interface.name.as_ref()) else {
        return resolve.name_world_key(key);
    };
    let package = &resolve.packages[package].name;
    let (namespace, package, version) = (&package.namespace, &package.name, &package.version);
    match version {
        None => format!("{namespace}:{package}/{name}"),
        Some(version) => {
            let track = PackageName::version_compat_track_string(version);
            format!("{namespace}:{package}/{name}@{track}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Surface {
        let text = format!(
            "package test:test;
             package test:patch@0.2.6 {{ interface a {{ f: func(); }} interface b {{ f: func(); g: func(); }} }}
             package test:patch@0.2.12 {{ interface a {{ f: func(); h: func(); }} }}
             package test:patch@0.3.0 {{ interface a {{ f: func(); }} }}
             world it {{ {text} }}"
        );
        Worlds::parse(&text).unwrap().surface("it").unwrap()
    }

    #[test]
    fn an_import_the_world_does_not_have_is_a_departure() {
        let world = of("import test:patch/a@0.2.12;");
        assert!(of("").departures(&world).is_empty());
        assert_eq!(of("import test:patch/b@0.2.6;").departures(&world), ["imports test:patch/b@0.2"]);
        assert_eq!(of("import test:patch/a@0.3.0;").departures(&world), ["imports test:patch/a@0.3"]);
        assert_eq!(of("import f: func();").departures(&world), ["imports f"]);
    }

    #[test]
    fn patch_versions_of_0_2_are_one_interface_with_the_functions_it_then_had() {
        let (older, newer) = (of("import test:patch/a@0.2.6;"), of("import test:patch/a@0.2.12;"));
        assert!(older.departures(&newer).is_empty());
        assert_eq!(newer.departures(&older), ["imports test:patch/a@0.2#h"]);
    }

    #[test]
    fn exports_are_those_of_the_world_no_more_and_no_less() {
        let world = of("export test:patch/a@0.3.0;");
        assert!(world.departures(&world).is_empty());
        assert_eq!(of("").departures(&world), ["does not export test:patch/a@0.3"]);
        assert_eq!(world.departures(&of("")), ["exports test:patch/a@0.3"]);
    }

    #[test]
    fn a_component_that_was_not_built_is_said_to_be_missing() {
        let problem = component(Path::new("no/such.wasm")).unwrap_err();
        assert!(problem.contains("no/such.wasm") && problem.contains("`cargo xtask build`"), "{problem}");
    }
}

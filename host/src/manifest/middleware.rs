//! `dependencies.middleware` of an HTTP trigger: components through which requests pass.

use super::schema::Component;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `dependencies` of an HTTP trigger, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependencies {
    #[serde(default)]
    pub(super) middleware: Vec<Dependency>,
}

/// One entry, in any of the forms that Spin reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependency {
    component: Option<String>,
    path: Option<String>,
    url: Option<toml::Value>,
    #[serde(rename = "digest")]
    _digest: Option<toml::Value>,
    package: Option<toml::Value>,
    #[serde(rename = "version")]
    _version: Option<toml::Value>,
    #[serde(rename = "registry")]
    _registry: Option<toml::Value>,
    inherit_configuration: Option<Inherit>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a list of names")]
enum Inherit {
    All(bool),
    Some(Vec<String>),
}

/// A component in front of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// Its name in messages: its id, or the path of its file.
    pub name: String,
    /// Its wasm file, relative to the manifest.
    pub source: String,
    /// What it shares with the component behind it; it must not use the rest.
    pub inherits: BTreeSet<Capability>,
}

/// A part of a component's configuration that its middleware may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `ai_models`, which this host does not have.
    AiModels,
    /// `allowed_outbound_hosts`: the network and Redis.
    AllowedOutboundHosts,
    /// `environment`
    Environment,
    /// `files`
    Files,
    /// `key_value_stores`, which this host does not have.
    KeyValueStores,
    /// `sqlite_databases`, which this host does not have.
    SqliteDatabases,
    /// `variables`
    Variables,
}

impl Capability {
    /// All capabilities, with their names in a manifest.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::AiModels, "ai_models"),
        (Self::AllowedOutboundHosts, "allowed_outbound_hosts"),
        (Self::Environment, "environment"),
        (Self::Files, "files"),
        (Self::KeyValueStores, "key_value_stores"),
        (Self::SqliteDatabases, "sqlite_databases"),
        (Self::Variables, "variables"),
    ];
}

/// Converts the entry to a middleware, or says what is wrong with it.
pub(super) fn check(it: &Dependency, components: &BTreeMap<String, Component>) -> Result<Middleware, String> {
    let elsewhere = [("url", it.url.is_some()), ("package", it.package.is_some())];
    if let Some((form, _)) = elsewhere.iter().find(|(_, found)| *found) {
        return Err(format!(
            "expected `component` or `path`, found `{form}`, which this host does not fetch"
        ));
    }
    let (name, source) = match (&it.component, &it.path) {
        (Some(id), None) => (id.clone(), source(id, components)?),
        (None, Some(path)) => (path.clone(), path.clone()),
        (None, None) => return Err("expected `component` or `path`, found neither".into()),
        (Some(_), Some(_)) => return Err("expected `component` or `path`, found both".into()),
    };
    let inherits = inherits(it.inherit_configuration.as_ref()).map_err(|e| format!("{name:?}: {e}"))?;
    Ok(Middleware { name, source, inherits })
}

/// Returns the file of the component `id`. Its table must have nothing else, which would not be used.
fn source(id: &str, components: &BTreeMap<String, Component>) -> Result<String, String> {
    let Some(component) = components.get(id) else {
        return Err(format!("component: expected the id of a [component.*], found {id:?}"));
    };
    let own = [
        ("allowed_outbound_hosts", !component.allowed_outbound_hosts.is_empty()),
        ("ai_models", !component.ai_models.is_empty()),
        ("environment", !component.environment.is_empty()),
        ("files", !component.files.is_empty()),
        ("key_value_stores", !component.key_value_stores.is_empty()),
        ("sqlite_databases", !component.sqlite_databases.is_empty()),
        ("variables", !component.variables.is_empty()),
    ];
    let own: Vec<&str> = own.iter().filter(|(_, found)| *found).map(|(key, _)| *key).collect();
    if own.is_empty() {
        return Ok(component.source().to_owned());
    }
    Err(format!(
        "component {id:?}: expected no configuration of its own, because a middleware shares that of the \
         component behind it; found {}",
        own.join(", ")
    ))
}

/// Spin ignores names that it does not know; here they are errors.
fn inherits(given: Option<&Inherit>) -> Result<BTreeSet<Capability>, String> {
    let all = Capability::ALL.iter();
    match given {
        None | Some(Inherit::All(false)) => Ok(BTreeSet::new()),
        Some(Inherit::All(true)) => Ok(all.map(|(it, _)| *it).collect()),
        Some(Inherit::Some(names)) => names.iter().map(|name| capability(name)).collect(),
    }
}

fn capability(name: &str) -> Result<Capability, String> {
    let found = Capability::ALL.iter().find(|(_, known)| *known == name).map(|(it, _)| *it);
    let known: Vec<&str> = Capability::ALL.iter().map(|(_, known)| *known).collect();
    found.ok_or_else(|| {
        format!("inherit_configuration: expected names from {}, found {name:?}", known.join(", "))
    })
}

//! The manifest as it is written. Every table refuses unknown keys.

use super::middleware::{Dependencies, Middleware};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) spin_manifest_version: i64,
    pub(super) application: Application,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, VariableDeclaration>,
    pub(super) trigger: Triggers,
    #[serde(default)]
    pub(super) component: BTreeMap<String, Component>,
}

/// `[application]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The name of the app.
    pub name: String,
    /// The version of the app; may be empty.
    #[serde(default)]
    pub version: String,
    /// A description for people.
    #[serde(default)]
    pub description: String,
    /// The authors, for people.
    #[serde(default)]
    pub authors: Vec<String>,
    #[serde(default)]
    pub(super) trigger: TriggerSettings,
    #[serde(default, rename = "targets")]
    _targets: Vec<toml::Value>,
    #[serde(default, rename = "tool")]
    _tool: toml::Table,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerSettings {
    pub(super) redis: Option<RedisSettings>,
    pub(super) http: Option<HttpSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedisSettings {
    pub(super) address: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSettings {
    pub(super) base: Option<String>,
}

/// One entry of `[variables]`: either required or with a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableDeclaration {
    /// The value if nothing else gives one.
    pub default: Option<String>,
    /// Whether a value is necessary for the app to start.
    #[serde(default)]
    pub required: bool,
    /// Whether the value must never be shown.
    #[serde(default)]
    pub secret: bool,
    #[serde(rename = "description")]
    pub(crate) _description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Triggers {
    #[serde(default)]
    pub(super) http: Vec<HttpTrigger>,
    #[serde(default)]
    pub(super) redis: Vec<RedisTrigger>,
}

/// One `[[trigger.http]]`: a route, and the component or the fixed response that answers it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTrigger {
    /// The trigger's name in messages.
    #[serde(default)]
    pub id: String,
    /// The requests that it answers.
    pub route: Route,
    /// The component that answers.
    pub component: Option<String>,
    /// The answer without a component.
    pub static_response: Option<StaticResponse>,
    pub(super) executor: Option<Executor>,
    #[serde(default)]
    pub(super) components: toml::Table,
    #[serde(default)]
    pub(super) dependencies: Dependencies,
    /// The components through which requests pass before that one, the outermost first.
    #[serde(skip)]
    pub middleware: Vec<Middleware>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Executor {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// The `route` of an HTTP trigger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Route {
    /// A path: exact, with `:name` segments, or with a trailing `/...`.
    Path(String),
    /// `{ private = true }`: reachable from other components only.
    Private(Private),
}

/// `{ private = true }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Private {
    /// Always true in a checked manifest.
    pub private: bool,
}

/// A response that the host gives by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticResponse {
    /// The status code; 200 if absent.
    pub status_code: Option<u16>,
    /// Names and values of fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body; empty if absent.
    pub body: Option<String>,
}

/// One `[[trigger.redis]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisTrigger {
    /// The trigger's name in messages.
    #[serde(default)]
    pub id: String,
    /// The channel, a template over the app's variables.
    pub channel: String,
    /// The server, a template over the app's variables.
    #[serde(default)]
    pub address: String,
    /// The component that receives the messages.
    pub component: String,
}

/// One `[component.*]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub(super) source: toml::Value,
    /// Files the component may read.
    #[serde(default)]
    pub files: Vec<FilesMount>,
    /// Glob patterns of files to leave out of `files`.
    #[serde(default)]
    pub exclude_files: Vec<String>,
    /// Environment variables of the component.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Addresses the component may reach; templates over the app's variables.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// The component's variables; templates over the app's variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) allowed_http_hosts: Vec<String>,
    #[serde(default)]
    pub(super) key_value_stores: Vec<String>,
    #[serde(default)]
    pub(super) sqlite_databases: Vec<String>,
    #[serde(default)]
    pub(super) ai_models: Vec<String>,
    #[serde(default)]
    pub(super) dependencies: toml::Table,
    #[serde(rename = "dependencies_inherit_configuration")]
    _dependencies_inherit_configuration: Option<bool>,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(rename = "build")]
    _build: Option<Build>,
    #[serde(rename = "targets")]
    _targets: Option<Vec<toml::Value>>,
    #[serde(default, rename = "tool")]
    _tool: toml::Table,
    #[serde(default, rename = "profile")]
    _profile: toml::Table,
}

impl Component {
    /// The path of the component's wasm file, relative to the manifest.
    #[must_use]
    pub fn source(&self) -> &str {
        self.source.as_str().unwrap_or_default()
    }
}

/// One entry of a component's `files`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum FilesMount {
    /// A path or glob, relative to the manifest on both sides.
    Pattern(String),
    /// A file or directory under another name.
    Placement(Placement),
}

/// `{ source = "...", destination = "..." }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Relative to the manifest.
    pub source: String,
    /// Absolute, in the component's file system.
    pub destination: String,
}

/// `[component.*.build]`: for `spin build`; read only to find misspelt keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    #[serde(rename = "command")]
    _command: toml::Value,
    #[serde(rename = "workdir")]
    _workdir: Option<String>,
    #[serde(default, rename = "watch")]
    _watch: Vec<String>,
}

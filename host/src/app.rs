//! A whole app: what the manifest describes, loaded and ready to run.

use crate::config::hosts::AllowedHosts;
use crate::config::template::Template;
use crate::config::variables::{self, ComponentVariables, Sources};
use crate::console::error_line;
use crate::error::Error;
use crate::http::reuse::Reuse;
use crate::http::{Destination, Front, HttpComponent, Router};
use crate::manifest::{HttpTrigger, Manifest, Middleware, Route};
use crate::outbound::http::{HttpClient, client};
use crate::outbound::permission::Permission;
use crate::runtime::files::Workspace;
use crate::runtime::prepared::Prepared;
use crate::runtime::state::{InstanceState, linker};
use crate::runtime::{denied, engine, loader};
use crate::subscriber::{Components, RedisComponent, Subscription};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// The options of the command line for an app, besides its manifest.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Values of variables that take precedence over all others.
    pub variables: BTreeMap<String, String>,
    /// Environment variables for every component, which take precedence over those in the manifest.
    pub environment: Vec<(String, String)>,
    /// The lifetime of HTTP instances.
    pub reuse: Reuse,
    /// The most bytes of memory for one instance; without a limit it is 4 GiB, the most WebAssembly has.
    pub max_instance_memory: Option<usize>,
    /// Whether the output of components goes to this process's stdout and stderr.
    pub print: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            environment: Vec::new(),
            reuse: Reuse::default(),
            max_instance_memory: None,
            print: true,
        }
    }
}

/// An app that can be served.
pub struct App {
    shared: Arc<Shared>,
    redis: Arc<Components>,
    subscriptions: Vec<Arc<Subscription>>,
    /// Holds the directory with the components' files.
    _workspace: Option<Workspace>,
}

/// The part of an app that its own instances can reach.
pub(crate) struct Shared {
    pub(crate) front: Front,
    listener: OnceLock<SocketAddr>,
}

impl Shared {
    /// Returns where the app listens, once it does.
    pub(crate) fn listener(&self) -> Option<SocketAddr> {
        self.listener.get().copied()
    }

    /// Sets the listener's address, if it is not set yet: an app has one listener.
    pub(crate) fn set_listener(&self, address: SocketAddr) {
        _ = self.listener.set(address);
    }
}

impl App {
    /// Loads the app of the manifest at `file`: reads variables, compiles components (or finds them
    /// compiled), checks their imports and copies their files.
    ///
    /// # Errors
    /// Anything that would keep the app from running, with its place.
    pub fn load(file: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let manifest = Manifest::load(file)?;
        for warning in &manifest.warnings {
            error_line(format_args!("warning: {}: {warning}", file.display()));
        }
        for name in options.variables.keys().filter(|name| !manifest.variables.contains_key(*name)) {
            error_line(format_args!("warning: variable {name:?} is not declared in {}", file.display()));
        }
        Loader::new(&manifest, options)?.load()
    }

    /// Returns routes and their destinations, for display.
    #[must_use]
    pub fn routes(&self) -> Vec<(String, String)> {
        let name = |destination: &Destination| match destination {
            Destination::Component(id) => id.clone(),
            Destination::Fixed(_) => "(static response)".to_owned(),
        };
        self.shared.front.router.iter().map(|(route, it)| (route, name(it))).collect()
    }

    /// Returns whether the app has an HTTP trigger, and so needs a listener.
    #[must_use]
    pub fn has_http(&self) -> bool {
        !self.shared.front.components.is_empty() || !self.shared.front.fixed.is_empty()
    }

    /// Returns whether the app has a Redis trigger.
    #[must_use]
    pub fn has_redis(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn subscriptions(&self) -> &[Arc<Subscription>] {
        &self.subscriptions
    }

    pub(crate) fn redis_components(&self) -> Arc<Components> {
        Arc::clone(&self.redis)
    }
}

struct Loader<'a> {
    manifest: &'a Manifest,
    options: &'a LoadOptions,
    values: BTreeMap<String, String>,
    engine: Engine,
    linker: Linker<InstanceState>,
    client: HttpClient,
    workspace: Option<Workspace>,
}

impl<'a> Loader<'a> {
    fn new(manifest: &'a Manifest, options: &'a LoadOptions) -> Result<Self, Error> {
        let dotenv = variables::read_dotenv(Path::new(".env"))?;
        let sources =
            Sources { flags: &options.variables, env: &|name| std::env::var(name), dotenv: &dotenv };
        let engine = engine::engine()?;
        let has_files = manifest.components.values().any(|it| !it.files.is_empty());
        Ok(Self {
            manifest,
            options,
            values: variables::resolve(&manifest.variables, &sources)?,
            linker: linker(&engine).map_err(Error::Engine)?,
            engine,
            client: client(),
            workspace: has_files.then(Workspace::new).transpose()?,
        })
    }

    fn load(self) -> Result<App, Error> {
        let shared = Arc::new(Shared { front: self.front()?, listener: OnceLock::new() });
        for component in shared.front.components.values() {
            component.attach(&shared);
        }
        let mut redis = BTreeMap::new();
        for trigger in &self.manifest.redis {
            if !redis.contains_key(&trigger.component) {
                redis.insert(
                    trigger.component.clone(),
                    RedisComponent::new(self.prepare(&trigger.component, &trigger.component, &[])?)?,
                );
            }
        }
        let subscriptions = self.subscriptions()?.into_iter().map(Arc::new).collect();
        Ok(App { shared, redis: Arc::new(redis), subscriptions, _workspace: self.workspace })
    }

    fn front(&self) -> Result<Front, Error> {
        let wrong = |problem| Error::manifest(&self.manifest.file, problem);
        let (mut routes, mut components, mut fixed) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (index, trigger) in self.manifest.http.iter().enumerate() {
            let instances = trigger.component.as_ref().map(|id| (id, instances(self.manifest, id, index)));
            let destination = match &instances {
                Some((_, name)) => Destination::Component(name.clone()),
                None => Destination::Fixed(index),
            };
            if let Some((id, name)) = instances.filter(|(_, name)| !components.contains_key(name)) {
                let prepared = self.prepare(&name, id, &trigger.middleware)?;
                components.insert(name, HttpComponent::new(prepared, self.options.reuse)?);
            }
            if let Some(response) = &trigger.static_response {
                fixed.insert(index, response.clone());
            }
            if let Route::Path(path) = &trigger.route {
                routes.push((path.as_str(), destination));
            }
        }
        let router = Router::new(routes).map_err(wrong)?;
        Ok(Front { router, components, fixed, info: self.info() })
    }

    fn info(&self) -> String {
        let mut info = serde_json::Map::new();
        info.insert("name".to_owned(), self.manifest.application.name.clone().into());
        if !self.manifest.application.version.is_empty() {
            info.insert("version".to_owned(), self.manifest.application.version.clone().into());
        }
        format!("{:#}", serde_json::Value::Object(info))
    }

    /// Prepares the component `id` with its middleware; its instances are called `name`.
    fn prepare(&self, name: &str, id: &str, middleware: &[Middleware]) -> Result<Prepared, Error> {
        let unknown = || Error::component(id, "expected a [component.*] of this id, found none");
        let component = self.manifest.components.get(id).ok_or_else(unknown)?;
        let root = self.manifest.root();
        let source = loader::Source { id, root, file: root.join(component.source()), middleware };
        let code = loader::load(&self.engine, &source)?;
        let mut linker = Cow::Borrowed(&self.linker);
        if !middleware.is_empty() {
            denied::link(linker.to_mut(), &self.engine, &code).map_err(Error::Engine)?;
        }
        let pre = linker
            .instantiate_pre(&code)
            .map_err(|e| Error::component(id, format!("expected imports this host provides: {e:#}")))?;
        let files = self.workspace.as_ref().map(|it| it.mount(name, component, root)).transpose()?.flatten();
        let mut environment = component.environment.clone();
        environment.extend(self.options.environment.iter().cloned());
        Ok(Prepared {
            id: name.to_owned(),
            pre,
            engine: self.engine.clone(),
            environment: environment.into_iter().collect(),
            files,
            variables: Arc::new(ComponentVariables::new(id, &component.variables, &self.values)?),
            permission: self.permission(id, &component.allowed_outbound_hosts),
            client: self.client.clone(),
            max_memory: self.options.max_instance_memory,
            print: self.options.print,
        })
    }

    /// Makes the permission. If the list turns out invalid with these values, it allows nothing, and the component still runs.
    fn permission(&self, id: &str, list: &[String]) -> Permission {
        let ids: Vec<String> = self.manifest.components.keys().cloned().collect();
        let parsed = AllowedHosts::parse(list, &self.values, &ids);
        if let Err(problem) = &parsed {
            error_line(format_args!(
                "component {id}: allowed_outbound_hosts: {problem}; the component cannot make any outbound connection"
            ));
        }
        Permission::new(parsed)
    }

    fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        let resolve = |text: &str| {
            let resolved = Template::parse(text).and_then(|it| it.resolve(&self.values));
            resolved.map_err(|e| Error::manifest(&self.manifest.file, format!("trigger.redis: {e}")))
        };
        let mut servers: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for trigger in &self.manifest.redis {
            let channels = servers.entry(resolve(&trigger.address)?).or_default();
            channels.entry(resolve(&trigger.channel)?).or_default().push(trigger.component.clone());
        }
        Ok(servers.into_iter().map(|(address, channels)| Subscription { address, channels }).collect())
    }
}

/// Returns the name of the instances of the component `id` for the HTTP trigger with this index. Two triggers of one
/// component may have different middleware: then their instances are different, too, as in Spin.
fn instances(manifest: &Manifest, id: &str, index: usize) -> String {
    let trigger = &manifest.http[index];
    let same = |other: &&HttpTrigger| other.component.as_deref() == Some(id);
    if trigger.middleware.is_empty() || manifest.http.iter().filter(same).count() == 1 {
        return id.to_owned();
    }
    let name = if trigger.id.is_empty() { "http-trigger" } else { &trigger.id };
    // The number makes it different from all others: several triggers may have the same id, and no id of a component
    // ends with a number after `-`.
    format!("{id}-for-{name}-{}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_with_middleware_never_share_instances() {
        let trigger = |rest: &str| format!("[[trigger.http]]\nroute = \"/\"\ncomponent = \"shop\"\n{rest}\n");
        let with = |id: &str, file: &str| {
            trigger(&format!("id = {id:?}\ndependencies.middleware = [{{ path = {file:?} }}]"))
        };
        let triggers =
            [with("a", "x.wasm"), with("a", "y.wasm"), with("", "x.wasm"), with("", "y.wasm"), trigger("")];
        let head =
            "spin_manifest_version = 2\napplication.name = \"a\"\ncomponent.shop.source = \"s.wasm\"\n";
        let manifest = Manifest::parse(&[head, &triggers.concat()].concat(), Path::new("spin.toml")).unwrap();
        let names: Vec<String> = (0..5).map(|index| instances(&manifest, "shop", index)).collect();
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), 5, "{names:?}");
        assert_eq!(names[4], "shop");
    }
}

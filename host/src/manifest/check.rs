//! Checks of a manifest beyond its grammar.

use super::Manifest;
use super::middleware;
use super::schema::{Component, HttpTrigger, Raw, RedisTrigger, Route, VariableDeclaration};
use crate::config::hosts::AllowedHosts;
use crate::config::template::Template;
use crate::config::variables;
use crate::http::WELL_KNOWN;
use std::collections::BTreeMap;
use std::path::Path;

type Components = BTreeMap<String, Component>;

/// Converts the parsed text to a manifest, or says what is wrong with it and where.
pub(super) fn check(raw: Raw, file: &Path) -> Result<Manifest, String> {
    if raw.spin_manifest_version != 2 {
        return Err(format!("spin_manifest_version: expected 2, found {}", raw.spin_manifest_version));
    }
    let settings = &raw.application.trigger;
    if let Some(base) = settings.http.as_ref().and_then(|it| it.base.as_deref()).filter(|base| *base != "/") {
        return Err(format!(
            "application.trigger.http.base: expected no base, found {base:?}; put it in the routes"
        ));
    }
    for (name, declaration) in &raw.variables {
        check_variable(name, declaration).map_err(|e| format!("variables.{e}"))?;
    }
    let mut warnings = Vec::new();
    for (id, component) in &raw.component {
        check_component(id, component, &raw, &mut warnings).map_err(|e| format!("component.{id}: {e}"))?;
    }
    let mut http = raw.trigger.http;
    for (index, trigger) in http.iter_mut().enumerate() {
        check_http(trigger, &raw.component).map_err(|e| at("http", index, &trigger.id, &e))?;
    }
    warnings.extend(repeated_routes(&http));
    warnings.extend(reserved_routes(&http));
    let default = settings.redis.as_ref().map_or("", |it| it.address.as_str());
    let mut redis = raw.trigger.redis;
    for (index, trigger) in redis.iter_mut().enumerate() {
        check_redis(trigger, default, &raw.component).map_err(|e| at("redis", index, &trigger.id, &e))?;
    }
    if http.is_empty() && redis.is_empty() {
        return Err("trigger: expected at least one [[trigger.http]] or [[trigger.redis]], found none".into());
    }
    Ok(Manifest {
        file: file.to_owned(),
        application: raw.application,
        variables: raw.variables,
        http,
        redis,
        components: raw.component,
        warnings,
    })
}

fn at(kind: &str, index: usize, id: &str, problem: &str) -> String {
    let place = if id.is_empty() { format!("number {}", index + 1) } else { format!("{id:?}") };
    format!("trigger.{kind} {place}: {problem}")
}

/// Warns about every route that a later trigger replaces.
fn repeated_routes(http: &[HttpTrigger]) -> Vec<String> {
    let taken = |(index, trigger): (usize, &HttpTrigger)| {
        let Route::Path(path) = &trigger.route else { return None };
        let again = http[index + 1..].iter().any(|later| later.route == trigger.route);
        let problem = format!("route {path:?}: never used, because a later trigger has the same route");
        again.then(|| at("http", index, &trigger.id, &problem))
    };
    http.iter().enumerate().filter_map(taken).collect()
}

/// Warns about every route whose paths the host answers itself.
fn reserved_routes(http: &[HttpTrigger]) -> Vec<String> {
    let reserved = |(index, trigger): (usize, &HttpTrigger)| {
        let Route::Path(path) = &trigger.route else { return None };
        let problem = format!("route {path:?}: never used, the host answers below {WELL_KNOWN}");
        let absolute = path.strip_prefix('/').unwrap_or(path);
        absolute.starts_with(&WELL_KNOWN[1..]).then(|| at("http", index, &trigger.id, &problem))
    };
    http.iter().enumerate().filter_map(reserved).collect()
}

fn check_variable(name: &str, declaration: &VariableDeclaration) -> Result<(), String> {
    variables::check_declared_name(name)?;
    match (declaration.required, declaration.default.is_some()) {
        (true, false) | (false, true) => Ok(()),
        (true, true) => Err(format!("{name}: expected `required` or `default`, found both")),
        (false, false) => Err(format!("{name}: expected `required` or `default`, found neither")),
    }
}

fn check_component(id: &str, it: &Component, raw: &Raw, warnings: &mut Vec<String>) -> Result<(), String> {
    check_id(id)?;
    if !it.source.is_str() {
        return Err(format!("source: expected the path of a wasm file, found {}", it.source.type_str()));
    }
    if !it.dependencies.is_empty() {
        return Err("dependencies: this host does not compose components; compose them beforehand".into());
    }
    if !it.allowed_http_hosts.is_empty() {
        return Err("allowed_http_hosts: no longer supported; use allowed_outbound_hosts".into());
    }
    for (key, list) in [
        ("key_value_stores", &it.key_value_stores),
        ("sqlite_databases", &it.sqlite_databases),
        ("ai_models", &it.ai_models),
    ] {
        if !list.is_empty() {
            warnings.push(format!("component.{id}: {key} is not provided by this host"));
        }
    }
    check_templates(it, raw)
}

/// Names in templates must exist, and what results from the defaults must be valid already. The rest can
/// be checked only when the values are known.
fn check_templates(component: &Component, raw: &Raw) -> Result<(), String> {
    for (name, text) in &component.variables {
        variables::check_declared_name(name).map_err(|e| format!("variables.{e}"))?;
        check_names(text, raw).map_err(|e| format!("variables.{name}: {e}"))?;
    }
    let defaults = variables::defaults(&raw.variables);
    let ids: Vec<String> = raw.component.keys().cloned().collect();
    for text in &component.allowed_outbound_hosts {
        let names = check_names(text, raw).map_err(|e| format!("allowed_outbound_hosts: {e}"))?;
        if names.iter().all(|name| defaults.contains_key(name)) {
            AllowedHosts::parse(std::slice::from_ref(text), &defaults, &ids)
                .map_err(|e| format!("allowed_outbound_hosts: {e}"))?;
        }
    }
    Ok(())
}

fn check_names(text: &str, raw: &Raw) -> Result<Vec<String>, String> {
    let template = Template::parse(text)?;
    let names: Vec<String> = template.variables().map(str::to_owned).collect();
    match names.iter().find(|name| !raw.variables.contains_key(*name)) {
        Some(name) => Err(format!("expected a name declared in [variables], found {name:?} in {text:?}")),
        None => Ok(names),
    }
}

/// Checks that an id consists of words of letters and digits, joined by `-`, each beginning with a letter and in one case.
fn check_id(id: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        let plain = word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric());
        let lower = !word.chars().any(|c| c.is_ascii_uppercase());
        plain && (lower || !word.chars().any(|c| c.is_ascii_lowercase()))
    };
    if id.split('-').all(is_word) {
        return Ok(());
    }
    Err(format!("expected an id of words with `-` between them, found {id:?}"))
}

fn check_http(trigger: &mut HttpTrigger, components: &Components) -> Result<(), String> {
    if let Route::Private(route) = &trigger.route
        && !route.private
    {
        return Err("route: expected a path or { private = true }, found { private = false }".into());
    }
    if let Some(executor) =
        trigger.executor.as_ref().filter(|it| !matches!(it.kind.as_str(), "http" | "spin"))
    {
        return Err(format!("executor: expected type \"http\", found {:?}", executor.kind));
    }
    if !trigger.components.is_empty() {
        return Err("components: expected only `component`".into());
    }
    let middleware = trigger.dependencies.middleware.iter().map(|it| middleware::check(it, components));
    trigger.middleware =
        middleware.collect::<Result<_, _>>().map_err(|e| format!("dependencies.middleware: {e}"))?;
    if trigger.component.is_none() && !trigger.middleware.is_empty() {
        return Err(
            "dependencies.middleware: expected a `component` behind the middleware, found none".into()
        );
    }
    match (&trigger.component, &trigger.static_response) {
        (Some(id), None) => check_reference(id, components),
        (None, Some(response)) => check_static_response(response),
        (None, None) => Err("expected `component` or `static_response`, found neither".into()),
        (Some(_), Some(_)) => Err("expected `component` or `static_response`, found both".into()),
    }
}

fn check_static_response(response: &super::StaticResponse) -> Result<(), String> {
    let built = response.headers.iter().fold(
        http::Response::builder().status(response.status_code.unwrap_or(200)),
        |builder, (name, value)| builder.header(name, value),
    );
    built.body(()).map(drop).map_err(|e| format!("static_response: {e}"))
}

fn check_redis(trigger: &mut RedisTrigger, default: &str, components: &Components) -> Result<(), String> {
    if trigger.address.is_empty() {
        default.clone_into(&mut trigger.address);
    }
    if trigger.address.is_empty() {
        return Err("expected `address` here or in [application.trigger.redis], found neither".into());
    }
    check_reference(&trigger.component, components)
}

fn check_reference(id: &str, components: &Components) -> Result<(), String> {
    if components.contains_key(id) {
        return Ok(());
    }
    Err(format!("component: expected the id of a [component.*], found {id:?}"))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

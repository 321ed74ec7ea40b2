//! Values of Spin variables: from the command line, or else from the environment. They are passed on in the
//! environment, which other users of the machine cannot read, unlike a command line.

use std::collections::BTreeMap;
use std::process::Command;

use crate::failure::{Context, Result, fail};

/// The values, by name.
#[derive(Debug, Default, Clone)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Sets a variable that is unset or empty.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none_or(|value| value.is_empty()) {
            self.set(name, value);
        }
    }

    /// Sets a variable from `name=value` or, as Spin does, from `name=@file`.
    pub(crate) fn set_pair(&mut self, pair: &str) -> Result<()> {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_name(name)) else {
            let found = pair.split('=').next().unwrap_or_default();
            return fail(format!(
                "--variable: expected name=value with a name like origin_url, found `{found}`"
            ));
        };
        match value.strip_prefix('@') {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                self.set(name, &text.cannot(format_args!("read {file} for the variable {name}"))?);
            }
            None => self.set(name, value),
        }
        Ok(())
    }

    /// Returns the value that components will see, without white space around it. Defaults of the manifest and what a
    /// file `.env` says do not count.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = self.0.get(name).cloned().or_else(|| std::env::var(in_environment(name)).ok());
        value.map(|value| value.trim().to_owned())
    }

    /// Returns the names of those set here that the manifest does not declare. The host would ignore them, since they reach it
    /// in the environment.
    pub(crate) fn undeclared(&self, manifest: &str) -> Vec<&str> {
        let lines = manifest.lines().skip_while(|line| line.trim() != "[variables]").skip(1);
        let declared = lines.take_while(|line| !line.starts_with('['));
        let declared: Vec<&str> = declared.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
        self.0.keys().map(String::as_str).filter(|name| !declared.contains(name)).collect()
    }

    /// Passes all variables to a host.
    pub(crate) fn export(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(name, value)| (in_environment(name), value)));
    }
}

/// Returns the name in the environment that Spin reads.
pub(crate) fn in_environment(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase())
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_checked_and_values_never_repeated() {
        let mut variables = Variables::default();
        variables.set_pair("config=a=b").unwrap();
        assert_eq!(variables.get("config").as_deref(), Some("a=b"));
        for pair in ["no-such=secret", "=secret", "Upper=secret"] {
            let failure = variables.set_pair(pair).unwrap_err().to_string();
            assert!(!failure.contains("secret"), "{failure}");
        }
    }

    #[test]
    fn a_value_may_come_from_a_file() {
        let file = std::env::temp_dir().join(format!("spindrift-xtask-variable-{}", std::process::id()));
        std::fs::write(&file, " redis://cache:6379\n").unwrap();
        let mut variables = Variables::default();
        let read = variables.set_pair(&format!("redis_url=@{}", file.display()));
        std::fs::remove_file(&file).unwrap();
        read.unwrap();
        assert_eq!(
            variables.get("redis_url").as_deref(),
            Some("redis://cache:6379"),
            "without blanks around it"
        );
        let failure = variables.set_pair(&format!("config=@{}", file.display())).unwrap_err().to_string();
        assert!(failure.contains("cannot read") && failure.contains("config"), "{failure}");
    }

    #[test]
    fn names_that_the_manifest_does_not_declare_are_found() {
        let manifest =
            "[a]\nx = 1\n[variables]\n# orign_url = no\norigin_url = { default = \"a=b\" }\n\n[b]\ny = 1\n";
        let mut variables = Variables::default();
        for name in ["origin_url", "orign_url", "x", "y"] {
            variables.set(name, "");
        }
        assert_eq!(variables.undeclared(manifest), ["orign_url", "x", "y"]);
        let own = include_str!("../../spin.toml");
        let mut variables = Variables::default();
        for name in ["origin_url", "redis_url", "redis_host", "redis_enabled", "admin_token", "config"] {
            variables.set(name, "");
        }
        assert!(variables.undeclared(own).is_empty());
    }

    #[test]
    fn what_is_set_stays() {
        let mut variables = Variables::default();
        variables.set("redis_host", "redis://a:1");
        variables.set_default("redis_host", "redis://b:2");
        assert_eq!(variables.get("redis_host").as_deref(), Some("redis://a:1"));
        variables.set("redis_host", "");
        variables.set_default("redis_host", "redis://b:2");
        assert_eq!(variables.get("redis_host").as_deref(), Some("redis://b:2"), "nothing is no address");
        assert_eq!(in_environment("redis_host"), "SPIN_VARIABLE_REDIS_HOST");
    }
}

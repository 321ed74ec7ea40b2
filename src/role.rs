//! Where Spindrift stands: in front of an origin that it reaches over the network, or, as middleware, in front
//! of another component of the same app.

use crate::config::{Strings, VARIABLES};

/// The prefix that the variables of a middleware may have.
const PREFIX: &str = "spindrift_";

/// The variable that a middleware does not use.
const ORIGIN_URL: &str = "origin_url";

/// Where a request goes that the cache does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To the origin, as a request of our own: to its address, with `Via`, `CDN-Loop` and the forwarding fields added.
    Gateway,
    /// To the next component, unchanged: no network lies between, and the app should see what it would see without
    /// a cache in front of it.
    Middleware,
}

impl Role {
    /// Returns the names of all variables that this role reads.
    ///
    /// A middleware is given the variables of the app in front of which it stands, and the app may use the same names for
    /// something else. So each variable is read with the prefix `spindrift_` first, and then under its plain name.
    #[must_use]
    pub fn variables(self) -> Vec<String> {
        match self {
            Self::Gateway => VARIABLES.map(str::to_owned).to_vec(),
            Self::Middleware => {
                let own = VARIABLES.into_iter().filter(|name| *name != ORIGIN_URL);
                own.flat_map(|name| [prefixed(name), name.to_owned()]).collect()
            }
        }
    }
}

fn prefixed(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The variables as seen by a role.
pub(crate) struct Variables<'a, V> {
    pub(crate) role: Role,
    pub(crate) all: &'a V,
}

impl<V: Strings> Strings for Variables<'_, V> {
    fn get(&self, name: &str) -> Option<String> {
        match self.role {
            Role::Gateway => self.all.get(name),
            Role::Middleware if name == ORIGIN_URL => None,
            Role::Middleware => self.all.get(&prefixed(name)).or_else(|| self.all.get(name)),
        }
    }

    fn called(&self, name: &str) -> String {
        let is_prefixed = self.role == Role::Middleware && self.all.get(&prefixed(name)).is_some();
        if is_prefixed { prefixed(name) } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn middleware(given: &[(&'static str, &'static str)]) -> impl Strings {
        let given = given.to_vec();
        move |name: &str| given.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_variables_of_a_middleware_win_over_the_apps_of_the_same_name() {
        let all = middleware(&[
            ("redis_url", "redis://app.example:6379"),
            ("spindrift_redis_url", "redis://cache.example:6379"),
            ("config", "{ \"not\": \"toml\" }"),
            ("spindrift_config", ""),
            ("redis_channel", "purges"),
        ]);
        let variables = Variables { role: Role::Middleware, all: &all };
        let settings = Settings::load(&variables).unwrap();
        assert_eq!(settings.redis.unwrap().url().expose(), "redis://cache.example:6379");
        assert_eq!(settings.channel, "purges");
        assert_eq!(Config::load(&variables, Ok(b"")), Ok(Config::default()));
        let gateway = Variables { role: Role::Gateway, all: &all };
        assert_eq!(
            Settings::load(&gateway).unwrap().redis.unwrap().url().expose(),
            "redis://app.example:6379"
        );
    }

    #[test]
    fn a_middleware_has_no_origin_whatever_the_app_calls_so() {
        let all = middleware(&[("origin_url", "https://example.com/a/path?and=query")]);
        assert!(Settings::load(&Variables { role: Role::Gateway, all: &all }).is_err());
        assert!(Settings::load(&Variables { role: Role::Middleware, all: &all }).is_ok());
        assert!(!Role::Middleware.variables().iter().any(|name| name.ends_with(ORIGIN_URL)));
        assert_eq!(Role::Gateway.variables(), VARIABLES);
    }

    #[test]
    fn a_mistake_is_reported_under_the_name_that_was_read() {
        let problems = |given: &[(&'static str, &'static str)]| {
            let all = middleware(given);
            let variables = Variables { role: Role::Middleware, all: &all };
            let text =
                Config::load(&variables, Ok(b"")).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
            text + &Settings::load(&variables).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
        };
        let text = problems(&[("spindrift_redis_enabled", "yes"), ("spindrift_config", "x = 1")]);
        assert!(text.starts_with("variable spindrift_config:1:1: x: unknown key"), "{text}");
        assert!(text.contains("variable spindrift_redis_enabled: expected true or false"), "{text}");
        assert!(problems(&[("redis_enabled", "yes")]).starts_with("variable redis_enabled: "));
    }
}

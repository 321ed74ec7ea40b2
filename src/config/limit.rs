//! `[[limit]]`: rate limits; `[client]`: how clients are identified.

use super::clients::canonical;
use super::suggest;
use super::table::Table;
use super::value::{boolean, duration, expected, integer, one_of, shown, string};
use crate::api::FAILURES;
use crate::limit::{
    AddressRules, Algorithm, ForwardingField, KeyPart, MAX_LOG_COST, MAX_PERIOD, MAX_POLICIES, MAX_UNITS,
    Mode, Policy, Quota, is_name,
};
use http::Method;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

/// A rate limit: its policy, and which requests of a route it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The policy.
    pub policy: Policy,
    /// What requests must have in common to be counted together; empty: all are counted together.
    pub key: Vec<KeyPart>,
    /// The units that one request takes.
    pub cost: NonZeroU32,
    /// The methods that are counted; empty: all.
    pub methods: Vec<Method>,
    /// Which requests are counted.
    pub counts: Counts,
}

/// Which requests a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counts {
    /// All requests, including those answered from the cache.
    #[default]
    Requests,
    /// Requests that go to the origin.
    Misses,
}

/// The keys of `[[limit]]`.
pub(super) const KEYS: [&str; 13] = [
    "name",
    "algorithm",
    "limit",
    "period",
    "burst",
    "lease",
    "key",
    "cost",
    "methods",
    "counts",
    "mode",
    "instances",
    "shadow",
];

/// The default time for which a slot of a concurrency limit is held without being renewed.
const LEASE: Duration = Duration::from_secs(30);

/// Reads all `[[limit]]` tables.
pub(super) fn read_all(tables: Vec<Table<'_, '_>>) -> Vec<Rc<Limit>> {
    let mut limits: Vec<Rc<Limit>> = Vec::with_capacity(tables.len());
    for mut table in tables {
        if let Some(limit) = read(&mut table) {
            if limits.iter().any(|other| other.policy.name() == limit.policy.name()) {
                table.fail("name", "expected a unique name, another [[limit]] has the same");
            }
            limits.push(Rc::new(limit));
        }
        table.finish(|key| match key {
            "rate" | "window" | "seconds" => Some("a limit allows `limit` units per `period`"),
            "route" | "path" | "host" => Some("a route names its limits: limits = [\"name\"] in [[route]]"),
            _ => None,
        });
    }
    limits
}

fn read(table: &mut Table<'_, '_>) -> Option<Limit> {
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    let what = "a name of 1 to 64 letters, digits, \"-\", \"_\" or \".\"";
    let name = table.read("name", string(what, |text| is_name(text).then(|| text.to_owned())));
    let algorithm = table.read("algorithm", one_of(&algorithms)).unwrap_or_default();
    let quota = read_quota(table, algorithm);
    let key = table.strings("key", part).unwrap_or_else(|| vec![KeyPart::Client]);
    let methods = table.strings("methods", string("a method like \"POST\"", method)).unwrap_or_default();
    let counts = table.read("counts", one_of(&[("requests", Counts::Requests), ("misses", Counts::Misses)]));
    let cost = table.read("cost", units(MAX_UNITS)).unwrap_or(NonZeroU32::MIN);
    let mode = read_mode(table);
    let shadow = table.read("shadow", boolean).unwrap_or_default();
    require(table, "name");
    repeated(table, "key", &key);
    let name = name?;
    if name == FAILURES {
        table.fail(
            "name",
            format!("expected a name other than {FAILURES:?}, which is the limit for wrong tokens"),
        );
    }
    let policy = quota.and_then(|quota| {
        let policy = Policy::new(&name, algorithm, quota);
        policy.map_err(|error| table.fail("limit", error.to_string())).ok()
    });
    if let Some(policy) = &policy {
        check_cost(table, policy, cost);
    }
    let policy = policy.or_else(|| stand_in(&name))?.with_mode(mode).in_shadow(shadow);
    Some(Limit { policy, key, cost, methods, counts: counts.unwrap_or_default() })
}

/// Stands in for an invalid policy, which is reported, so that the name itself is not reported as unknown.
fn stand_in(name: &str) -> Option<Policy> {
    let quota = Quota::new(NonZeroU32::MIN, LEASE).ok()?;
    Policy::new(name, Algorithm::default(), quota).ok()
}

fn read_quota(table: &mut Table<'_, '_>, algorithm: Algorithm) -> Option<Quota> {
    let concurrency = algorithm == Algorithm::Concurrency;
    let times = Duration::from_millis(1)..=MAX_PERIOD;
    let limit = table.read("limit", units(MAX_UNITS));
    let period = table.read("period", duration(times));
    let lease = table.read("lease", duration(Duration::from_secs(1)..=MAX_PERIOD));
    let burst = table.read("burst", units(MAX_UNITS));
    require(table, "limit");
    useless(table, "burst", algorithm != Algorithm::Gcra, "only the algorithm \"gcra\" has one");
    useless(table, "lease", !concurrency, "only the algorithm \"concurrency\" has one");
    useless(table, "period", concurrency, "a concurrency limit has none; `lease` is how long a slot is held");
    if !concurrency {
        require(table, "period");
    }
    let period = if concurrency { Some(lease.unwrap_or(LEASE)) } else { period };
    let quota = Quota::new(limit?, period?).and_then(|quota| match burst {
        Some(burst) if algorithm == Algorithm::Gcra => quota.with_burst(burst),
        _ => Ok(quota),
    });
    quota.map_err(|error| table.fail("burst", error.to_string())).ok()
}

fn read_mode(table: &mut Table<'_, '_>) -> Mode {
    let modes = [
        ("open", Mode::Open),
        ("closed", Mode::Closed),
        ("local", Mode::Local { instances: NonZeroU32::MIN }),
    ];
    let mode = table.read("mode", one_of(&modes)).unwrap_or_default();
    let instances = table.read("instances", units(100_000));
    let local = matches!(mode, Mode::Local { .. });
    useless(table, "instances", !local, "only the mode \"local\" divides a limit");
    match instances {
        Some(instances) if local => Mode::Local { instances },
        _ => mode,
    }
}

fn check_cost(table: &Table<'_, '_>, policy: &Policy, cost: NonZeroU32) {
    let (most, cost) = (policy.most(), cost.get());
    if cost > most {
        let why = match policy.algorithm() {
            Algorithm::Log => format!("at most the limit and at most {MAX_LOG_COST}"),
            Algorithm::Concurrency => "the cost of one slot".to_owned(),
            Algorithm::Gcra | Algorithm::Window => "at most what can be admitted at once".to_owned(),
        };
        table.fail("cost", format!("expected {why}, which is {most}, found {cost}"));
    }
}

fn require(table: &Table<'_, '_>, key: &str) {
    if !table.has(key) {
        table.fail_all(format!("expected `{key}`"));
    }
}

fn useless(table: &Table<'_, '_>, key: &str, is: bool, why: &str) {
    if is && table.has(key) {
        table.fail_key(key, format!("has no effect: {why}"));
    }
}

fn repeated<T: PartialEq + std::fmt::Display>(table: &Table<'_, '_>, key: &str, items: &[T]) {
    let again =
        items.iter().enumerate().find(|(at, item)| items.iter().take(*at).any(|other| other == *item));
    if let Some((_, item)) = again {
        table.fail(key, format!("expected each item once, found \"{item}\" again"));
    }
}

fn units(most: u32) -> impl Fn(&toml::de::DeValue<'_>) -> Result<NonZeroU32, String> {
    move |value| {
        let number = integer(1..=u64::from(most))(value)?;
        u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or_else(|| expected("a whole number", value))
    }
}

/// The parts of a key that exist only on routes with sessions.
const OF_SESSIONS: [KeyPart; 2] = [KeyPart::Session, KeyPart::User];

fn part(value: &toml::de::DeValue<'_>) -> Result<KeyPart, String> {
    let what = "\"client\", \"session\", \"user\", \"host\", \"path\", \"method\", \"route\", \"header:<name>\" or \
                \"cookie:<name>\"";
    string(what, KeyPart::parse)(value)
}

fn method(text: &str) -> Option<Method> {
    let upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    Method::from_bytes(text.as_bytes()).ok().filter(|_| upper)
}

/// Reads the key `limits`, a list of names from `all`; `None` when it is missing. `sessions` says whether the requests
/// here have sessions.
pub(super) fn read_names(
    table: &mut Table<'_, '_>,
    all: &[Rc<Limit>],
    sessions: bool,
) -> Option<Vec<Rc<Limit>>> {
    let named = |value: &toml::de::DeValue<'_>| {
        let name = string("the name of a [[limit]]", |text| Some(text.to_owned()))(value)?;
        all.iter().find(|limit| limit.policy.name() == name).cloned().ok_or_else(|| unknown(&name, all))
    };
    let limits = table.strings("limits", named)?;
    let names: Vec<&str> = limits.iter().map(|limit| limit.policy.name()).collect();
    repeated(table, "limits", &names);
    let of_session = |limit: &&Rc<Limit>| limit.key.iter().any(|part| OF_SESSIONS.contains(part));
    if let Some(limit) = limits.iter().find(of_session).filter(|_| !sessions) {
        let (name, expected) = (limit.policy.name(), "expected limits whose key needs no session");
        table.fail("limits", format!("{expected}, found \"{name}\": use it in a [[route]] with `session`"));
    }
    if limits.len() > MAX_POLICIES {
        table.fail("limits", format!("expected at most {MAX_POLICIES} limits, found {}", limits.len()));
    }
    Some(limits)
}

fn unknown(name: &str, all: &[Rc<Limit>]) -> String {
    let names: Vec<&str> = all.iter().map(|limit| limit.policy.name()).collect();
    match suggest::closest(name, &names) {
        Some(meant) => format!("there is no [[limit]] {}, did you mean \"{meant}\"?", shown(name)),
        None if names.is_empty() => format!("there is no [[limit]] {}: no limit is configured", shown(name)),
        None => format!("there is no [[limit]] {}, expected one of: {}", shown(name), names.join(", ")),
    }
}

/// The keys of `[client]`.
#[cfg(test)]
pub(super) const CLIENT_KEYS: [&str; 3] = ["trusted_proxies", "forwarding_field", "ipv6_prefix"];

/// Reads `[client]`.
pub(super) fn read_client(mut table: Table<'_, '_>) -> AddressRules {
    let default = AddressRules::default();
    let what = "a network like \"10.0.0.0/8\" or \"2001:db8::/32\"";
    let fields =
        [("x-forwarded-for", ForwardingField::XForwardedFor), ("forwarded", ForwardingField::Forwarded)];
    let trusted_proxies = table
        .strings("trusted_proxies", string(what, |text| text.parse().ok().map(canonical)))
        .unwrap_or_default();
    let field = table.read("forwarding_field", one_of(&fields)).unwrap_or_default();
    let prefix = table.read("ipv6_prefix", integer(1..=128)).and_then(|bits| u8::try_from(bits).ok());
    let missing = !table.has("trusted_proxies");
    useless(
        &table,
        "forwarding_field",
        missing,
        "it is believed only from `trusted_proxies`, and there are none",
    );
    table.finish(|_| None);
    AddressRules { trusted_proxies, field, ipv6_prefix: prefix.unwrap_or(default.ipv6_prefix) }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn errors(text: &str) -> String {
        Config::parse(text, "f").unwrap_err().to_string()
    }

    fn limit(keys: &str) -> Rc<Limit> {
        let config = Config::parse(&format!("[[limit]]\nname = \"a\"\n{keys}"), "f").unwrap();
        Rc::clone(config.limit("a").unwrap())
    }

    #[test]
    fn everything_that_can_be_said_of_a_limit_is_heard() {
        let said = limit(
            "algorithm = \"gcra\"\nlimit = 100\nperiod = \"1m\"\nburst = 20\nkey = [\"client\", \"header:X-Api-Key\"]\n\
             cost = 2\nmethods = [\"POST\", \"PURGE\"]\ncounts = \"misses\"\nmode = \"local\"\ninstances = 4\nshadow = true",
        );
        let quota = said.policy.quota();
        assert_eq!((quota.limit().get(), quota.burst().get(), quota.period().as_secs()), (100, 20, 60));
        assert_eq!(said.key, [KeyPart::Client, KeyPart::Header("x-api-key".parse().unwrap())]);
        assert_eq!((said.cost.get(), said.counts), (2, Counts::Misses));
        assert_eq!(said.methods, [Method::POST, Method::from_bytes(b"PURGE").unwrap()]);
        assert!(said.policy.shadow());
        assert_eq!(said.policy.mode(), Mode::Local { instances: NonZeroU32::new(4).unwrap() });
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let said = limit("limit = 5\nperiod = \"1s\"");
        assert_eq!((said.policy.algorithm(), said.policy.mode()), (Algorithm::Gcra, Mode::Open));
        assert_eq!(
            (said.policy.quota().burst().get(), said.cost.get(), said.counts),
            (5, 1, Counts::Requests)
        );
        assert_eq!(said.key, [KeyPart::Client]);
        assert!(!said.policy.shadow() && said.methods.is_empty());
        let slots = limit("algorithm = \"concurrency\"\nlimit = 5");
        assert_eq!(slots.policy.period(), LEASE);
        assert!(limit("limit = 5\nperiod = \"1s\"\nkey = []").key.is_empty());
    }

    #[test]
    fn a_route_says_which_limits_it_has_and_else_those_of_all_hold() {
        let text = r#"
            limits = ["a"]
            [[limit]]
            name = "a"
            limit = 1
            period = "1s"
            [[limit]]
            name = "b"
            limit = 1
            period = "1s"
            [[route]]
            path = "/both"
            limits = ["a", "b"]
            [[route]]
            path = "/none"
            limits = []
            [[route]]
            path = "/all"
        "#;
        let config = Config::parse(text, "f").unwrap();
        for (path, expected) in
            [("/both", &["a", "b"][..]), ("/none", &[]), ("/all", &["a"]), ("/elsewhere", &["a"])]
        {
            let limits = &config.route("h", path).limits;
            let names: Vec<&str> = limits.iter().map(|limit| limit.policy.name()).collect();
            assert_eq!(names, expected, "{path}");
        }
        assert_eq!(config.limits().count(), 2);
    }

    /// The beginning of a valid limit of five units.
    const HEAD: &str = "[[limit]]\nname = \"a\"\nlimit = 5\nperiod = \"1s\"\n";

    /// Checks that a text is wrong for this reason and no other: as many as there are lines in `expected`.
    fn wrong(text: &str, expected: &str) {
        let found = errors(text);
        assert!(found.contains(expected), "{text}: {found}");
        assert_eq!(found.lines().count(), expected.lines().count(), "{text}: {found}");
    }

    #[test]
    fn a_limit_has_a_name_a_number_and_a_period() {
        wrong(
            "[[limit]]",
            "f:1:1: limit[0]: expected `limit`\nf:1:1: limit[0]: expected `name`\nf:1:1: limit[0]: expected `period`",
        );
    }

    #[test]
    fn a_name_is_short_and_unique_and_not_that_of_our_own_limit() {
        let named = |name: &str| HEAD.replace("\"a\"", &format!("{name:?}"));
        wrong(&named("a b"), "limit[0].name: expected a name of 1 to 64 letters");
        wrong(
            &named("api-failures"),
            "f:2:8: limit[0].name: expected a name other than \"api-failures\", which is the limit for wrong tokens",
        );
        wrong(&format!("{HEAD}{HEAD}"), "f:6:8: limit[1].name: expected a unique name");
    }

    #[test]
    fn a_quota_is_within_bounds() {
        let quota = |keys: &str| format!("[[limit]]\nname = \"a\"\n{keys}");
        wrong(
            &quota("limit = 0\nperiod = \"1s\""),
            "limit[0].limit: expected a whole number from 1 to 10000000, found the number 0",
        );
        wrong(
            &quota("limit = 1\nperiod = \"0s\""),
            "limit[0].period: expected a duration from \"1ms\" to \"365d\"",
        );
        wrong(
            &quota("limit = 1\nperiod = \"365d\"\nburst = 2"),
            "limit[0].burst: expected a burst that is replenished within 365 days",
        );
    }

    #[test]
    fn a_log_is_not_endless() {
        wrong(
            "[[limit]]\nname = \"a\"\nlimit = 20000\nalgorithm = \"log\"\nperiod = \"1s\"",
            "limit[0].limit: expected a limit of at most 10000 for the algorithm log",
        );
    }

    #[test]
    fn algorithms_and_modes_are_known_words() {
        wrong(
            &format!("{HEAD}algorithm = \"token\""),
            "limit[0].algorithm: expected \"gcra\" or \"window\" or \"log\" or \"concurrency\"",
        );
        wrong(
            &format!("{HEAD}mode = \"close\""),
            "limit[0].mode: expected \"open\" or \"closed\" or \"local\"",
        );
    }

    #[test]
    fn what_another_algorithm_or_mode_has_is_refused() {
        wrong(
            &format!("{HEAD}algorithm = \"window\"\nburst = 6"),
            "f:6:1: limit[0].burst: has no effect: only the algorithm \"gcra\"",
        );
        wrong(&format!("{HEAD}lease = \"1m\""), "limit[0].lease: has no effect");
        wrong(&format!("{HEAD}algorithm = \"concurrency\""), "limit[0].period: has no effect");
        wrong(&format!("{HEAD}instances = 6"), "limit[0].instances: has no effect");
    }

    #[test]
    fn a_cost_is_one_that_can_be_admitted() {
        wrong(
            &format!("{HEAD}cost = 6"),
            "limit[0].cost: expected at most what can be admitted at once, which is 5, found 6",
        );
    }

    #[test]
    fn a_key_has_known_parts_each_once() {
        wrong(&format!("{HEAD}key = [\"ip\"]"), "limit[0].key[0]: expected \"client\", \"session\"");
        wrong(
            &format!("{HEAD}key = [\"client\", \"client\"]"),
            "limit[0].key: expected each item once, found \"client\" again",
        );
    }

    #[test]
    fn a_key_of_sessions_is_for_routes_with_sessions() {
        wrong(
            &format!("{HEAD}key = [\"user\"]\n[[route]]\npath = \"/\"\nlimits = [\"a\"]"),
            "route[0].limits: expected limits whose key needs no session, found \"a\"",
        );
    }

    #[test]
    fn methods_are_in_upper_case() {
        wrong(&format!("{HEAD}methods = [\"post\"]"), "limit[0].methods[0]: expected a method like \"POST\"");
    }

    #[test]
    fn an_unknown_key_is_answered_with_what_was_meant() {
        wrong(
            &format!("{HEAD}rate = 5"),
            "limit[0].rate: unknown key here: a limit allows `limit` units per `period`",
        );
        wrong(&format!("{HEAD}brust = 5"), "limit[0].brust: unknown key, did you mean \"burst\"?");
    }

    #[test]
    fn the_limits_of_a_route_exist_and_are_named_once() {
        wrong(
            &format!("limits = [\"b\"]\n{HEAD}"),
            "f:1:11: limits[0]: there is no [[limit]] \"b\", did you mean \"a\"?",
        );
        wrong("limits = [\"b\"]", "limits[0]: there is no [[limit]] \"b\": no limit is configured");
        wrong(
            &format!("{HEAD}[[route]]\npath = \"/\"\nlimits = [\"c\"]"),
            "route[0].limits[0]: there is no [[limit]]",
        );
        wrong(
            &format!("limits = [\"a\", \"a\"]\n{HEAD}"),
            "limits: expected each item once, found \"a\" again",
        );
    }

    #[test]
    fn an_invalid_limit_is_not_reported_as_unknown_as_well() {
        let used = |keys: &str| format!("limits = [\"a\"]\n[[limit]]\nname = \"a\"\n{keys}\nperiod = \"1s\"");
        wrong(&used("limit = \"5\""), "f:4:9: limit[0].limit: expected a whole number from 1 to 10000000");
        wrong(
            &used("algorithm = \"log\"\nlimit = 20000"),
            "f:5:9: limit[0].limit: expected a limit of at most 10000 for the algorithm log",
        );
    }

    #[test]
    fn the_client_section_has_networks_and_no_useless_keys() {
        wrong(
            "[client]\ntrusted_proxies = [\"10.0.0.1\"]",
            "client.trusted_proxies[0]: expected a network like",
        );
        wrong("[client]\nipv6_prefix = 0", "client.ipv6_prefix: expected a whole number from 1 to 128");
        wrong("[client]\nforwarding_field = \"forwarded\"", "client.forwarding_field: has no effect");
    }

    #[test]
    fn the_client_section_says_whose_word_is_taken() {
        let text = "[client]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]\nforwarding_field = \"forwarded\"\nipv6_prefix = 56";
        let rules = Config::parse(text, "f").unwrap().client;
        assert_eq!(
            (rules.trusted_proxies.len(), rules.field, rules.ipv6_prefix),
            (2, ForwardingField::Forwarded, 56)
        );
        assert_eq!(Config::parse("", "f").unwrap().client, AddressRules::default());
        let mapped = "[client]\ntrusted_proxies = [\"::ffff:10.0.0.0/104\"]";
        let networks = Config::parse(mapped, "f").unwrap().client.trusted_proxies;
        assert_eq!(networks, ["10.0.0.0/8".parse().unwrap()], "as addresses of clients are compared");
    }
}

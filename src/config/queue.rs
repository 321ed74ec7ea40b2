//! `[[queue]]`: the settings of queues, and the targets to which their jobs are pushed.

use super::address::HostPort;
use super::errors::ConfigError;
use super::table::Table;
use super::value::{duration, expected, integer, shown, string};
use super::{Settings, Strings};
use crate::job::{Backoff, QueueName};
use crate::webhook::is_name;
use http::Uri;
use std::num::NonZeroU16;
use std::time::Duration;
use toml::de::DeValue;

/// The keys that only a queue with a target may have.
const PUSH_KEYS: [&str; 3] = ["keys", "concurrency", "timeout"];

/// `[[queue]]`: the settings for the jobs of one queue, unless a job has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The name of the queue.
    pub name: QueueName,
    /// How often a job is attempted. Default 10.
    pub max_attempts: u16,
    /// How long a job waits between attempts. Default from 10 s to 1 h.
    pub backoff: Backoff,
    /// Where its jobs are pushed to; `None` if they wait to be claimed.
    pub push: Option<Push>,
}

/// Where the jobs of a queue are pushed to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// An absolute `http://` or `https://` URI without user information.
    pub target: Uri,
    /// The key ring in `webhook_keys` that signs; empty for the one without a name.
    pub keys: String,
    /// How many deliveries may be under way at once, over all instances. Default 4.
    pub concurrency: NonZeroU16,
    /// How long the target may take to answer. Default 15 s.
    pub timeout: Duration,
}

/// The default number of attempts of a job.
pub const MAX_ATTEMPTS: u16 = 10;
/// The greatest number of attempts.
pub const MOST_ATTEMPTS: u16 = 1000;

const DAY: Duration = Duration::from_secs(86_400);

/// Reads all `[[queue]]` tables.
pub(super) fn read_all(tables: Vec<Table<'_, '_>>) -> Vec<QueueConfig> {
    let mut queues: Vec<QueueConfig> = Vec::with_capacity(tables.len());
    for mut table in tables {
        queues.extend(read_one(&mut table, &queues));
        table.finish(elsewhere);
    }
    queues
}

/// Reads one queue, whose name must differ from those of `others`.
pub(super) fn read_one(table: &mut Table<'_, '_>, others: &[QueueConfig]) -> Option<QueueConfig> {
    let queue = read(table)?;
    if others.iter().any(|other| other.name == queue.name) {
        table.fail("name", "expected one table for each queue, found another with this name");
    }
    Some(queue)
}

/// Returns what to use instead of a key that a queue does not have.
pub(super) fn elsewhere(key: &str) -> Option<&'static str> {
    match key {
        "url" => Some("use `target` for the URL that jobs are pushed to"),
        "secret" => Some("secrets are in the Spin variable webhook_keys; `keys` names one of its rings"),
        "attempts" => Some("use `max_attempts` for the number of attempts"),
        _ => None,
    }
}

fn read(table: &mut Table<'_, '_>) -> Option<QueueConfig> {
    let attempts = table.read("max_attempts", integer(1..=MOST_ATTEMPTS.into()));
    let backoff = backoff(table);
    let push = push(table);
    let what = "a queue's name of 1 to 128 bytes without control characters";
    let name = table.read("name", string(what, |text| QueueName::new(text).ok()));
    if !table.has("name") {
        table.fail_all("expected `name`, the name of the queue");
    }
    Some(QueueConfig {
        name: name?,
        max_attempts: attempts.and_then(|count| u16::try_from(count).ok()).unwrap_or(MAX_ATTEMPTS),
        backoff,
        push,
    })
}

fn backoff(table: &mut Table<'_, '_>) -> Backoff {
    let bounds = || Duration::from_millis(1)..=DAY;
    let first = table.read("backoff", duration(bounds()));
    let longest = table.read("max_backoff", duration(bounds()));
    if let (Some(first), Some(longest)) = (first, longest)
        && longest < first
    {
        table.fail("max_backoff", "expected no less than `backoff`");
    }
    let (default_first, default_longest) = (Duration::from_secs(10), Duration::from_secs(3600));
    let first = first.unwrap_or_else(|| longest.unwrap_or(default_first).min(default_first));
    Backoff::new(first, longest.unwrap_or(default_longest))
}

fn push(table: &mut Table<'_, '_>) -> Option<Push> {
    let target = table.read("target", |value| {
        let text = value.as_str().ok_or_else(|| expected("a URL", value))?;
        target(text)
    });
    let ring = table.read("keys", ring);
    let concurrency = table.read("concurrency", integer(1..=100));
    let limits = Duration::from_millis(100)..=Duration::from_secs(60);
    let timeout = table.read("timeout", duration(limits));
    if !table.has("target") {
        for key in PUSH_KEYS {
            if table.has(key) {
                table.fail(key, "has no effect, because the queue has no `target`");
            }
        }
    }
    let concurrency = concurrency.and_then(|count| u16::try_from(count).ok()).and_then(NonZeroU16::new);
    Some(Push {
        target: target?,
        keys: ring.unwrap_or_default(),
        concurrency: concurrency.unwrap_or(NonZeroU16::MIN.saturating_add(3)),
        timeout: timeout.unwrap_or(Duration::from_secs(15)),
    })
}

/// Reads the name of a ring. A key may stand here by mistake, so no error shows what was found.
fn ring(value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.contains("whsec_") && is_name(text));
    let wrong = "expected the name of a ring in the Spin variable webhook_keys, of 1 to 64 characters A-Z a-z 0-9 . _ -, \
                 found something else, which is not shown because it may be a key";
    text.map(str::to_owned).ok_or_else(|| wrong.to_owned())
}

/// Parses a target. Its query may contain a secret of the receiver, so errors show it without the query.
fn target(text: &str) -> Result<Uri, String> {
    let what = "an absolute http:// or https:// URL without user information and fragment";
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let plain = uri.authority().is_some_and(|authority| HostPort::parse(authority.as_str()).is_some());
        plain && matches!(uri.scheme_str(), Some("http" | "https")) && !text.contains('#')
    });
    uri.ok_or_else(|| {
        format!("expected {what}, found {}", shown(text.split(['?', '#']).next().unwrap_or_default()))
    })
}

/// Checks that pushed jobs can be signed, and returns the problems.
pub(super) fn check_keys(
    queues: &[QueueConfig],
    settings: &Settings,
    variables: &impl Strings,
) -> impl Iterator<Item = ConfigError> {
    let rings = queues.iter().filter_map(|queue| Some((&queue.name, &queue.push.as_ref()?.keys)));
    let missing = rings.filter(|(_, ring)| settings.webhook_keys.get(ring).is_none());
    missing.map(|(queue, ring)| {
        // The name of the ring is not shown: a key could have been written in its place.
        let expected =
            if ring.is_empty() { "whsec_<base64>" } else { "<ring>=whsec_<base64> for the ring in `keys`" };
        let message = format!(
            "expected {expected} to sign the jobs that queue {:?} pushes, found none",
            queue.as_str()
        );
        ConfigError::in_variable(&variables.called("webhook_keys"), message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn errors(text: &str) -> String {
        Config::parse(text, "f").unwrap_err().to_string()
    }

    #[test]
    fn a_queue_has_defaults_and_its_target_too() {
        let config = Config::parse(
            "[[queue]]\nname = \"a\"\n[[queue]]\nname = \"b\"\ntarget = \"https://hooks.example/b?x=1\"",
            "f",
        )
        .unwrap();
        let [a, b] = &config.queues[..] else { panic!("{config:?}") };
        assert_eq!((a.max_attempts, a.backoff, &a.push), (10, Backoff::default(), &None));
        let push = b.push.as_ref().unwrap();
        assert_eq!((push.keys.as_str(), push.concurrency.get()), ("", 4));
        assert_eq!((push.timeout.as_secs(), push.target.path()), (15, "/b"));
    }

    #[test]
    fn everything_that_can_be_said_is_heard() {
        let text = "[[queue]]\nname = \"a\"\nmax_attempts = 3\nbackoff = \"1s\"\nmax_backoff = \"8s\"\n\
                    target = \"http://h:8080\"\nkeys = \"billing\"\nconcurrency = 16\ntimeout = \"2s\"";
        let config = Config::parse(text, "f").unwrap();
        let queue = &config.queues[0];
        assert_eq!(queue.max_attempts, 3);
        assert_eq!(queue.backoff, Backoff::new(Duration::from_secs(1), Duration::from_secs(8)));
        let push = queue.push.as_ref().unwrap();
        assert_eq!((push.keys.as_str(), push.concurrency.get(), push.timeout.as_secs()), ("billing", 16, 2));
    }

    #[test]
    fn one_of_the_delays_alone_bounds_the_other() {
        let backoff = |line: &str| {
            Config::parse(&format!("[[queue]]\nname = \"a\"\n{line}"), "f").unwrap().queues[0].backoff
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        assert_eq!(backoff("max_backoff = \"1s\""), Backoff::new(second, second));
        assert_eq!(backoff("backoff = \"2h\""), Backoff::new(2 * hour, 2 * hour));
    }

    #[test]
    fn mistakes_have_their_place() {
        assert!(errors("[[queue]]\n").contains("f:1:1: queue[0]: expected `name`"));
        for (line, problem) in [
            ("name = \"\"", "queue[0].name: expected a queue's name"),
            ("name = \"a\"\nkeys = \"b\"", "queue[0].keys: has no effect, because the queue has no `target`"),
            ("name = \"a\"\ntarget = \"ftp://h\"", "queue[0].target: expected an absolute http://"),
            ("name = \"a\"\ntarget = \"http://h:99999/\"", "queue[0].target: expected an absolute http://"),
            ("name = \"a\"\ntarget = \"http://h:/\"", "queue[0].target: expected an absolute http://"),
            ("name = \"a\"\nmax_attempts = 0", "expected a whole number from 1 to 1000"),
            (
                "name = \"a\"\nbackoff = \"1m\"\nmax_backoff = \"1s\"",
                "queue[0].max_backoff: expected no less",
            ),
            ("name = \"a\"\nsecret = \"whsec_x\"", "secrets are in the Spin variable webhook_keys"),
            ("name = \"a\"\n[[queue]]\nname = \"a\"", "queue[1].name: expected one table for each queue"),
        ] {
            let found = errors(&format!("[[queue]]\n{line}"));
            assert!(found.contains(problem), "{line}: {found}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_its_ring_is_not_shown() {
        for wrong in ["whsec_hunter2", "billing=whsec_hunter2", "whsec_hunter2/+=", "hunter2/+=", "hunter2 "]
        {
            let line = format!("name = \"a\"\ntarget = \"https://h/\"\nkeys = \"{wrong}\"");
            let found = errors(&format!("[[queue]]\n{line}"));
            assert!(found.contains("queue[0].keys: expected the name of a ring in"), "{found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
        // What can be a name is known to be none only once the rings are known.
        let text = "[[queue]]\nname = \"a\"\ntarget = \"https://h/\"\nkeys = \"hunter2\"";
        let variables = |name: &str| (name == "origin_url").then(|| "http://origin.test".to_owned());
        let (config, settings) = (Config::parse(text, "f").unwrap(), Settings::load(&variables).unwrap());
        assert_eq!(
            config.check(&settings, &variables).unwrap_err().to_string(),
            "variable webhook_keys: expected <ring>=whsec_<base64> for the ring in `keys` to sign the jobs that queue \
             \"a\" pushes, found none"
        );
    }

    #[test]
    fn a_target_never_shows_what_may_be_secret() {
        for wrong in ["https://bob:hunter2@h/", "https://h/#hunter2?x", "//h?key=hunter2", "h/?hunter2"] {
            let found = errors(&format!("[[queue]]\nname = \"a\"\ntarget = \"{wrong}\""));
            assert!(found.contains("expected an absolute"), "{found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}

//! `[[webhook]]`: targets to which the events of some topics are pushed.

use super::queue::{self, QueueConfig};
use super::table::Table;
use super::topics::pattern;
use crate::job::QueueName;
use crate::topic::{Pattern, TopicName};

/// `[[webhook]]`: a queue with a target, and the topics whose events become its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// The queue, which has the same name as the webhook.
    pub queue: QueueName,
    /// The topics.
    pub topics: Vec<Pattern>,
}

impl WebhookConfig {
    /// Returns whether it receives the events of this topic.
    #[must_use]
    pub fn wants(&self, topic: &TopicName) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }
}

/// The most webhooks: publishing an event and sweeping the topics check each of them.
const MOST: usize = 100;

/// Reads all `[[webhook]]` tables, and adds their queues to `queues`.
pub(super) fn read_all(tables: Vec<Table<'_, '_>>, queues: &mut Vec<QueueConfig>) -> Vec<WebhookConfig> {
    let mut webhooks = Vec::with_capacity(tables.len());
    for (number, mut table) in tables.into_iter().enumerate() {
        if number == MOST {
            table.fail_all(format!("expected at most {MOST} webhooks"));
        }
        let topics = topics(&mut table);
        if !table.has("target") {
            table.fail_all("expected `target`, the URL that events are pushed to");
        }
        if let Some(queue) = queue::read_one(&mut table, queues) {
            webhooks.push(WebhookConfig { queue: queue.name.clone(), topics });
            queues.push(queue);
        }
        table.finish(queue::elsewhere);
    }
    webhooks
}

fn topics(table: &mut Table<'_, '_>) -> Vec<Pattern> {
    let given = table.has("topics");
    match table.strings("topics", pattern) {
        Some(topics) if topics.is_empty() => {
            table.fail("topics", "expected at least one topic or pattern, found none");
            topics
        }
        Some(topics) => topics,
        None if given => Vec::new(),
        None => {
            table.fail_all("expected `topics`, the topics whose events are pushed");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn a_webhook_is_a_queue_with_topics() {
        let text = r#"
            [[queue]]
            name = "mail"
            [[webhook]]
            name = "billing"
            topics = ["orders.*", "refunds"]
            target = "https://billing.example/events"
            keys = "billing"
            max_attempts = 3
        "#;
        let config = Config::parse(text, "f").unwrap();
        let names: Vec<&str> = config.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["mail", "billing"]);
        assert_eq!((config.queues[1].max_attempts, config.queues[1].push.is_some()), (3, true));
        let wants = |topic: &str| config.webhooks[0].wants(&TopicName::new(topic).unwrap());
        assert!(wants("orders.eu") && wants("refunds") && !wants("orders") && !wants("other"));
    }

    #[test]
    fn mistakes_have_their_place() {
        let good = "name = \"a\"\ntopics = [\"t\"]\ntarget = \"https://h/\"";
        for (text, expected) in [
            ("[[webhook]]\nname = \"a\"\ntopics = [\"t\"]".to_owned(), "webhook[0]: expected `target`"),
            (
                "[[webhook]]\nname = \"a\"\ntarget = \"https://h/\"".to_owned(),
                "webhook[0]: expected `topics`",
            ),
            (
                "[[webhook]]\nname = \"a\"\ntopics = []\ntarget = \"https://h/\"".to_owned(),
                "webhook[0].topics: expected at least one",
            ),
            (
                "[[webhook]]\nname = \"a\"\ntopics = [\"a b\"]\ntarget = \"https://h/\"".to_owned(),
                "webhook[0].topics[0]: expected a topic",
            ),
            (format!("[[webhook]]\n{good}\nurl = \"x\""), "webhook[0].url: unknown key here"),
            (
                format!("[[queue]]\nname = \"a\"\n[[webhook]]\n{good}"),
                "webhook[0].name: expected one table for each queue",
            ),
        ] {
            let found = Config::parse(&text, "f").unwrap_err().to_string();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}

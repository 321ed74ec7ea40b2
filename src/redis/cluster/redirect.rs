//! Redirects to the node that owns a key, and what to do about the errors of nodes.

use super::slot::Slot;
use crate::config::HostPort;
use crate::redis::RedisError;
use std::fmt;
use std::time::Duration;

/// How often one command is redirected. Nodes that agree do so once; one more while a slot is migrating.
const REDIRECTS: u32 = 5;

/// How often one command is tried again when a node cannot serve it now.
const TRIES: u32 = 6;

/// The redirect of a command to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Whether it is for this command only, which must follow `ASKING` (`ASK`), or for the whole slot (`MOVED`).
    pub once: bool,
    /// The slot.
    pub slot: Slot,
    /// The target; if it has no host, that of the node which sent the redirect.
    to: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Place(HostPort),
    SameHost(u16),
}

impl Redirect {
    /// Parses `3999 10.0.0.1:6381`, the text after `MOVED` or `ASK`; `None` for anything else.
    #[must_use]
    pub fn parse(once: bool, text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let slot = Slot::new(words.next()?.parse().ok()?)?;
        let place = words.next()?;
        let to = match port_alone(place.trim_start_matches('?')) {
            Some(port) => Target::SameHost(port),
            None => Target::Place(announced(place)?),
        };
        Some(Self { once, slot, to })
    }

    /// Returns where the command goes, if `from` sent this.
    #[must_use]
    pub fn target(&self, from: &HostPort) -> HostPort {
        match &self.to {
            Target::Place(place) => place.clone(),
            Target::SameHost(port) => from.with_port(*port),
        }
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.once { "ASK" } else { "MOVED" };
        write!(f, "{kind} {} ", self.slot.number())?;
        match &self.to {
            Target::Place(place) => write!(f, "{place}"),
            Target::SameHost(port) => write!(f, ":{port}"),
        }
    }
}

/// Parses `:7001`, from a node that does not know the address under which others see it.
pub(super) fn port_alone(text: &str) -> Option<u16> {
    text.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)
}

/// Parses an address as a node announces it: the port follows the last colon, and an IPv6 address has no brackets.
pub(super) fn announced(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.contains(':') && !host.starts_with('[');
    let place = if bare { format!("[{host}]:{port}") } else { text.to_owned() };
    HostPort::parse(&place).filter(|place| place.port().is_some())
}

/// What to do after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the command there, as all later ones for the slot.
    Move(Redirect),
    /// Send this command there, after `ASKING`.
    Ask(Redirect),
    /// Repeat the command after a pause.
    Again(Duration),
    /// Give up: the error is the answer.
    Fail,
}

/// The history of one command.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    redirects: u32,
    tries: u32,
    dividable: bool,
    /// Why a connection broke on which the command was sent: it may have been carried out then.
    pub(super) broken: Option<String>,
}

impl Course {
    /// The course of a command that can be sent for each of its keys by itself: it need not wait until a migrating slot
    /// has all of them in one place.
    #[must_use]
    pub(super) fn dividable() -> Self {
        Self { dividable: true, ..Self::default() }
    }

    /// Decides what to do after `error`, the last answer. Nothing more is tried unless `in_time`.
    pub(super) fn after(&mut self, error: &RedisError, in_time: bool) -> Next {
        match error {
            RedisError::Redirected(redirect) if in_time && self.redirects < REDIRECTS => {
                self.redirects += 1;
                if redirect.once { Next::Ask(redirect.clone()) } else { Next::Move(redirect.clone()) }
            }
            _ if error.is_try_again() && self.dividable => Next::Fail,
            _ if in_time && self.tries < TRIES && (error.is_try_again() || error.is_cluster_down()) => {
                self.tries += 1;
                Next::Again(pause(self.tries))
            }
            _ => Next::Fail,
        }
    }

    /// Converts the error of the last try to that of the command.
    #[must_use]
    pub(super) fn failure(&self, error: RedisError) -> RedisError {
        match &self.broken {
            Some(why) if !(self.dividable && error.is_try_again()) => error.after_sent(why),
            _ => error,
        }
    }
}

/// The pause before a try: 10 ms before the first repetition, then doubled up to 80 ms. Six are within the 250 ms that a
/// command has by default.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(10 << tries.saturating_sub(1).min(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(text: &str) -> Option<Redirect> {
        Redirect::parse(false, text)
    }

    fn place(text: &str) -> HostPort {
        HostPort::parse(text).unwrap()
    }

    #[test]
    fn redirects_name_a_slot_and_a_node() {
        let from = place("10.0.0.9:7009");
        for (text, to) in [
            ("3999 10.0.0.1:6381", "10.0.0.1:6381"),
            ("0 node-1.example:6379", "node-1.example:6379"),
            ("16383 :7001", "10.0.0.9:7001"),
            ("1 ?:7001", "10.0.0.9:7001"),
            ("1 ::1:7001", "[::1]:7001"),
            ("1 [::1]:7001", "[::1]:7001"),
        ] {
            assert_eq!(moved(text).map(|redirect| redirect.target(&from)), Some(place(to)), "{text}");
        }
        for bad in [
            "",
            "1",
            "16384 h:1",
            "-1 h:1",
            "x h:1",
            "1 h",
            "1 h:0",
            "1 h:65536",
            "1 :0",
            "1 h/x:1",
            "1 u@h:1",
        ] {
            assert_eq!(moved(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_command_is_sent_on_a_few_times_and_no_more() {
        let mut course = Course::default();
        let error = RedisError::Redirected(moved("1 h:1").unwrap());
        for _ in 0..REDIRECTS {
            assert_eq!(course.after(&error, true), Next::Move(moved("1 h:1").unwrap()));
        }
        assert_eq!(course.after(&error, true), Next::Fail);
        assert_eq!(Course::default().after(&error, false), Next::Fail, "too late");
        let ask = Redirect::parse(true, "1 h:1").unwrap();
        assert_eq!(Course::default().after(&RedisError::Redirected(ask.clone()), true), Next::Ask(ask));
    }

    #[test]
    fn a_slot_that_is_not_settled_is_tried_again_within_the_time() {
        for text in
            ["TRYAGAIN: Multiple keys request during rehashing of slot", "CLUSTERDOWN: Hash slot not served"]
        {
            let error = RedisError::from_text(text);
            let mut course = Course::default();
            let mut pauses = Vec::new();
            while let Next::Again(pause) = course.after(&error, true) {
                pauses.push(pause.as_millis());
            }
            assert_eq!(pauses, [10, 20, 40, 80, 80, 80]);
            assert_eq!(Course::default().after(&error, false), Next::Fail);
        }
    }

    #[test]
    fn what_can_be_divided_does_not_wait_for_a_slot_to_settle() {
        let error = RedisError::from_text("TRYAGAIN: Multiple keys request during rehashing of slot");
        assert_eq!(Course::dividable().after(&error, true), Next::Fail);
    }

    #[test]
    fn any_other_error_is_the_answer() {
        for error in [
            RedisError::NoScript(None),
            RedisError::Unreachable("broken pipe".to_owned()),
            RedisError::TimedOut(Duration::ZERO),
            RedisError::from_text("CROSSSLOT: Keys in request don't hash to the same slot"),
            RedisError::from_text("OOM: command not allowed"),
            RedisError::from_text("An error was signalled by the server - ReadOnly: no"),
        ] {
            assert_eq!(Course::default().after(&error, true), Next::Fail, "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_problem(text in "\\PC{0,24}", numbers in "[0-9]{0,6} [0-9a-f.:?\\[\\]]{0,20}") {
            for text in [text, numbers] {
                if let Some(redirect) = moved(&text) {
                    prop_assert!(redirect.target(&place("h:1")).port().is_some());
                }
            }
        }
    }
}

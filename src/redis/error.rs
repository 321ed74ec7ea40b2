//! Why Redis gave no answer. Spin's errors are text; this is the only place that parses it.

use super::cluster::Redirect;
use std::time::Duration;

/// An error of Redis or of the connection, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// Not tried: the server failed a moment ago and is left alone for a while.
    #[error("Redis is down (last failure: {last}); next try in {} ms", .retry_in.as_millis())]
    Down {
        /// The last failure.
        last: String,
        /// The time until it is tried again.
        retry_in: Duration,
    },
    /// No answer within the deadline. It is unknown whether the command was carried out.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection broke. It is unknown whether a command under way was carried out.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// No connection was made, for one of the two reasons above: nothing was sent.
    #[error("{0}")]
    NotConnected(Box<Self>),
    /// One part of a command that was divided among servers failed with this; another was, or may have been, carried out.
    #[error("a part of the command failed: {0}")]
    InPart(Box<Self>),
    /// The host forbids the address: it is missing in `allowed_outbound_hosts`.
    #[error(
        "the host does not allow this Redis address: check that redis_host agrees with redis_url, and that \
         a middleware inherits allowed_outbound_hosts"
    )]
    Denied,
    /// The host forbids a node of a cluster: it is missing in `allowed_outbound_hosts`.
    #[error(
        "the host does not allow {0}, a node of the cluster: add it to allowed_outbound_hosts, or use a \
         wildcard that covers it in redis_host; the nodes themselves announce their addresses \
         (cluster-announce-ip, cluster-announce-hostname)"
    )]
    NodeDenied(String),
    /// A node of a cluster redirects to the node that owns the key.
    #[error(
        "the Redis server is a node of a cluster and another node has the key ({0}): set \
         redis_cluster_nodes; if it is set, the nodes disagree about the slots"
    )]
    Redirected(Redirect),
    /// The keys of a command are in several slots of a cluster.
    #[error("the Redis server is a node of a cluster: set redis_cluster_nodes ({0})")]
    CrossSlot(String),
    /// The server does not know the script (`NOSCRIPT`). With a reason, the script was sent before on a connection that broke
    /// for that reason, perhaps to another server, which may have run it.
    #[error("Redis does not know the script")]
    NoScript(Option<String>),
    /// The server cannot serve the command now: loading, failing over, read-only, out of memory.
    #[error("Redis cannot serve this now: {0}")]
    Unavailable(String),
    /// The server refused the command.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// The reply has another shape than the command promises.
    #[error("unexpected reply from Redis: {0}")]
    Reply(String),
}

/// Error codes that mean "not now" rather than "never", in redis-rs's names and in Redis's own.
const UNAVAILABLE: [&str; 14] = [
    "BusyLoadingError",
    "LOADING",
    "ReadOnly",
    "READONLY",
    "MasterDown",
    "MASTERDOWN",
    "ClusterDown",
    "CLUSTERDOWN",
    "TryAgain",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "BUSY",
    "NOREPLICAS",
];

/// Error codes that refuse a command for good.
const REFUSED: [&str; 12] = [
    "ResponseError",
    "ExecAbortError",
    // The code that redis-rs gives a wrong password.
    "Password authentication failed",
    "WRONGTYPE",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
    "Moved",
    "MOVED",
    "Ask",
    "ASK",
    "NoSub",
];

impl RedisError {
    /// Parses the text of an error from Spin's host.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let code = code(text);
        let is = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
        if text.contains("NoScript") || text.contains("NOSCRIPT") {
            Self::NoScript(None)
        } else if text.ends_with("is not permitted") {
            // A middleware that does not inherit the right to connect gets this text.
            Self::Denied
        } else if let Some(redirect) = redirect(code) {
            Self::Redirected(redirect)
        } else if is(&["CrossSlot", "CROSSSLOT"]) {
            Self::CrossSlot(text.to_owned())
        } else if is(&UNAVAILABLE) {
            Self::Unavailable(text.to_owned())
        } else if is(&REFUSED) {
            Self::Refused(text.to_owned())
        } else {
            Self::Unreachable(text.to_owned())
        }
    }

    pub(crate) fn reply(expected: &str, found: &str) -> Self {
        Self::Reply(format!("expected {expected}, found {found}"))
    }

    /// Returns whether the connection cannot be used any more.
    #[must_use]
    pub const fn breaks_connection(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Unreachable(_) | Self::Denied | Self::NodeDenied(_))
    }

    /// Marks an error of connecting, before which nothing was sent.
    pub(super) fn before_sending(self) -> Self {
        match self {
            Self::TimedOut(_) | Self::Unreachable(_) => Self::NotConnected(Box::new(self)),
            error => error,
        }
    }

    /// Marks the error of one part of a command of which another part was or may have been carried out.
    pub(crate) fn in_part(self) -> Self {
        if self.was_not_carried_out() { Self::InPart(Box::new(self)) } else { self }
    }

    /// Returns whether the keys of one command are in a migrating slot, some here and some there.
    pub(super) fn is_try_again(&self) -> bool {
        self.is_unavailable(&["TryAgain", "TRYAGAIN"])
    }

    /// Returns whether the node says that nobody serves the cluster, or the slot.
    pub(super) fn is_cluster_down(&self) -> bool {
        self.is_unavailable(&["ClusterDown", "CLUSTERDOWN", "MasterDown", "MASTERDOWN"])
    }

    /// Returns whether the server is a replica, or a master whose replicas have left it: another one may be the master by now.
    pub(super) fn is_deposed(&self) -> bool {
        self.is_unavailable(&["ReadOnly", "READONLY", "NOREPLICAS"])
    }

    /// Returns whether that is so for one slot only.
    pub(super) fn is_slot_down(&self) -> bool {
        matches!(self, Self::Unavailable(text) if text.contains("Hash slot not served"))
    }

    fn is_unavailable(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Unavailable(text) if codes.iter().any(|known| code(text).starts_with(known)))
    }

    /// Returns whether it concerns the node that was asked, so that another may do.
    pub(super) const fn is_of_node(&self) -> bool {
        self.breaks_connection() || matches!(self, Self::NotConnected(_) | Self::Down { .. })
    }

    /// Returns whether it is part of normal operation, and not counted as an error.
    pub(super) const fn is_expected(&self) -> bool {
        matches!(self, Self::NoScript(_) | Self::Redirected(_))
    }

    /// Returns whether the operator has to act: the server answers, and will go on refusing.
    pub(super) const fn is_for_the_operator(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::CrossSlot(_) | Self::Unavailable(_) | Self::Reply(_))
    }

    /// Converts the error of a command that was sent again because its first connection broke. That the command cannot be
    /// served now says nothing about the first time, when it may have been carried out, perhaps before a failover.
    pub(super) fn after_broken(self, why: &str) -> Self {
        match self {
            // In a cluster these are tried again, and the reason is remembered until the last try.
            error if error.is_try_again() || error.is_cluster_down() => error,
            Self::Unavailable(text) => Self::Unreachable(format!("{why}; and then: {text}")),
            Self::NoScript(_) => Self::NoScript(Some(why.to_owned())),
            error => error,
        }
    }

    /// Converts the error of a script sent as text, or of a later try of a command in a cluster, after it had been sent on a
    /// connection that broke: the outcome of the first attempt stays unknown.
    pub(super) fn after_sent(self, why: &str) -> Self {
        if let Self::NoScript(_) = self {
            return Self::NoScript(Some(why.to_owned()));
        }
        if self.was_not_carried_out() { Self::Unreachable(format!("{why}; and then: {self}")) } else { self }
    }

    /// Returns whether the command was surely not carried out.
    #[must_use]
    pub const fn was_not_carried_out(&self) -> bool {
        match self {
            Self::Down { .. }
            | Self::NotConnected(_)
            | Self::Denied
            | Self::NodeDenied(_)
            | Self::Redirected(_)
            | Self::CrossSlot(_)
            | Self::NoScript(None)
            | Self::Unavailable(_)
            | Self::Refused(_) => true,
            Self::TimedOut(_)
            | Self::Unreachable(_)
            | Self::InPart(_)
            | Self::NoScript(Some(_))
            | Self::Reply(_) => false,
        }
    }

    /// Returns the reason as one token, for Cache-Status, metrics and the log alike.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Down { .. } => "redis-down",
            Self::NotConnected(why) | Self::InPart(why) => why.reason(),
            Self::TimedOut(_) => "redis-timeout",
            Self::Unreachable(_) => "redis-unreachable",
            Self::Denied | Self::NodeDenied(_) => "redis-denied",
            Self::Redirected(_) | Self::CrossSlot(_) => "redis-moved",
            Self::NoScript(_) => "redis-noscript",
            Self::Unavailable(_) => "redis-unavailable",
            Self::Refused(_) => "redis-refused",
            Self::Reply(_) => "redis-reply",
        }
    }
}

/// Returns the text from the error code on: `An error was signalled by the server - Code: detail`
/// for codes that redis-rs knows, `CODE: detail` for others.
fn code(text: &str) -> &str {
    text.split_once("signalled by the server")
        .map_or(text, |(_, rest)| rest)
        .trim_start_matches([' ', '-', '"'])
}

/// Parses `Moved: 3999 10.0.0.1:6381` or `ASK 3999 10.0.0.1:6381`, in redis-rs's names and in Redis's own.
fn redirect(code: &str) -> Option<Redirect> {
    let (kind, rest) = code.split_once([':', ' '])?;
    match kind.trim_end_matches('"') {
        "Moved" | "MOVED" => Redirect::parse(false, rest),
        "Ask" | "ASK" => Redirect::parse(true, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_understood_in_every_spelling() {
        for (text, once) in [
            ("An error was signalled by the server - Moved: 3999 10.0.0.1:6381", false),
            ("Moved: 3999 10.0.0.1:6381", false),
            ("MOVED 3999 10.0.0.1:6381", false),
            ("An error was signalled by the server - Ask: 3999 10.0.0.1:6381", true),
            ("\"ASK\": 3999 10.0.0.1:6381", true),
        ] {
            let expected = Redirect::parse(once, "3999 10.0.0.1:6381").unwrap();
            assert_eq!(RedisError::from_text(text), RedisError::Redirected(expected), "{text}");
        }
        for text in ["Moved: 99999 h:1", "ASK nowhere", "An error was signalled by the server - Moved"] {
            assert!(matches!(RedisError::from_text(text), RedisError::Refused(_)), "{text}");
        }
    }

    #[test]
    fn texts_of_the_host_are_understood() {
        let server =
            |code: &str| RedisError::from_text(&format!("An error was signalled by the server - {code}"));
        assert_eq!(server("NoScriptError: No matching script. Please use EVAL."), RedisError::NoScript(None));
        assert!(matches!(server("BusyLoadingError: loading"), RedisError::Unavailable(_)));
        assert!(matches!(
            server("ReadOnly: You can't write against a read only replica."),
            RedisError::Unavailable(_)
        ));
        assert!(matches!(server("ResponseError: wrong number of arguments"), RedisError::Refused(_)));
        assert!(matches!(RedisError::from_text("OOM: command not allowed"), RedisError::Unavailable(_)));
        assert!(matches!(
            RedisError::from_text("WRONGTYPE: Operation against a key"),
            RedisError::Refused(_)
        ));
        assert!(matches!(
            RedisError::from_text("Connection refused (os error 111)"),
            RedisError::Unreachable(_)
        ));
        assert!(matches!(RedisError::from_text("broken pipe"), RedisError::Unreachable(_)));
        let wrong = RedisError::from_text("Password authentication failed- AuthenticationFailed");
        assert_eq!(wrong.reason(), "redis-refused");
        let slots = server("CrossSlot: Keys in request don't hash to the same slot");
        assert_eq!(slots.reason(), "redis-moved");
        assert_eq!(RedisError::from_text("\"spin:redis/redis\" is not permitted"), RedisError::Denied);
    }
}

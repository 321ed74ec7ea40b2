//! Why Redis gave no answer. Spin gives errors as text only; this is the one place that reads it.

use super::cluster::Redirect;
use std::time::Duration;

/// What went wrong, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// Not tried: the server failed a moment ago and is given time.
    #[error("Redis is down (last failure: {last}); next try in {} ms", .retry_in.as_millis())]
    Down {
        /// What failed last.
        last: String,
        /// Until it is tried again.
        retry_in: Duration,
    },
    /// No answer within the deadline. Whether the command was carried out is unknown.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection broke. Whether a command under way was carried out is unknown.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// No connection was made, for one of these two reasons: nothing has been sent.
    #[error("{0}")]
    NotConnected(Box<Self>),
    /// Of what was asked of several servers a part failed like this; another was carried out, or may have been.
    #[error("a part was not carried out: {0}")]
    InPart(Box<Self>),
    /// The host does not allow the address: it is missing in `allowed_outbound_hosts`.
    #[error(
        "the host does not allow this Redis address: check that redis_host agrees with redis_url, and that \
         a middleware inherits allowed_outbound_hosts"
    )]
    Denied,
    /// The host does not allow a node of a cluster: it is missing in `allowed_outbound_hosts`.
    #[error(
        "the host does not allow {0}, a node of the cluster: add it to allowed_outbound_hosts, or write a \
         wildcard that covers it into redis_host; the nodes themselves say where they are (cluster-announce-ip, \
         cluster-announce-hostname)"
    )]
    NodeDenied(String),
    /// A node of a cluster says that another one has the key.
    #[error(
        "the Redis server is a node of a cluster and another one has the key ({0}): set redis_cluster_nodes; if \
         it is set, the nodes do not agree"
    )]
    Redirected(Redirect),
    /// The keys of a command are in several slots of a cluster.
    #[error("the Redis server is a node of a cluster: set redis_cluster_nodes ({0})")]
    CrossSlot(String),
    /// The server does not know the script (`NOSCRIPT`). With a reason, it was sent before on a connection that broke for
    /// that, perhaps to another server, which may have run it.
    #[error("Redis does not know the script")]
    NoScript(Option<String>),
    /// The server cannot serve now: loading, failing over, read-only, out of memory.
    #[error("Redis cannot serve this now: {0}")]
    Unavailable(String),
    /// The server refused the command.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// The reply has another shape than the command promises.
    #[error("unexpected reply from Redis: {0}")]
    Reply(String),
}

/// Server codes that mean "not now" rather than "never", in redis-rs's names and in Redis's own.
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

/// Server codes that refuse a command for good.
const REFUSED: [&str; 12] = [
    "ResponseError",
    "ExecAbortError",
    // What redis-rs makes of a wrong password.
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
    /// Reads the text of an error as Spin's host gives it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let code = code(text);
        let is = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
        if text.contains("NoScript") || text.contains("NOSCRIPT") {
            Self::NoScript(None)
        } else if text.ends_with("is not permitted") {
            // What a middleware is told that does not inherit the right to connect.
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

    /// Whether the connection cannot be used any more.
    #[must_use]
    pub const fn breaks_connection(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Unreachable(_) | Self::Denied | Self::NodeDenied(_))
    }

    /// The same, of who wanted to connect and has sent nothing yet.
    pub(super) fn before_sending(self) -> Self {
        match self {
            Self::TimedOut(_) | Self::Unreachable(_) => Self::NotConnected(Box::new(self)),
            error => error,
        }
    }

    /// The same of one part, where another was carried out or may have been.
    pub(crate) fn in_part(self) -> Self {
        if self.was_not_carried_out() { Self::InPart(Box::new(self)) } else { self }
    }

    /// Keys of one command are in a slot that migrates, some here and some there.
    pub(super) fn is_try_again(&self) -> bool {
        self.is_unavailable(&["TryAgain", "TRYAGAIN"])
    }

    /// The node says that the cluster, or the slot, is not served by anybody.
    pub(super) fn is_cluster_down(&self) -> bool {
        self.is_unavailable(&["ClusterDown", "CLUSTERDOWN", "MasterDown", "MASTERDOWN"])
    }

    /// The server is a replica, or became one.
    pub(super) fn is_read_only(&self) -> bool {
        self.is_unavailable(&["ReadOnly", "READONLY"])
    }

    /// That holds for one slot only, which nobody serves.
    pub(super) fn is_slot_down(&self) -> bool {
        matches!(self, Self::Unavailable(text) if text.contains("Hash slot not served"))
    }

    fn is_unavailable(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Unavailable(text) if codes.iter().any(|known| code(text).starts_with(known)))
    }

    /// It is about the node that was asked, and another one may do.
    pub(super) const fn is_of_node(&self) -> bool {
        self.breaks_connection() || matches!(self, Self::NotConnected(_) | Self::Down { .. })
    }

    /// Part of how things are, and not counted as an error.
    pub(super) const fn is_expected(&self) -> bool {
        matches!(self, Self::NoScript(_) | Self::Redirected(_))
    }

    /// Whether somebody has to mend it: the server answers, and will go on refusing.
    pub(super) const fn is_for_the_operator(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::CrossSlot(_) | Self::Unavailable(_) | Self::Reply(_))
    }

    /// This is what came when a command was sent again, because the connection broke when it was sent first. That it cannot
    /// be served now says nothing of the first, which may have been carried out before a failover perhaps.
    pub(super) fn after_broken(self, why: &str) -> Self {
        match self {
            // In a cluster it is tried again yet.
            error if error.is_try_again() || error.is_cluster_down() => error,
            Self::Unavailable(text) => Self::Unreachable(format!("{why}; and then: {text}")),
            Self::NoScript(_) => Self::NoScript(Some(why.to_owned())),
            error => error,
        }
    }

    /// This is what came when a script was sent whole that had been sent before, on a connection that broke: it says nothing
    /// of the first either.
    pub(super) fn after_sent(self, why: &str) -> Self {
        if self.was_not_carried_out() { Self::Unreachable(format!("{why}; and then: {self}")) } else { self }
    }

    /// Whether the command was surely not carried out.
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

    /// The reason as one token, for Cache-Status, metrics and the log alike.
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

/// The part of the text where the error code stands: `An error was signalled by the server - Code: detail`
/// for codes that redis-rs knows, `CODE: detail` for others.
fn code(text: &str) -> &str {
    text.split_once("signalled by the server")
        .map_or(text, |(_, rest)| rest)
        .trim_start_matches([' ', '-', '"'])
}

/// `Moved: 3999 10.0.0.1:6381` or `ASK 3999 10.0.0.1:6381`, in redis-rs's names and in Redis's own.
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

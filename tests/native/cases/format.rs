//! The format of a file of cases.
//!
//! ```toml
//! [[case]]
//! id = "fresh-until-max-age"            # unique in all files
//! section = "RFC 9111 §4.2.1"           # what it is about
//! kind = "required"                     # the RFC's, or "ours" where the RFC leaves a choice
//! config = "[cache]\nttl = \"5s\""      # optional: spindrift.toml
//!
//! [[case.exchange]]                     # one after the other
//! after = "61s"                         # the clock goes on before it
//! restart = true                        # another instance, which remembers nothing
//! purge = { tags = ["a"] }              # before the request, if there is one
//! request = { method = "GET", url = "/a", fields = ["accept: x"], content = "..." }
//! origin = { status = 200, fields = ["cache-control: max-age=60"], content = "one" }
//! asked = true                          # whether the origin was asked; what the origin saw and did not see:
//! seen_url = "/a"
//! seen = ["if-none-match: \"1\""]
//! unseen = ["if-modified-since"]
//! expect = { status = 200, fields = ["age: 3"], without = ["set-cookie"], content = "one", cache = ["hit"] }
//! ```
//! A URL that begins with `/` is at `http://h`. In a field, `{date:-60}` is the HTTP-date of a minute ago. Members
//! that `expect` does not have are not checked, except the status, which must be 200, and the content, which must be
//! the origin's if it was asked.

use serde::Deserialize;
use spindrift::purge::Purge;

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) case: Vec<Case>,
}

/// Several exchanges, beginning with an empty store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) section: String,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) config: String,
    pub(super) exchange: Vec<Exchange>,
}

/// Who demands the behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The RFC demands it.
    Required,
    /// The RFC leaves a choice, and this is ours.
    Ours,
}

/// One request, what the origin answers if it is asked, and what is expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) after: Option<String>,
    #[serde(default)]
    pub(super) restart: bool,
    pub(super) purge: Option<Purge>,
    pub(super) request: Option<Request>,
    pub(super) origin: Option<Origin>,
    #[serde(default)]
    pub(super) asked: bool,
    pub(super) seen_url: Option<String>,
    #[serde(default)]
    pub(super) seen: Vec<String>,
    #[serde(default)]
    pub(super) unseen: Vec<String>,
    #[serde(default)]
    pub(super) expect: Expect,
}

/// What the client sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default = "get")]
    pub(super) method: String,
    #[serde(default = "root")]
    pub(super) url: String,
    #[serde(default)]
    pub(super) fields: Vec<String>,
    #[serde(default)]
    pub(super) content: String,
}

/// What the origin answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    #[serde(default = "ok")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) fields: Vec<String>,
    #[serde(default)]
    pub(super) content: String,
    /// The origin gives no answer at all.
    #[serde(default)]
    pub(super) away: bool,
}

/// What the client gets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) fields: Vec<String>,
    #[serde(default)]
    pub(super) without: Vec<String>,
    pub(super) content: Option<String>,
    /// Parameters of `Cache-Status`.
    #[serde(default)]
    pub(super) cache: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

const fn ok() -> u16 {
    200
}

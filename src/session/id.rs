//! The names of a session: its handle, which is not secret, and the secret that proves to whom it belongs.

use crate::env::Entropy;
use crate::redis::hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The longest name of a user and the longest chosen id, in bytes.
pub const MAX_NAME: usize = 256;

/// The prefix of handles, which no chosen id has.
const PREFIX: &str = "sid_";

/// The owner of a session, as the origin names users: 1 to 256 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(String);

impl User {
    /// Makes the name of a user; `None` when `text` is empty, longer than 256 bytes or has control
    /// characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the hash tag of all keys of this user's sessions.
    pub(super) fn tag(&self) -> Tag {
        Tag(digest("user", &self.0))
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The hash tag of all keys of one owner, 128 bits: the hash of a user's name, so that its sessions, their
/// index and their epoch are in one slot of a cluster; random for a session without a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag([u8; 16]);

impl Tag {
    pub(super) fn text(self) -> String {
        hex(&self.0)
    }
}

/// Returns the first 128 bits of a hash, which differs by purpose.
fn digest(purpose: &str, text: &str) -> [u8; 16] {
    let whole = Sha256::new().chain_update("spindrift session ").chain_update(purpose).chain_update([0]);
    let mut first = [0; 16];
    first.copy_from_slice(&whole.chain_update(text).finalize()[..16]);
    first
}

/// The name of a session, which stays the same when its secret changes. It opens nothing by itself: the management API
/// and the log may show it.
///
/// ```
/// use spindrift::session::Handle;
///
/// let text = "sid_AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8";
/// assert_eq!(Handle::parse(text).map(|handle| handle.to_string()).as_deref(), Some(text));
/// assert_eq!(Handle::parse("my-own-id"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    tag: Tag,
    name: [u8; 16],
}

impl Handle {
    /// Makes a new handle, of this user or of nobody.
    pub(super) fn random(user: Option<&User>, entropy: &impl Entropy) -> Self {
        let mut name = [0; 16];
        entropy.fill(&mut name);
        Self { tag: user.map_or(Tag(name), User::tag), name }
    }

    /// Returns the session of `user` that is named `name` in the user's index.
    pub(super) fn of_user(user: &User, name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(name.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        (name.len() == 32).then(|| Self { tag: user.tag(), name: bytes })
    }

    /// Makes a handle without a session, only for the keys that all sessions of `user` have in common.
    pub(super) fn nameless(user: &User) -> Self {
        Self { tag: user.tag(), name: [0; 16] }
    }

    /// Returns whether this is a session of `user`.
    #[must_use]
    pub fn is_of(&self, user: &User) -> bool {
        self.tag == user.tag()
    }

    /// Parses the text that `Display` writes: `sid_` and 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::decode(text.strip_prefix(PREFIX)?)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (mut tag, mut name) = ([0; 16], [0; 16]);
        tag.copy_from_slice(&bytes[..16]);
        name.copy_from_slice(&bytes[16..]);
        Some(Self { tag: Tag(tag), name })
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([self.tag.0, self.name].concat())
    }

    pub(super) const fn tag(&self) -> Tag {
        self.tag
    }

    /// Returns its name in the user's index.
    pub(super) fn name(&self) -> String {
        hex(&self.name)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.encode())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

/// An id that a caller of the management API has chosen: 1 to 256 bytes without control characters, not beginning
/// with `sid_`. No cookie ever opens such a session, since it has no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenId {
    text: String,
    handle: Handle,
}

impl ChosenId {
    /// Makes a chosen id; `None` when `text` is not valid as one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let valid = is_name(text) && !text.starts_with(PREFIX);
        let name = digest("chosen id", text);
        valid.then(|| Self { text: text.to_owned(), handle: Handle { tag: Tag(name), name } })
    }

    /// Returns the id as it was chosen.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the handle of its session.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// The key to a session: its handle and 256 secret bits. Redis stores only a hash of the secret, so that whoever
/// reads Redis cannot take a session over.
///
/// `Debug` shows only the handle, and there is no `Display`: to the outside it is written as a token, by
/// [`KeyRing::sign`](super::KeyRing::sign).
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId {
    handle: Handle,
    secret: [u8; 32],
}

impl SessionId {
    /// Makes the id of a new session, of this user or of nobody.
    #[must_use]
    pub fn random(user: Option<&User>, entropy: &impl Entropy) -> Self {
        Self::renewed(Handle::random(user, entropy), entropy)
    }

    /// Makes a new secret for the same session.
    pub(super) fn renewed(handle: Handle, entropy: &impl Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { handle, secret }
    }

    /// Returns the handle of the session that it opens.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns what Redis stores of the secret: its SHA-256 in hexadecimal.
    pub(super) fn proof(&self) -> String {
        hex(&Sha256::digest(self.secret))
    }

    /// Returns the text that is signed: handle and secret.
    pub(super) fn expose(&self) -> String {
        format!("{}.{}", self.handle.encode(), URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// Parses what [`SessionId::expose`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (handle, secret) = text.split_once('.')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        Some(Self { handle: Handle::decode(handle)?, secret })
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}, secret)", self.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::cell::Cell<u8>);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                self.0.set(self.0.get().wrapping_add(1));
                *byte = self.0.get();
            }
        }
    }

    fn entropy() -> Counting {
        Counting(std::cell::Cell::new(0))
    }

    #[test]
    fn an_id_is_read_as_it_was_written_and_never_shown() {
        let id = SessionId::random(None, &entropy());
        assert_eq!(SessionId::parse(&id.expose()), Some(id.clone()));
        let secret = id.expose().split_once('.').unwrap().1.to_owned();
        let shown = format!("{id:?}");
        assert!(!shown.contains(&secret) && !shown.contains(&id.proof()), "{shown}");
        assert_eq!(Handle::parse(&id.handle().to_string()), Some(*id.handle()));
    }

    #[test]
    fn sessions_of_one_user_share_their_tag_and_no_others_do() {
        let (anna, ben) = (User::new("anna").unwrap(), User::new("ben").unwrap());
        let random = entropy();
        let [one, two] = [0, 1].map(|_| SessionId::random(Some(&anna), &random));
        assert_eq!(one.handle().tag(), two.handle().tag());
        assert_ne!(one.handle(), two.handle());
        assert!(one.handle().is_of(&anna) && !one.handle().is_of(&ben));
        assert_ne!(SessionId::random(None, &random).handle().tag(), anna.tag());
        assert_eq!(Handle::of_user(&anna, &one.handle().name()), Some(*one.handle()));
        assert_eq!(Handle::of_user(&anna, "xy"), None);
        assert_eq!(Handle::of_user(&anna, "é0000000000000000000000000000000"), None);
    }

    #[test]
    fn a_chosen_id_is_no_handle_and_no_users() {
        assert_eq!(ChosenId::new("sid_x"), None);
        assert_eq!(ChosenId::new(""), None);
        assert_eq!(ChosenId::new("a\nb"), None);
        assert_eq!(ChosenId::new(&"x".repeat(257)), None);
        let chosen = ChosenId::new("anna").unwrap();
        assert_ne!(chosen.handle().tag(), User::new("anna").unwrap().tag());
        assert_eq!(chosen.as_str(), "anna");
    }

    #[test]
    fn what_is_not_exactly_an_id_is_none() {
        let id = SessionId::random(None, &entropy()).expose();
        let (handle, secret) = id.split_once('.').unwrap();
        for wrong in [
            String::new(),
            ".".to_owned(),
            format!("{handle}{secret}"),
            format!("{handle}."),
            format!("{handle}=.{secret}"),
            format!("{handle}.{secret}="),
            format!("{handle}.{}", &secret[1..]),
            format!("{handle}.{secret}A"),
            format!("{}.{secret}", handle.replace('A', "+")),
            // The last character has unused bits, which must be zero.
            format!("{handle}.{}B", &secret[..secret.len() - 1]),
        ] {
            assert_eq!(SessionId::parse(&wrong), None, "{wrong}");
        }
    }
}

//! The header fields between Spindrift and the origin: what a session contains, and how it changes.
//!
//! With the default name, a request to the origin has
//!
//! | field | what it says |
//! |---|---|
//! | `Spindrift-Session` | the data: a JSON object in base64url (RFC 4648 §5), without padding |
//! | `Spindrift-Session-Id` | the handle |
//! | `Spindrift-Session-User` | the user, percent-encoded where it is not visible ASCII |
//!
//! and its response may have
//!
//! | field | what it demands |
//! |---|---|
//! | `Spindrift-Session-Set` | replace the data; base64url or base64 of a JSON object |
//! | `Spindrift-Session-Merge` | replace single members, and remove those that are `null` |
//! | `Spindrift-Session-User` | log this user in |
//! | `Spindrift-Session-Rotate` | `1`: give the session another id |
//! | `Spindrift-Session-Destroy` | `1`: end the session |

use super::{Change, Changes, Data, DataChange, Session, User};
use crate::field::variable;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The characters of a user's name that are percent-encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b',');

/// The names of the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    base: HeaderName,
}

impl Fields {
    /// Makes the fields whose names begin with `base`.
    #[must_use]
    pub const fn new(base: HeaderName) -> Self {
        Self { base }
    }

    /// Returns whether a field is one of these, or may be taken for one of these by a server behind us, in the sense of
    /// [`variable`].
    fn has(&self, name: &HeaderName) -> bool {
        let (name, base) = (name.as_str().as_bytes(), self.base.as_str().as_bytes());
        variable::begins(name, base) && name.get(base.len()).is_none_or(|byte| variable::plain(*byte) == b'-')
    }

    /// Removes all of them: they are a client's own, or no longer needed.
    pub fn strip(&self, headers: &mut HeaderMap) {
        let ours: Vec<HeaderName> = headers.keys().filter(|name| self.has(name)).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
    }

    /// Tells the origin the content of the session, if there is one.
    pub fn tell(&self, headers: &mut HeaderMap, session: &Session) {
        let data = match session {
            Session::Loaded(loaded) => &loaded.data,
            Session::Previous(previous) => &previous.data,
            Session::Absent | Session::Replayed(_) => return,
        };
        let user = session.user().map(|user| utf8_percent_encode(user.as_str(), ENCODED).to_string());
        let fields = [
            ("", Some(URL_SAFE_NO_PAD.encode(data.to_json()))),
            ("-id", session.handle().map(ToString::to_string)),
            ("-user", user),
        ];
        for (suffix, value) in fields {
            if let (Some(name), Some(Ok(value))) = (self.name(suffix), value.map(HeaderValue::try_from)) {
                headers.insert(name, value);
            }
        }
    }

    fn name(&self, suffix: &str) -> Option<HeaderName> {
        HeaderName::try_from(format!("{}{suffix}", self.base)).ok()
    }

    /// Takes the session fields out of the origin's answer, and returns the change that they demand; `None` if there are none.
    ///
    /// # Errors
    /// What was expected, if they demand something impossible.
    pub fn take(&self, headers: &mut HeaderMap) -> Result<Option<Change>, String> {
        if !headers.keys().any(|name| self.has(name)) {
            return Ok(None);
        }
        let change = self.read(headers);
        self.strip(headers);
        change
    }

    fn read(&self, headers: &HeaderMap) -> Result<Option<Change>, String> {
        const KNOWN: [&str; 5] = ["set", "merge", "user", "rotate", "destroy"];
        for name in headers.keys().filter(|name| self.has(name)) {
            let suffix =
                name.as_str().strip_prefix(self.base.as_str()).and_then(|rest| rest.strip_prefix('-'));
            if !suffix.is_some_and(|suffix| KNOWN.contains(&suffix)) {
                let known = KNOWN.join(", -");
                return Err(format!("expected {} followed by one of: -{known}; found {name}", self.base));
            }
        }
        let set =
            self.one(headers, "-set")?.map(|(name, value)| json(&name, value, Data::parse)).transpose()?;
        let merge = self
            .one(headers, "-merge")?
            .map(|(name, value)| json(&name, value, Changes::parse))
            .transpose()?;
        let user = self.one(headers, "-user")?.map(|(name, value)| user(&name, value)).transpose()?;
        let rotate = self.flag(headers, "-rotate")?;
        let nothing = set.is_none() && merge.is_none() && user.is_none() && !rotate;
        if self.flag(headers, "-destroy")? {
            let alone = || format!("expected {}-destroy alone, found other changes with it", self.base);
            return if nothing { Ok(Some(Change::End)) } else { Err(alone()) };
        }
        let data = match (set, merge) {
            (Some(_), Some(_)) => {
                return Err(format!("expected {0}-set or {0}-merge, found both", self.base));
            }
            (Some(data), None) => DataChange::Set(data),
            (None, Some(changes)) => DataChange::Merge(changes),
            (None, None) => DataChange::None,
        };
        Ok((!nothing).then_some(Change::Write { data, user, rotate }))
    }

    /// Returns the single line of a field.
    fn one<'a>(
        &self,
        headers: &'a HeaderMap,
        suffix: &str,
    ) -> Result<Option<(HeaderName, &'a HeaderValue)>, String> {
        let Some(name) = self.name(suffix) else { return Ok(None) };
        let mut lines = headers.get_all(&name).iter();
        match (lines.next(), lines.next()) {
            (Some(_), Some(_)) => Err(format!("{name}: expected one line, found several")),
            (line, _) => Ok(line.map(|line| (name, line))),
        }
    }

    fn flag(&self, headers: &HeaderMap, suffix: &str) -> Result<bool, String> {
        let Some((name, value)) = self.one(headers, suffix)? else { return Ok(false) };
        match value.as_bytes() {
            b"1" | b"?1" | b"true" => Ok(true),
            b"0" | b"?0" | b"false" => Ok(false),
            _ => Err(format!("{name}: expected 1 or 0, found something else")),
        }
    }
}

/// Parses a field with JSON. What was found is never shown: it is the data of a visitor.
fn json<T>(
    name: &HeaderName,
    value: &HeaderValue,
    parse: impl Fn(&[u8]) -> Result<T, super::DataError>,
) -> Result<T, String> {
    let text = base64(value.as_bytes())
        .ok_or_else(|| format!("{name}: expected base64url, found something else"))?;
    parse(&text).map_err(|error| format!("{name}: {error}"))
}

/// Decodes either alphabet, with or without padding, also as a Byte Sequence (RFC 9651 §3.3.5), `:...:`.
fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let value = value.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":")).unwrap_or(value);
    let end = value.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let plain = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    let padding = value.len() - end;
    let text: Vec<u8> = value[..end].iter().map(plain).collect();
    (padding <= 2).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()
}

fn user(name: &HeaderName, value: &HeaderValue) -> Result<User, String> {
    let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
    text.and_then(|text| User::new(&text)).ok_or_else(|| {
        format!("{name}: expected the name of a user, percent-encoded, of at most {} bytes", super::MAX_NAME)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ChosenId, Previous};
    use super::*;
    use crate::field::lines::map;
    use proptest::prelude::*;

    fn fields() -> Fields {
        Fields::new(HeaderName::from_static("spindrift-session"))
    }

    fn take(lines: &[(&str, &str)]) -> Result<Option<Change>, String> {
        let mut headers = map(lines);
        let change = fields().take(&mut headers);
        assert!(headers.keys().all(|name| !fields().has(name)), "{headers:?}");
        change
    }

    #[test]
    fn every_name_that_a_server_could_take_for_ours_goes() {
        let mut headers = map(&[
            ("Spindrift-Session", "x"),
            ("spindrift-session-user", "x"),
            ("spindrift-session-anything", "x"),
            ("spindrift_session", "x"),
            ("Spindrift.Session_Id", "x"),
            ("spindrift-sessions", "kept"),
            ("spindrift", "kept"),
            ("x-spindrift-session", "kept"),
        ]);
        fields().strip(&mut headers);
        assert_eq!(headers.len(), 3, "{headers:?}");
        assert!(headers.values().all(|value| value == "kept"));
    }

    #[test]
    fn the_origin_is_told_data_handle_and_user() {
        let handle = *ChosenId::new("x").unwrap().handle();
        let data = Data::parse(br#"{"a":"?>"}"#).unwrap();
        let user = User::new("anna é, 100%").unwrap();
        let session = Session::Previous(Previous { handle, user: Some(user.clone()), data });
        let mut headers = HeaderMap::new();
        fields().tell(&mut headers, &session);
        assert_eq!(headers["spindrift-session"], "eyJhIjoiPz4ifQ");
        assert_eq!(headers["spindrift-session-id"], handle.to_string());
        assert_eq!(headers["spindrift-session-user"], "anna%20%C3%A9%2C%20100%25");
        let name = HeaderName::from_static("spindrift-session-user");
        assert_eq!(super::user(&name, &headers[&name]), Ok(user));
        let mut none = HeaderMap::new();
        fields().tell(&mut none, &Session::Absent);
        assert!(none.is_empty());
    }

    #[test]
    fn data_comes_in_every_spelling_of_base64() {
        let expected = Change::Write {
            data: DataChange::Set(Data::parse(br#"{"a":"?>"}"#).unwrap()),
            user: None,
            rotate: false,
        };
        for text in ["eyJhIjoiPz4ifQ", "eyJhIjoiPz4ifQ==", ":eyJhIjoiPz4ifQ==:"] {
            assert_eq!(take(&[("spindrift-session-set", text)]), Ok(Some(expected.clone())), "{text}");
        }
        assert_eq!(base64(b"-_-_"), base64(b"+/+/"));
        for wrong in ["eyJh IjoiPz4ifQ", "{}", "e30===", "e30=x", "e31"] {
            let error = take(&[("spindrift-session-merge", wrong)]).unwrap_err();
            assert!(error.starts_with("spindrift-session-merge: expected base64url"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_answer_says_what_becomes_of_the_session() {
        assert_eq!(take(&[("x", "y")]), Ok(None));
        assert_eq!(take(&[("spindrift-session-destroy", "1")]), Ok(Some(Change::End)));
        assert_eq!(take(&[("spindrift-session-destroy", "0"), ("spindrift-session-rotate", "?0")]), Ok(None));
        let login = [
            ("spindrift-session-user", "anna%40example.com"),
            ("spindrift-session-rotate", "true"),
            ("spindrift-session-merge", "eyJhIjpudWxsfQ"),
        ];
        let changes = Changes::parse(br#"{"a":null}"#).unwrap();
        assert_eq!(
            take(&login),
            Ok(Some(Change::Write {
                data: DataChange::Merge(changes),
                user: User::new("anna@example.com"),
                rotate: true
            }))
        );
    }

    #[test]
    fn what_cannot_be_is_an_error_that_shows_no_data() {
        for lines in [
            &[("spindrift-session-set", "e30"), ("spindrift-session-merge", "e30")][..],
            &[("spindrift-session-destroy", "1"), ("spindrift-session-rotate", "1")],
            &[("spindrift-session-destroy", "yes")],
            &[("spindrift-session-set", "e30"), ("spindrift-session-set", "e30")],
            &[("spindrift-session-set", "Imh1bnRlcjIi")],
            &[("spindrift-session-user", "")],
            &[("spindrift-session-user", "a%00")],
            &[("spindrift-session-user", "%ff")],
            &[("spindrift-session-data", "e30")],
            &[("spindrift-session", "e30")],
            &[("spindrift_session_set", "e30")],
        ] {
            let error = take(lines).unwrap_err();
            assert!(error.contains("expected ") && !error.contains("hunter2"), "{lines:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(
            suffix in "(|-set|-merge|-user|-rotate|-destroy|-x|_set)", value in "[ -~]{0,40}",
        ) {
            let _ = take(&[(&format!("spindrift-session{suffix}"), &value)]);
        }
    }
}

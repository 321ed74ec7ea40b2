//! The data of a session: a JSON object whose members are kept as the text that was given.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The most members of a session. More data can be nested below them.
pub const MAX_MEMBERS: usize = 100;

/// A JSON object with at most [`MAX_MEMBERS`] members. Numbers and white space are kept as they were given; of members
/// with the same name the last one counts.
///
/// ```
/// use spindrift::session::{Changes, Data};
///
/// let mut data = Data::parse(br#"{"cart":[1,2],"seen":1e400}"#)?;
/// data.set("theme", &"dark")?;
/// data.apply(&Changes::parse(br#"{"cart":null,"seen":2}"#)?);
/// assert_eq!(data.to_json(), r#"{"seen":2,"theme":"dark"}"#);
/// assert_eq!(data.get::<u32>("seen"), Some(2));
/// # Ok::<(), spindrift::session::DataError>(())
/// ```
///
/// `Debug` shows the number of members, and none of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(BTreeMap<String, String>);

/// Changes of single members: another value, or none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<String, Option<String>>);

/// Why something is not valid as the data of a session. It never shows what was found, which may be private.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// It is not JSON, or not an object.
    #[error("expected a JSON object, found something else at line {line}, column {column}")]
    NoObject {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It has more members than a session may have.
    #[error("expected at most {MAX_MEMBERS} members, found {found}")]
    TooMany {
        /// The number of its members.
        found: usize,
    },
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    NoJson,
}

fn parse(text: &[u8]) -> Result<BTreeMap<String, Box<RawValue>>, DataError> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(text)
        .map_err(|error| DataError::NoObject { line: error.line(), column: error.column() })?;
    if members.len() > MAX_MEMBERS {
        return Err(DataError::TooMany { found: members.len() });
    }
    Ok(members)
}

impl Data {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// [`DataError`] when it is not one, or has too many members.
    pub fn parse(text: &[u8]) -> Result<Self, DataError> {
        let members = parse(text)?.into_iter();
        Ok(Self(members.map(|(name, value)| (name, value.get().to_owned())).collect()))
    }

    /// Returns whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a member as a value of type `T`; `None` if it is missing, or of another type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.0.get(name).and_then(|text| serde_json::from_str(text).ok())
    }

    /// Sets a member.
    ///
    /// # Errors
    /// [`DataError`] when the value cannot be expressed in JSON, or there are too many members.
    pub fn set(&mut self, name: &str, value: &impl Serialize) -> Result<(), DataError> {
        let text = serde_json::to_string(value).map_err(|_| DataError::NoJson)?;
        self.0.insert(name.to_owned(), text);
        match self.0.len() {
            found if found > MAX_MEMBERS => Err(DataError::TooMany { found }),
            _ => Ok(()),
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Applies changes.
    pub fn apply(&mut self, changes: &Changes) {
        for (name, value) in &changes.0 {
            match value {
                Some(value) => self.0.insert(name.clone(), value.clone()),
                None => self.0.remove(name),
            };
        }
    }

    /// Returns the length of its JSON text, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.to_json().len()
    }

    /// Returns the JSON text, ordered by name.
    #[must_use]
    pub fn to_json(&self) -> String {
        let members: Vec<String> = self.fields().map(|(name, value)| format!("{name}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// Returns name and value of each member as Redis stores them, both as JSON text.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(name, value)| (quoted(name), value.as_str()))
    }
}

impl Changes {
    /// Parses a JSON object: a member that is `null` is removed, any other is set.
    ///
    /// # Errors
    /// [`DataError`] when it is not one, or has too many members.
    pub fn parse(text: &[u8]) -> Result<Self, DataError> {
        let value = |value: &str| (value != "null").then(|| value.to_owned());
        let members = parse(text)?.into_iter();
        Ok(Self(members.map(|(name, text)| (name, value(text.get()))).collect()))
    }

    /// Sets a member.
    ///
    /// # Errors
    /// [`DataError`] when the value cannot be expressed in JSON, or there are too many members.
    pub fn set(mut self, name: &str, value: &impl Serialize) -> Result<Self, DataError> {
        let text = serde_json::to_string(value).map_err(|_| DataError::NoJson)?;
        self.0.insert(name.to_owned(), Some(text));
        match self.0.len() {
            found if found > MAX_MEMBERS => Err(DataError::TooMany { found }),
            _ => Ok(self),
        }
    }

    /// Returns name and value of each member for the script; the empty text means removal.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(name, value)| (quoted(name), value.as_deref().unwrap_or_default()))
    }
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} members)", self.0.len())
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes({} members)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_stay_as_they_came() {
        for text in [
            "{}",
            r#"{"a":12345678901234567890123.000,"b":-0,"c":1e400}"#,
            r#"{"":[ 1,  2 ],"é\"\\":"\u00e9"}"#,
            r#"{"nested":{"a":null,"b":[{}]}}"#,
        ] {
            let data = Data::parse(text.as_bytes()).unwrap();
            let json = data.to_json();
            assert_eq!(Data::parse(json.as_bytes()), Ok(data), "{text}");
            assert_eq!(json.replace(' ', ""), text.replace(' ', ""));
        }
    }

    #[test]
    fn what_is_no_object_is_refused_and_not_shown() {
        for text in [
            &b""[..],
            b"null",
            b"[]",
            b"\"hunter2\"",
            b"{\"a\":hunter2}",
            b"{\"a\":1",
            b"{\"a\":1}x",
            b"{a:1}",
            b"{\"a\":\"\xff\"}",
            b"{\"\\ud800\":1}",
        ] {
            let error = Data::parse(text).unwrap_err();
            assert!(matches!(error, DataError::NoObject { .. }), "{text:?}: {error:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn there_are_at_most_a_hundred_members() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("\"{number}\":{number}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let mut full = Data::parse(object(MAX_MEMBERS).as_bytes()).unwrap();
        assert!(full.set("0", &1).is_ok());
        assert_eq!(full.set("one more", &1), Err(DataError::TooMany { found: 101 }));
        assert_eq!(Data::parse(object(101).as_bytes()), Err(DataError::TooMany { found: 101 }));
        assert!(Changes::parse(object(101).as_bytes()).is_err());
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        assert_eq!(Data::parse(br#"{"a":1,"a":2}"#).unwrap().to_json(), r#"{"a":2}"#);
        let mut data = Data::parse(br#"{"a":1}"#).unwrap();
        data.apply(&Changes::parse(br#"{"a":2,"a":null}"#).unwrap());
        assert!(data.is_empty());
    }

    #[test]
    fn no_member_is_shown() {
        let data = Data::parse(br#"{"hunter2":"hunter2"}"#).unwrap();
        let changes = Changes::default().set("hunter2", &"hunter2").unwrap();
        assert!(!format!("{data:?} {changes:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn its_size_is_that_of_its_text(members in proptest::collection::btree_map(".{0,9}", ".{0,9}", 0..9)) {
            let mut data = Data::default();
            for (name, value) in &members {
                data.set(name, value).unwrap();
            }
            let json: serde_json::Value = serde_json::from_str(&data.to_json()).unwrap();
            prop_assert_eq!(json.to_string().len(), data.size());
            prop_assert_eq!(json, serde_json::to_value(members).unwrap());
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            let _ = (Data::parse(text.as_bytes()), Changes::parse(text.as_bytes()));
        }
    }
}

//! Changes of a session that an origin demands, and how they are carried out.

use super::{Changes, Data, Loaded, Session, User};

/// A change that the origin's answer demands of the session of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The session ends.
    End,
    /// Its data or its user changes, or it gets another id.
    Write {
        /// The change of the data.
        data: DataChange,
        /// The user who has logged in.
        user: Option<User>,
        /// Whether it gets another id.
        rotate: bool,
    },
}

/// A change of the data of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DataChange {
    /// The data stays.
    #[default]
    None,
    /// The data is replaced as a whole.
    Set(Data),
    /// Single members are replaced or removed.
    Merge(Changes),
}

impl DataChange {
    /// Applies it to `data`.
    #[must_use]
    pub fn on(self, mut data: Data) -> Data {
        match self {
            Self::None => data,
            Self::Set(all) => all,
            Self::Merge(changes) => {
                data.apply(&changes);
                data
            }
        }
    }
}

/// What is to be done about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing.
    Nothing,
    /// Create a session without a user.
    Create(Data),
    /// Create a session of this user, in place of the present one.
    LogIn(User, Data),
    /// Change the data of this session.
    Write(&'a Loaded, DataChange),
    /// Give this session another id, and change its data.
    Rotate(&'a Loaded, DataChange),
    /// End the session, if it exists.
    End,
    /// Nothing: the id of the request was rotated away, and may only read.
    TooLate {
        /// Whether the origin must be told, because it replaced data that it had not seen.
        conflict: bool,
    },
}

/// Decides what is done about a change.
///
/// 1. A session begins only when there is something to remember: data or a user.
/// 2. A login begins a new session, so that nothing that could open the previous one opens the new one. It takes along
///    the data of a visitor, and none of another user. If the user is logged in already, the same session gets a new id.
/// 3. With an id that was rotated away a moment ago, a visitor may log in and out, and change nothing else.
#[must_use]
pub fn decide(session: &Session, change: Change) -> Step<'_> {
    let (data, user, rotate) = match change {
        Change::End => return Step::End,
        Change::Write { data, user, rotate } => (data, user, rotate),
    };
    match (session, user) {
        (Session::Loaded(loaded), Some(user)) if loaded.user.as_ref() == Some(&user) => {
            Step::Rotate(loaded, data)
        }
        (session, Some(user)) => {
            let data = data.on(session.data_for(&user));
            Step::LogIn(user, data)
        }
        (Session::Loaded(loaded), None) if rotate => Step::Rotate(loaded, data),
        (Session::Loaded(loaded), None) => match data {
            DataChange::None => Step::Nothing,
            data => Step::Write(loaded, data),
        },
        (Session::Previous(_), None) => match data {
            DataChange::None => Step::Nothing,
            data => Step::TooLate { conflict: matches!(data, DataChange::Set(_)) },
        },
        (Session::Absent | Session::Replayed(_), None) => {
            let data = data.on(Data::default());
            if data.is_empty() { Step::Nothing } else { Step::Create(data) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChosenId, Previous, Times};
    use super::*;
    use crate::time::Timestamp;

    fn data(text: &str) -> Data {
        Data::parse(text.as_bytes()).unwrap()
    }

    fn user(name: &str) -> User {
        User::new(name).unwrap()
    }

    fn loaded(of: Option<&str>) -> Loaded {
        let now = Timestamp::from_millis(0);
        Loaded {
            handle: *ChosenId::new("x").unwrap().handle(),
            user: of.map(user),
            data: data(r#"{"a":1}"#),
            version: 1,
            times: Times { now, begun: now, expires: now, ends: now },
            proof: None,
        }
    }

    fn previous(of: Option<&str>) -> Session {
        let Loaded { handle, user, data, .. } = loaded(of);
        Session::Previous(Previous { handle, user, data })
    }

    fn write(data: DataChange, of: Option<&str>, rotate: bool) -> Change {
        Change::Write { data, user: of.map(user), rotate }
    }

    fn merge(text: &str) -> DataChange {
        DataChange::Merge(Changes::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_session_begins_only_where_there_is_something_to_remember() {
        let absent = Session::Absent;
        for nothing in [
            write(DataChange::None, None, false),
            write(DataChange::None, None, true),
            write(DataChange::Set(Data::default()), None, false),
            write(merge(r#"{"a":null}"#), None, true),
        ] {
            assert_eq!(decide(&absent, nothing), Step::Nothing);
        }
        let something = write(merge(r#"{"a":2,"b":null}"#), None, false);
        assert_eq!(decide(&absent, something), Step::Create(data(r#"{"a":2}"#)));
        let login = write(DataChange::None, Some("anna"), false);
        assert_eq!(decide(&absent, login), Step::LogIn(user("anna"), Data::default()));
    }

    #[test]
    fn a_login_takes_the_data_along_into_a_session_of_its_own() {
        let nobody = Session::Loaded(loaded(None));
        let login = || write(merge(r#"{"b":2}"#), Some("anna"), false);
        let expected = Step::LogIn(user("anna"), data(r#"{"a":1,"b":2}"#));
        assert_eq!(decide(&nobody, login()), expected);
        assert_eq!(decide(&previous(None), login()), expected);
        assert_eq!(decide(&previous(Some("anna")), login()), expected);
    }

    #[test]
    fn a_login_takes_nothing_of_another_user_along() {
        let login = || write(merge(r#"{"b":2}"#), Some("anna"), false);
        for other in [Session::Loaded(loaded(Some("ben"))), previous(Some("ben"))] {
            assert_eq!(decide(&other, login()), Step::LogIn(user("anna"), data(r#"{"b":2}"#)));
        }
    }

    #[test]
    fn a_login_of_who_is_logged_in_is_a_new_id() {
        let (anna, session) = (loaded(Some("anna")), Session::Loaded(loaded(Some("anna"))));
        let login = write(merge(r#"{"b":2}"#), Some("anna"), false);
        assert_eq!(decide(&session, login), Step::Rotate(&anna, merge(r#"{"b":2}"#)));
    }

    #[test]
    fn an_id_that_was_given_up_ends_a_session_and_writes_nothing() {
        let session = previous(None);
        assert_eq!(decide(&session, Change::End), Step::End);
        let late = decide(&session, write(merge(r#"{"b":2}"#), None, true));
        assert_eq!(late, Step::TooLate { conflict: false });
        let late = decide(&session, write(DataChange::Set(Data::default()), None, false));
        assert_eq!(late, Step::TooLate { conflict: true });
        assert_eq!(decide(&session, write(DataChange::None, None, true)), Step::Nothing);
    }
}

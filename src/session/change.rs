//! What an origin wants of a session, and what is done about it.

use super::{Changes, Data, Loaded, Previous, Session, User};

/// What an answer of the origin says of the session of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ends.
    End,
    /// Its data changes, or its user, or it gets another id.
    Write {
        /// What becomes of the data.
        data: DataChange,
        /// Who has logged in.
        user: Option<User>,
        /// Whether it gets another id.
        rotate: bool,
    },
}

/// What becomes of the data of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DataChange {
    /// Nothing.
    #[default]
    None,
    /// All of it is replaced.
    Set(Data),
    /// Single members are.
    Merge(Changes),
}

impl DataChange {
    /// What comes of `data`.
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

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing.
    Nothing,
    /// A session of nobody begins.
    Create(Data),
    /// A session of this user begins, in the place of the one that there is.
    LogIn(User, Data),
    /// The data of this session changes.
    Write(&'a Loaded, DataChange),
    /// This session gets another id, and its data changes.
    Rotate(&'a Loaded, DataChange),
    /// The session ends, if it is there at all.
    End,
    /// The change comes too late: the id of the request had been given up, and may only read.
    TooLate {
        /// Whether the origin must hear of it, since it replaced data that it had not seen.
        conflict: bool,
    },
}

/// Decides what is done about a change.
///
/// 1. A session begins only where there is something to remember: data or a user.
/// 2. A login begins a session of its own, so that nothing which could open the one before opens it. Where
///    the user is logged in already, it is a new id for the same session.
/// 3. With an id that was given up a moment ago a visitor may log in and out, and change nothing else.
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
        (
            Session::Loaded(Loaded { data: before, .. }) | Session::Previous(Previous { data: before, .. }),
            Some(user),
        ) => Step::LogIn(user, data.on(before.clone())),
        (Session::Absent | Session::Replayed(_), Some(user)) => Step::LogIn(user, data.on(Data::default())),
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
    use super::super::{ChosenId, Times};
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

    fn previous() -> Session {
        let Loaded { handle, user, data, .. } = loaded(None);
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
        assert_eq!(decide(&previous(), login()), expected);
        let other = Session::Loaded(loaded(Some("ben")));
        assert_eq!(decide(&other, login()), expected);
    }

    #[test]
    fn a_login_of_who_is_logged_in_is_a_new_id() {
        let (anna, session) = (loaded(Some("anna")), Session::Loaded(loaded(Some("anna"))));
        let login = write(merge(r#"{"b":2}"#), Some("anna"), false);
        assert_eq!(decide(&session, login), Step::Rotate(&anna, merge(r#"{"b":2}"#)));
    }

    #[test]
    fn an_id_that_was_given_up_ends_a_session_and_writes_nothing() {
        let session = previous();
        assert_eq!(decide(&session, Change::End), Step::End);
        let late = decide(&session, write(merge(r#"{"b":2}"#), None, true));
        assert_eq!(late, Step::TooLate { conflict: false });
        let late = decide(&session, write(DataChange::Set(Data::default()), None, false));
        assert_eq!(late, Step::TooLate { conflict: true });
        assert_eq!(decide(&session, write(DataChange::None, None, true)), Step::Nothing);
    }
}

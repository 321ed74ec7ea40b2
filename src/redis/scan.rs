//! Iterating over all keys, step by step, on every master.

use super::{Arg, Client, RedisError, Value};
use crate::config::HostPort;
use crate::env::Env;

/// An iteration over the keys that match a pattern. Keys that exist throughout are found, some perhaps
/// twice; in a cluster, not those of a slot that migrates meanwhile.
#[derive(Debug)]
pub struct Scan {
    pattern: String,
    /// How many keys a server looks at in one step.
    step: u64,
    place: Place,
    /// Whether any step was carried out, and whether any master was skipped.
    stepped: bool,
    skipped: bool,
}

#[derive(Debug)]
enum Place {
    Start,
    /// On the master at `on`, or on the only server; the masters in `rest` follow.
    Within {
        on: Option<HostPort>,
        cursor: String,
        rest: Vec<HostPort>,
    },
    End,
}

impl Scan {
    /// Begins an iteration over the keys that match `pattern` (a glob of Redis).
    #[must_use]
    pub const fn new(pattern: String, step: u64) -> Self {
        Self { pattern, step, place: Place::Start, stepped: false, skipped: false }
    }

    /// Returns whether nothing more will come.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Returns whether it has gone through all keys, without skipping a master.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_finished() && !self.skipped
    }

    /// Returns the next keys; mostly few, often none. A master that cannot be read is skipped, if there are others.
    ///
    /// # Errors
    /// [`RedisError`] when nothing could be read at all.
    pub async fn next<E: Env>(&mut self, redis: &Client<E>) -> Result<Vec<String>, RedisError> {
        if let Place::Start = self.place {
            self.place = match redis.masters().await? {
                None => Place::Within { on: None, cursor: BEGINNING.to_owned(), rest: Vec::new() },
                Some(masters) => Place::beginning(masters),
            };
        }
        let (on, cursor, rest) = match std::mem::replace(&mut self.place, Place::End) {
            Place::Within { on, cursor, rest } => (on, cursor, rest),
            Place::Start | Place::End => return Ok(Vec::new()),
        };
        let words = [Arg::from(cursor), Arg::from("MATCH"), Arg::from(self.pattern.as_str())];
        let arguments = words.into_iter().chain([Arg::from("COUNT"), Arg::from(self.step)]).collect();
        let reply = redis.scan(on.as_ref(), arguments).await;
        let read = reply.and_then(|reply| reply.into_iter().map(text).collect::<Result<Vec<_>, _>>());
        let mut found = match read {
            Ok(found) => found.into_iter(),
            Err(error) => {
                let alone = rest.is_empty() && (on.is_none() || !self.stepped);
                (self.place, self.skipped) = (Place::beginning(rest), true);
                return if alone { Err(error) } else { Ok(Vec::new()) };
            }
        };
        self.stepped = true;
        self.place = match found.next() {
            Some(cursor) if cursor != BEGINNING => Place::Within { on, cursor, rest },
            _ => Place::beginning(rest),
        };
        Ok(found.collect())
    }
}

/// The cursor with which an iteration begins, and which a server returns at its end.
const BEGINNING: &str = "0";

impl Place {
    fn beginning(mut masters: Vec<HostPort>) -> Self {
        match masters.pop() {
            Some(master) => Self::Within { on: Some(master), cursor: BEGINNING.to_owned(), rest: masters },
            None => Self::End,
        }
    }
}

fn text(value: Value) -> Result<String, RedisError> {
    Ok(String::from_utf8_lossy(&value.bytes()?.unwrap_or_default()).into_owned())
}

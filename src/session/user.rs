//! Listing and ending all sessions of a user.

use super::{Handle, Receipt, SessionError, Sessions, Times, User};
use crate::env::Env;
use crate::redis::{Arg, RedisError, Script, exactly};
use crate::time::Timestamp;
use std::time::Duration;

static LIST: Script = Script::new(include_str!("../redis/lua/session_list.lua"));
static END_USER: Script = Script::new(include_str!("../redis/lua/session_end_user.lua"));

/// A session in the list of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its handle.
    pub handle: Handle,
    /// Its version, and when it began and will end.
    pub receipt: Receipt,
}

impl<E: Env> Sessions<E> {
    /// Returns the sessions of a user, ordered by their end; at most 100, which is also the most that can be
    /// configured for a user.
    ///
    /// # Errors
    /// [`SessionError::Redis`].
    pub async fn list_user(&self, user: &User) -> Result<Vec<Listed>, SessionError> {
        let names = self.names(&Handle::nameless(user));
        let arguments = vec![Arg::from(&names.all)];
        let reply = self.redis.run(&LIST, &[&names.index, &names.epoch], arguments).await?;
        let [_count, now, lines] = exactly(reply)?;
        let now = Timestamp::from_millis(u64::try_from(now.int()?).unwrap_or(0));
        let lines = lines.bytes()?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&lines).into_owned();
        let read = |line| {
            listed(user, now, line)
                .ok_or_else(|| RedisError::reply("a line that describes a session", "another line"))
        };
        Ok(lines.lines().map(read).collect::<Result<_, _>>()?)
    }

    /// Ends all sessions of a user at once, optionally except one. Returns how many the user's list had; some of them may
    /// have ended before.
    ///
    /// # Errors
    /// [`SessionError::Redis`]: then they may still exist. Repeating it is safe.
    pub async fn end_user(&self, user: &User, except: Option<&Handle>) -> Result<u64, SessionError> {
        let stays = except.filter(|handle| handle.is_of(user));
        let names = self.names(&stays.copied().unwrap_or_else(|| Handle::nameless(user)));
        let stays = stays.map(Handle::name).unwrap_or_default();
        let arguments = vec![Arg::from(self.nonces.next()), Arg::from(stays)];
        let keys = [&names.epoch, &names.index, &names.session];
        let reply = self.redis.run(&END_USER, &keys, arguments).await?;
        Ok(u64::try_from(exactly::<1>(reply)?[0].int()?).unwrap_or(0))
    }
}

/// Parses a line of the list: name, version, time to live, end and begin, in milliseconds.
fn listed(user: &User, now: Timestamp, line: &str) -> Option<Listed> {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, numbers @ ..] = words.as_slice() else { return None };
    let numbers: Vec<i64> = numbers.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [version, ttl, ends, begun] = numbers.as_slice() else { return None };
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    let at = |number: i64| Timestamp::from_millis(positive(number));
    let expires = now.plus(Duration::from_millis(positive(*ttl)));
    let times = Times { now, begun: at(*begun), expires, ends: at(*ends) };
    let receipt = Receipt { version: positive(*version), times };
    Some(Listed { handle: Handle::of_user(user, name)?, receipt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_read_or_refused() {
        let (user, now) = (User::new("anna").unwrap(), Timestamp::from_millis(1_000));
        let name = "0123456789abcdef0123456789abcdef";
        let found = listed(&user, now, &format!("{name} 7 500 9000 1")).unwrap();
        assert_eq!((found.handle.name().as_str(), found.receipt.version), (name, 7));
        assert_eq!(found.receipt.times.expires, Timestamp::from_millis(1_500));
        assert_eq!(listed(&user, now, &format!("{name} 7 -2 9000 1")).unwrap().receipt.times.expires, now);
        for wrong in [
            "",
            "x 1 2 3 4",
            &format!("{name} 1 2 3"),
            &format!("{name} 1 2 3 4 5"),
            &format!("{name} 1 2 x 4"),
        ] {
            assert_eq!(listed(&user, now, wrong), None, "{wrong}");
        }
    }
}

//! Invalidating many values at once, and giving their space back sooner than they would end.

use super::many::AT_ONCE;
use super::{Pattern, Tag, ValueKey, Values};
use crate::env::Env;
use crate::purge::ledger::{self, Head as LedgerHead};
use crate::purge::{MAX_TARGETS, Swept, Target};
use crate::redis::{Arg, RedisError, Value as Reply};
use crate::time::millis;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::time::Duration;

/// How many keys Redis looks at in one step of a sweep.
const STEP: u64 = 200;
/// How long after a sweep the next may begin: values are invalidated often, and each sweep goes through all keys.
const REST: Duration = Duration::from_secs(60);

impl<E: Env> Values<E> {
    /// Invalidates every value whose key one of the patterns matches, or that has one of the tags. Once this
    /// returns, no instance finds one that was set, or began to be made, before it was called.
    ///
    /// One round trip for up to 1,000 patterns and tags, however many values they mean.
    ///
    /// # Errors
    /// [`RedisError`]: then some may not be invalidated. Doing it again is safe.
    pub async fn invalidate(&self, patterns: &[Pattern], tags: &[Tag]) -> Result<(), RedisError> {
        let tags = tags.iter().map(|tag| Target::Tag(tag.as_str().to_owned()));
        let tags = tags.filter_map(|tag| ledger::member(&tag, false));
        let patterns = patterns.iter().map(|pattern| ledger::key_pattern(pattern.as_str()));
        let members: Vec<String> = patterns.chain(tags).collect();
        for members in members.chunks(MAX_TARGETS) {
            self.book.write(members.to_vec()).await?;
        }
        Ok(())
    }

    /// Drops what was invalidated, for no longer than `budget`; `None` when that was done less than a minute ago,
    /// or is being done. Readers find it gone already, and drop what they come upon: this gives back the space of
    /// what nobody asks for any more.
    ///
    /// # Errors
    /// [`RedisError`]: then the rest stays until its time is up.
    pub async fn sweep(&self, budget: Duration) -> Result<Option<Swept>, RedisError> {
        let held = Arg::from(&self.keys.values_sweep());
        let (nobody, rest) = (Arg::from("NX"), Arg::from(millis(REST)));
        let arguments = vec![held.clone(), Arg::from("1"), nobody, Arg::from("PX"), rest.clone()];
        if let Some(Reply::Nil) | None = self.redis.call("SET", arguments).await?.first() {
            return Ok(None);
        }
        let until = self.env.now().plus(budget);
        let (mut swept, mut cursor) = (Swept::default(), Some("0".to_owned()));
        while let Some(from) = cursor.filter(|_| self.env.now() < until) {
            cursor = self.step(&from, &mut swept).await?;
            swept.finished = cursor.is_none();
            self.redis.call("PEXPIRE", vec![held.clone(), rest.clone()]).await?;
        }
        Ok(Some(swept))
    }

    /// Where the next step begins; `None` after the last.
    async fn step(&self, cursor: &str, swept: &mut Swept) -> Result<Option<String>, RedisError> {
        let words = [Arg::from(cursor), Arg::from("MATCH"), Arg::from(self.keys.all_values())];
        let arguments = words.into_iter().chain([Arg::from("COUNT"), Arg::from(STEP)]).collect();
        let mut reply = self.redis.call("SCAN", arguments).await?.into_iter().map(text);
        let next = reply.next().transpose()?.unwrap_or_default();
        let found = reply.collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<ValueKey> =
            found.iter().filter_map(|key| ValueKey::new(&self.keys.value_at(key)?).ok()).collect();
        let ledger = self.ledger().await?;
        let gone = stream::iter(&keys).map(|key| self.drop_invalidated(key, ledger.as_ref()));
        let count = async |sum, gone| Ok(sum + u64::from(gone));
        swept.dropped += gone.buffer_unordered(AT_ONCE).try_fold(0, count).await?;
        swept.seen += keys.len() as u64;
        Ok((next != "0").then_some(next))
    }

    /// Whether something stood at `key` that was invalidated.
    async fn drop_invalidated(
        &self,
        key: &ValueKey,
        ledger: Option<&LedgerHead>,
    ) -> Result<bool, RedisError> {
        let Some((head, _)) = self.head_of(key, self.first(key).await?).await? else { return Ok(false) };
        if self.counts(key, ledger, &head).await? {
            return Ok(false);
        }
        self.remove(key, &head.stamp).await
    }
}

fn text(value: Reply) -> Result<String, RedisError> {
    Ok(String::from_utf8_lossy(&value.bytes()?.unwrap_or_default()).into_owned())
}

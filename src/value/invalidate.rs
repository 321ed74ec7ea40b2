//! Invalidating many values at once, and freeing their space before they expire.

use super::many::AT_ONCE;
use super::{Pattern, Tag, ValueKey, Values};
use crate::env::Env;
use crate::purge::ledger::{self, Head as LedgerHead};
use crate::purge::{MAX_TARGETS, Swept, Target};
use crate::redis::{Arg, RedisError, Scan};
use crate::time::millis;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::time::Duration;

/// How many keys Redis looks at in one step of a sweep.
const STEP: u64 = 200;
/// How long after a sweep the next may begin: invalidations are frequent, and each sweep goes through all keys.
const REST: Duration = Duration::from_secs(60);

impl<E: Env> Values<E> {
    /// Invalidates every value whose key matches one of the patterns, or that has one of the tags. Once this
    /// returns, no instance finds a value that was set, or began to be made, before the call.
    ///
    /// One round trip for up to 1,000 patterns and tags, however many values they cover.
    ///
    /// # Errors
    /// [`RedisError`]: then some may not be invalidated. Repeating it is safe.
    pub async fn invalidate(&self, patterns: &[Pattern], tags: &[Tag]) -> Result<(), RedisError> {
        let tags = tags.iter().map(|tag| Target::Tag(tag.as_str().to_owned()));
        let tags = tags.filter_map(|tag| ledger::member(&tag, false));
        let patterns = patterns.iter().map(|pattern| ledger::key_pattern(pattern.as_str()));
        let members: Vec<String> = patterns.chain(tags).collect();
        for members in members.chunks(MAX_TARGETS) {
            self.books.write(members.to_vec()).await?;
        }
        Ok(())
    }

    /// Drops invalidated values, for at most `budget`; `None` during another sweep, and for a minute after one.
    /// Readers do not see these values any more, and drop those that they find: this frees the space of
    /// values that nobody reads.
    ///
    /// # Errors
    /// [`RedisError`]: then the rest stays until it expires.
    pub async fn sweep(&self, budget: Duration) -> Result<Option<Swept>, RedisError> {
        let held = self.keys.values_sweep();
        if !self.redis.set_new(&held, &self.nonces.next(), REST).await? {
            return Ok(None);
        }
        let until = self.env.instant().plus(budget);
        let (mut swept, mut scan) = (Swept::default(), Scan::new(self.keys.all_values(), STEP));
        while !scan.is_finished() && self.env.instant() < until {
            let found = scan.next(&self.redis).await?;
            self.drop_from(&found, &mut swept).await?;
            swept.finished = scan.is_complete();
            self.redis.call("PEXPIRE", vec![Arg::from(&held), Arg::from(millis(REST))]).await?;
        }
        Ok(Some(swept))
    }

    async fn drop_from(&self, found: &[String], swept: &mut Swept) -> Result<(), RedisError> {
        let keys: Vec<ValueKey> =
            found.iter().filter_map(|key| ValueKey::new(&self.keys.value_at(key)?).ok()).collect();
        let heads = self.heads(&keys).await?;
        let gone = stream::iter(&keys).map(|key| self.drop_invalidated(key, heads.of(self.ledger_of(key))));
        let count = async |sum, gone| Ok(sum + u64::from(gone));
        swept.dropped += gone.buffer_unordered(AT_ONCE).try_fold(0, count).await?;
        swept.seen += keys.len() as u64;
        Ok(())
    }

    /// Drops the value at `key` if it was invalidated; `true` if it was dropped.
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

//! Storing the response to an unsafe request in place of what the request invalidated (RFC 9110 §9.3.3).

use super::lease::{FillLease, GENERATION};
use super::store::Store;
use crate::env::Env;
use crate::redis::{Arg, RedisError, Script, exactly};
use crate::time::millis;

static REPLACE: Script = Script::new(include_str!("../redis/lua/replace.lua"));

impl<E: Env> Store<E> {
    /// Drops what is stored for the resource of `lease`, and the right of all other fetches under way to store. `None`
    /// when it was purged since `lease` was given: then nobody may store.
    ///
    /// # Errors
    /// [`RedisError`]: then it may or may not be dropped.
    pub async fn replace(&self, mut lease: FillLease) -> Result<Option<FillLease>, RedisError> {
        let (id, next) = (lease.resource.id(), self.nonces.next());
        let keys = [&self.keys.generation(id), &self.keys.resource(id)];
        let arguments = vec![
            Arg::from(lease.generation.clone()),
            Arg::from(next.as_str()),
            Arg::from(millis(GENERATION)),
            Arg::from(self.keys.variant(id, "")),
        ];
        let done = exactly::<1>(self.redis.run(&REPLACE, &keys, arguments).await?)?[0].int()? == 1;
        lease.generation = next.into_bytes();
        Ok(done.then_some(lease))
    }
}

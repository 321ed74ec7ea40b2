//! Parsing the replies of the scripts.

use super::{Data, Handle, Loaded, Previous, Receipt, Session, Times, User};
use crate::config::Secret;
use crate::redis::{RedisError, Value, exactly};
use crate::time::Timestamp;

fn number(value: &Value) -> Result<u64, RedisError> {
    let number = value.int()?;
    u64::try_from(number).map_err(|_| RedisError::reply("a number of at least 0", &number.to_string()))
}

fn times(now: &Value, ttl: &Value, ends: &Value, begun: &Value) -> Result<Times, RedisError> {
    let at = |value| number(value).map(Timestamp::from_millis);
    // A key that is just ending has a time to live of -2.
    let left = std::time::Duration::from_millis(u64::try_from(ttl.int()?).unwrap_or(0));
    Ok(Times { now: at(now)?, begun: at(begun)?, expires: at(now)?.plus(left), ends: at(ends)? })
}

/// Parses the reply of a script that writes: its state code, and the session after the write.
pub(super) fn written(reply: Vec<Value>) -> Result<(i64, Receipt), RedisError> {
    let [state, version, now, ttl, ends, begun] = exactly(reply)?;
    let receipt = Receipt { version: number(&version)?, times: times(&now, &ttl, &ends, &begun)? };
    Ok((state.int()?, receipt))
}

/// Parses the reply of `session_load`.
pub(super) fn loaded(
    reply: Vec<Value>,
    handle: Handle,
    proof: Option<Secret>,
) -> Result<Session, RedisError> {
    let [state, version, now, ttl, ends, begun, user, data] = exactly(reply)?;
    match state.int()? {
        0 => return Ok(Session::Absent),
        3 => return Ok(Session::Replayed(handle)),
        _ => {}
    }
    let text = |value: Value| -> Result<_, RedisError> { Ok(value.bytes()?.unwrap_or_default()) };
    let user = User::new(&String::from_utf8_lossy(&text(user)?));
    let data = Data::parse(&text(data)?)
        .map_err(|error| RedisError::Reply(format!("the data of the session {handle}: {error}")))?;
    if state.int()? == 2 {
        return Ok(Session::Previous(Previous { handle, user, data }));
    }
    let times = times(&now, &ttl, &ends, &begun)?;
    Ok(Session::Loaded(Loaded { handle, user, data, version: number(&version)?, times, proof }))
}

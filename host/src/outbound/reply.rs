//! Replies of Redis as Spin's flat lists of values.

use crate::runtime::bindings::redis::RedisResult as Flat;
use redis::{ErrorKind, FromRedisValue, RedisError, Value};

/// The greatest size of a reply that a component gets, in bytes.
pub(crate) const LIMIT: usize = 128 << 20;

/// A whole reply. Arrays and sets lose their nesting, and empty ones vanish.
#[derive(Debug)]
pub(crate) struct Reply(pub(crate) Vec<Flat>);

impl FromRedisValue for Reply {
    fn from_redis_value(value: &Value) -> redis::RedisResult<Self> {
        Self::from_owned_redis_value(value.clone())
    }

    fn from_owned_redis_value(value: Value) -> redis::RedisResult<Self> {
        let mut flat = Vec::new();
        append(&mut flat, value)?;
        Ok(Self(flat))
    }
}

impl Reply {
    /// Returns the size of the reply in memory, in bytes, as the limit counts it.
    pub(crate) fn size(&self) -> usize {
        let content = |value: &Flat| match value {
            Flat::Nil | Flat::Int64(_) => 0,
            Flat::Status(text) => text.len(),
            Flat::Binary(bytes) => bytes.len(),
        };
        let own: usize = self.0.iter().map(|value| size_of::<Flat>() + content(value)).sum();
        size_of::<Vec<Flat>>() + own
    }
}

fn append(flat: &mut Vec<Flat>, value: Value) -> redis::RedisResult<()> {
    flat.push(match value {
        Value::Nil => Flat::Nil,
        Value::Int(number) => Flat::Int64(number),
        Value::Boolean(yes) => Flat::Int64(yes.into()),
        Value::BulkString(bytes) => Flat::Binary(bytes),
        Value::Double(number) => Flat::Binary(number.to_string().into_bytes()),
        Value::BigNumber(number) => Flat::Binary(number.to_string().into_bytes()),
        Value::SimpleString(text) => Flat::Status(text),
        Value::Okay => Flat::Status("OK".to_owned()),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| append(flat, value));
        }
        Value::Map(_) => return Err(unsupported("Redis Map type is not supported")),
        Value::Attribute { .. } => return Err(unsupported("Redis Attribute type is not supported")),
        Value::VerbatimString { .. } => {
            return Err(unsupported("Redis string with format attribute is not supported"));
        }
        Value::Push { .. } => return Err(unsupported("Redis Pub/Sub types are not supported")),
        Value::ServerError(error) => {
            return Err(RedisError::from((ErrorKind::ResponseError, "Server error", format!("{error:?}"))));
        }
    });
    Ok(())
}

/// Components see these texts, so they are the same as Spin's.
fn unsupported(what: &str) -> RedisError {
    RedisError::from((ErrorKind::TypeError, "Could not convert Redis response", what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: Value) -> Result<String, String> {
        Reply::from_owned_redis_value(value).map(|it| format!("{:?}", it.0)).map_err(|e| e.to_string())
    }

    fn same(value: Value, expected: &[Flat]) {
        assert_eq!(flat(value).unwrap(), format!("{expected:?}"));
    }

    #[test]
    fn simple_values_map_one_to_one() {
        same(Value::Nil, &[Flat::Nil]);
        same(Value::Int(-3), &[Flat::Int64(-3)]);
        same(Value::Boolean(true), &[Flat::Int64(1)]);
        same(Value::Okay, &[Flat::Status("OK".into())]);
        same(Value::SimpleString("PONG".into()), &[Flat::Status("PONG".into())]);
        same(Value::BulkString(vec![0, 255]), &[Flat::Binary(vec![0, 255])]);
        same(Value::Double(1.5), &[Flat::Binary(b"1.5".to_vec())]);
    }

    #[test]
    fn arrays_flatten_and_empty_ones_vanish() {
        same(Value::Array(vec![]), &[]);
        let inner = Value::Array(vec![Value::Int(2), Value::Set(vec![Value::Nil]), Value::Array(vec![])]);
        same(
            Value::Array(vec![Value::Int(1), inner, Value::Okay]),
            &[Flat::Int64(1), Flat::Int64(2), Flat::Nil, Flat::Status("OK".into())],
        );
    }

    #[test]
    fn other_types_fail_with_spins_texts() {
        let map = flat(Value::Map(vec![])).unwrap_err();
        assert_eq!(map, "Could not convert Redis response - TypeError: Redis Map type is not supported");
        let nested = Value::Array(vec![Value::Int(1), Value::Map(vec![])]);
        assert!(flat(nested).is_err());
    }

    #[test]
    fn size_counts_content_and_overhead() {
        let empty = Reply(vec![]).size();
        let one = Reply(vec![Flat::Binary(vec![0; 1000])]).size();
        assert!(one - empty >= 1000 && one - empty < 1100);
    }
}

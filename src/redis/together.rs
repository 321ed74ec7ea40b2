//! Running several commands at once, each to its end.
//!
//! Unlike `try_join`, which drops the others at the first failure. One of them may be reopening the connection after an
//! outage, while the others fail at once because the server is known to be down; dropped each time, it would never open.

use super::RedisError;
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

/// Returns both results, or the first failure.
pub(crate) fn both<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    second: impl Future<Output = Result<B, E>>,
) -> impl Future<Output = Result<(A, B), E>> {
    join(first, second).map(|(first, second)| Ok((first?, second?)))
}

/// Returns all results, or the first failure.
pub(crate) fn all<T, E>(
    work: impl IntoIterator<Item: Future<Output = Result<T, E>>>,
) -> impl Future<Output = Result<Vec<T>, E>> {
    join_all(work).map(|all| all.into_iter().collect())
}

/// Returns all results, or the first failure, marked if other parts were or may have been carried out.
pub(crate) fn all_parts<T>(
    work: impl IntoIterator<Item: Future<Output = Result<T, RedisError>>>,
) -> impl Future<Output = Result<Vec<T>, RedisError>> {
    join_all(work).map(|all| {
        let undone = all.iter().all(|one| one.as_ref().is_err_and(RedisError::was_not_carried_out));
        let all: Result<_, RedisError> = all.into_iter().collect();
        all.map_err(|error| if undone { error } else { error.in_part() })
    })
}

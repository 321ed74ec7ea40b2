//! Several commands at once, each to its end.
//!
//! Not `try_join`: that drops the others with the first failure. One of them may be opening the connection again after an
//! outage, while the others fail at once, because the server is known to be down; dropped each time, it would never stand.

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

/// Both results, or the first failure.
pub(crate) fn both<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    second: impl Future<Output = Result<B, E>>,
) -> impl Future<Output = Result<(A, B), E>> {
    join(first, second).map(|(first, second)| Ok((first?, second?)))
}

/// All results, or the first failure.
pub(crate) fn all<T, E>(
    work: impl IntoIterator<Item: Future<Output = Result<T, E>>>,
) -> impl Future<Output = Result<Vec<T>, E>> {
    join_all(work).map(|all| all.into_iter().collect())
}

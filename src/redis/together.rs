//! Several commands at once, each to its end.
//!
//! Not `try_join`: that drops the others with the first failure. One of them may be opening the connection again after an
//! outage, while the others fail at once, because the server is known to be down; dropped each time, it would never stand.

use futures_util::future::{join, join_all};

/// Both results, or the first failure.
pub(crate) async fn both<A, B, E>(
    first: impl Future<Output = Result<A, E>>,
    second: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (first, second) = join(first, second).await;
    Ok((first?, second?))
}

/// All results, or the first failure.
pub(crate) async fn all<T, E>(
    work: impl IntoIterator<Item: Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    join_all(work).await.into_iter().collect()
}

//! Commands to Redis.

use http_body_util::BodyExt;
use spin_sdk::http::Request;
use spin_sdk::redis::{Connection, RedisParameter};

/// Runs the commands in the body: an address in the first line, then one command per line, words separated
/// by spaces, `:1` for a number. Shows each result on a line of its own.
pub(crate) async fn run(request: Request) -> String {
    let script = request.into_body().collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let script = String::from_utf8_lossy(&script).into_owned();
    let mut lines = script.lines();
    let connection = match Connection::open(lines.next().unwrap_or_default()).await {
        Ok(connection) => connection,
        Err(error) => return format!("open: {error:?}\n"),
    };
    let mut results = String::new();
    for line in lines {
        results += &format!("{}\n", one(&connection, line).await);
    }
    results
}

async fn one(connection: &Connection, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["get", key] => format!("{:?}", connection.get(key).await),
        ["set", key, value] => format!("{:?}", connection.set(key, value).await),
        ["incr", key] => format!("{:?}", connection.incr(key).await),
        ["del", keys @ ..] => format!("{:?}", connection.del(keys).await),
        ["sadd", key, values @ ..] => format!("{:?}", connection.sadd(key, values).await),
        ["srem", key, values @ ..] => format!("{:?}", connection.srem(key, values).await),
        ["smembers", key] => format!("{:?}", connection.smembers(key).await),
        ["publish", channel, payload] => format!("{:?}", connection.publish(channel, payload).await),
        [command, arguments @ ..] => {
            let arguments = arguments.iter().map(|it| parameter(it));
            format!("{:?}", connection.execute(command, arguments).await)
        }
        [] => String::new(),
    }
}

fn parameter(word: &str) -> RedisParameter {
    match word.strip_prefix(':').and_then(|number| number.parse().ok()) {
        Some(number) => RedisParameter::Int64(number),
        None => RedisParameter::Binary(word.as_bytes().to_vec()),
    }
}

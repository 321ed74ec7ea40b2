//! Messages from Redis.
#![expect(unsafe_code, reason = "the macro's code exports a function")]

use spin_sdk::redis::{Connection, Error, RedisParameter};
use spin_sdk::redis_subscriber;

/// Appends every message to the list named by the variable `list`; the messages `fail` and `trap` make it do that, and
/// `compute` occupies a thread of the host for ever.
#[redis_subscriber]
async fn on_message(message: Vec<u8>) -> Result<(), Error> {
    let other = |e| Error::Other(format!("{e:?}"));
    match message.as_slice() {
        b"fail" => return Err(Error::Other("as asked".to_owned())),
        b"trap" => drop(super::trap()),
        b"compute" => compute(),
        _ => {}
    }
    let url = spin_sdk::variables::get("redis_url").await.map_err(other)?;
    let list = spin_sdk::variables::get("list").await.map_err(other)?;
    let arguments = [RedisParameter::Binary(list.into_bytes()), RedisParameter::Binary(message)];
    Connection::open(url).await?.execute("RPUSH", arguments).await.map(drop)
}

fn compute() -> ! {
    println!("computing");
    loop {
        std::hint::spin_loop();
    }
}

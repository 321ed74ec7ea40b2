//! What Redis returns.

use super::text;
use bytes::Bytes;
use spindrift::cache::entry::Entry;
use spindrift::cache::partial::Partial;
use spindrift::redis::{Value, exactly};
use spindrift::session::Handle;
use spindrift::topic::Position;

/// The head of an entry: its checksum, length and content are made to fit, so that damage has to be found in the
/// fields.
pub fn entry(data: &[u8]) {
    let _ = Entry::decode(&Bytes::copy_from_slice(data));
    let (version, head) = (4, data);
    let mut sealed = vec![version];
    sealed.extend_from_slice(&checksum(head).to_be_bytes());
    sealed.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
    sealed.extend_from_slice(head);
    if let Ok(entry) = Entry::decode(&sealed.into()) {
        assert_eq!(Entry::decode(&entry.encode().into()), Ok(entry));
    }
}

/// The checksum of entries.
fn checksum(bytes: &[u8]) -> u32 {
    twox_hash::XxHash3_64::oneshot(bytes) as u32
}

/// Records of parts, whose checksum and length are made to fit.
pub fn partial(data: &[u8]) {
    let _ = Partial::decode(&Bytes::copy_from_slice(data));
    let mut sealed = vec![b'Q'];
    sealed.extend_from_slice(&checksum(data).to_be_bytes());
    sealed.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    sealed.extend_from_slice(data);
    if let Ok(partial) = Partial::decode(&sealed.into()) {
        assert!(partial.runs().iter().all(|run| run.span.end() <= partial.complete()));
        assert_eq!(Partial::decode(&partial.encode().into()).as_ref(), Ok(&partial));
    }
}

/// Replies of Redis, as Spin returns them: each line is one value, whose type its first byte determines.
pub fn redis_reply(data: &[u8]) {
    let value = |line: &[u8]| match line.split_first() {
        None => Value::Nil,
        Some((b'+', rest)) => Value::Status(text(rest)),
        Some((b':', rest)) => Value::Int(text(rest).parse().unwrap_or(i64::MIN)),
        Some((_, rest)) => Value::Bytes(rest.to_vec()),
    };
    let reply: Vec<Value> = data.split(|byte| *byte == b'\n').map(value).collect();
    for value in &reply {
        let _ = (value.int(), value.clone().bytes());
    }
    let count = reply.len();
    assert_eq!(exactly::<3>(reply).is_ok(), count == 3);
    let _ = (text(data).parse::<Position>(), Handle::parse(&text(data)));
}

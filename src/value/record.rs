//! The encoding of a value in Redis: one string.
//!
//! ```text
//! record = version(1) checksum(head)(4) length(head)(4) head content
//! head   = stamp(16) kind(1) digest(16) length(content)(8) expires_at(8) ledger(id seq) media_type tags
//! ```
//! Numbers are big-endian, and texts are preceded by their length. `stamp` differs for each write, so that a script
//! can tell whether another write came in between; it has a fixed position. `digest` is that of [`digest`], and
//! verifies the content. An unknown version, a wrong checksum or a length that does not fit is [`Corrupt`] and
//! counts as no value at all.

use super::name::{MediaType, Tag};
use crate::cache::entry::LedgerMark;
use crate::codec::{self, Corrupt, Damaged, PREAMBLE, Reader, Writer};
use crate::time::Timestamp;
use bytes::Bytes;

const VERSION: u8 = 2;

/// A stamp, different for each write.
pub(super) type Stamp = [u8; 16];

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value.
    Value,
    /// Why a value could not be made. Only callers that would make it see this.
    Failure,
}

/// Everything of a record but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) stamp: Stamp,
    pub(super) kind: Kind,
    pub(super) digest: [u8; 16],
    pub(super) length: u64,
    pub(super) expires_at: Timestamp,
    pub(super) mark: LedgerMark,
    pub(super) media_type: MediaType,
    pub(super) tags: Vec<String>,
}

/// The result of decoding the first bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The whole head, and the position where the content begins.
    Whole(Head, usize),
    /// The length in bytes up to the end of the head, of which more has to be read.
    Longer(usize),
}

/// The 128-bit hash of media type and content: the same for the same value, whoever wrote it.
pub(super) fn digest(media_type: &MediaType, content: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(media_type.as_str().as_bytes());
    // No media type has this byte.
    hasher.update(b"\n");
    hasher.update(content);
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    digest
}

impl Head {
    /// Encodes the record for Redis.
    pub(super) fn encode(&self, content: &[u8]) -> Vec<u8> {
        let mut head = Writer::with_capacity(256);
        head.raw(&self.stamp);
        head.u8(match self.kind {
            Kind::Value => 0,
            Kind::Failure => 1,
        });
        head.raw(&self.digest);
        head.u64(self.length);
        head.u64(self.expires_at.as_millis());
        head.text(&self.mark.id);
        head.u64(self.mark.seq);
        head.text(self.media_type.as_str());
        head.length(self.tags.len());
        for tag in &self.tags {
            head.text(tag);
        }
        codec::record(VERSION, &head.into_bytes(), content)
    }

    /// Decodes the head from the first bytes of a record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Beginning, Corrupt> {
        let head = match codec::Beginning::of(bytes, VERSION)? {
            codec::Beginning::Longer(length) => return Ok(Beginning::Longer(length)),
            codec::Beginning::Head(head) => head,
        };
        let end = PREAMBLE + head.len();
        let mut reader = Reader::new(head);
        let head = Self::read(&mut reader)?;
        if reader.is_empty() { Ok(Beginning::Whole(head, end)) } else { Err(Corrupt::Damaged) }
    }

    fn read(head: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let stamp = head.array()?;
        let kind = match head.u8()? {
            0 => Kind::Value,
            1 => Kind::Failure,
            _ => return Err(Corrupt::Damaged),
        };
        let (digest, length) = (head.array()?, head.u64()?);
        let expires_at = Timestamp::from_millis(head.u64()?);
        let mark = LedgerMark { id: head.text()?, seq: head.u64()? };
        let media_type = MediaType::new(&head.text()?).map_err(|_| Corrupt::Damaged)?;
        let tags = (0..head.count()?).map(|_| head.text()).collect::<Result<_, Damaged>>()?;
        Ok(Self { stamp, kind, digest, length, expires_at, mark, media_type, tags })
    }
}

/// Decodes a whole record.
pub(super) fn decode(bytes: &Bytes) -> Result<(Head, Bytes), Corrupt> {
    let Beginning::Whole(head, end) = Head::decode(bytes)? else { return Err(Corrupt::Damaged) };
    let content = bytes.slice(end..);
    if content.len() as u64 != head.length {
        return Err(Corrupt::Damaged);
    }
    if digest(&head.media_type, &content) != head.digest {
        return Err(Corrupt::Checksum);
    }
    Ok((head, content))
}

/// Returns the tags as they are stored: sorted, each once.
pub(super) fn tag_texts(tags: &[Tag]) -> Vec<String> {
    let mut texts: Vec<String> = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn head(content: &[u8], tags: Vec<String>) -> Head {
        let media_type = MediaType::new("text/plain; charset=utf-8").unwrap();
        Head {
            stamp: *b"0123456789abcdef",
            kind: Kind::Value,
            digest: digest(&media_type, content),
            length: content.len() as u64,
            expires_at: Timestamp::from_millis(1_700_000_000_123),
            mark: LedgerMark { id: "ab12".to_owned(), seq: 9 },
            media_type,
            tags,
        }
    }

    fn sample() -> Vec<u8> {
        head(b"content", vec!["a".to_owned()]).encode(b"content")
    }

    #[test]
    fn the_stamp_stands_where_the_scripts_look_for_it() {
        assert_eq!(&sample()[9..25], b"0123456789abcdef");
    }

    #[test]
    fn another_version_is_no_record() {
        let mut bytes = sample();
        bytes[0] = 99;
        assert_eq!(decode(&bytes.into()), Err(Corrupt::Version { expected: VERSION, found: 99 }));
        assert_eq!(decode(&Bytes::new()), Err(Corrupt::Damaged));
    }

    #[test]
    fn the_same_value_has_the_same_digest_and_another_has_not() {
        let of = |kind: &str, content: &[u8]| digest(&MediaType::new(kind).unwrap(), content);
        assert_eq!(of("text/plain", b"a"), of("text/plain", b"a"));
        assert_ne!(of("text/plain", b"a"), of("text/html", b"a"));
        assert_ne!(of("text/plain", b"a"), of("text/plain", b"b"));
        assert_ne!(of("a/bc", b""), of("a/b", b"c"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            content in vec(any::<u8>(), 0..300), tags in vec("[a-zé ]{1,9}", 0..5), stamp in any::<[u8; 16]>(),
            failure in any::<bool>(), seq in any::<u64>(), time in any::<u64>(),
        ) {
            let mut head = head(&content, tags);
            head.stamp = stamp;
            head.kind = if failure { Kind::Failure } else { Kind::Value };
            head.mark.seq = seq;
            head.expires_at = Timestamp::from_millis(time);
            let bytes = Bytes::from(head.encode(&content));
            prop_assert_eq!(decode(&bytes), Ok((head.clone(), Bytes::from(content))));
            // The first `end` bytes are enough to decode the head; with fewer, the result says how many are needed.
            let Ok(Beginning::Whole(_, end)) = Head::decode(&bytes) else { panic!("whole") };
            prop_assert_eq!(Head::decode(&bytes[..end]), Ok(Beginning::Whole(head, end)));
            prop_assert_eq!(Head::decode(&bytes[..end - 1]), Ok(Beginning::Longer(end)));
        }

        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes.into()).is_err());
        }

        #[test]
        fn no_changed_byte_goes_unnoticed(at in any::<proptest::sample::Index>(), flip in 1u8..) {
            let mut bytes = sample();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes.into()).is_err());
        }

        #[test]
        fn no_truncated_record_is_read(at in any::<proptest::sample::Index>()) {
            let mut bytes = sample();
            bytes.truncate(at.index(bytes.len()));
            prop_assert!(decode(&bytes.into()).is_err());
        }
    }
}

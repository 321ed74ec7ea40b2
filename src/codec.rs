//! Records in Redis, and the length-prefixed binary fields that their heads are made of. Numbers are big-endian.

use twox_hash::XxHash3_64;

/// It ends too early, or something in it is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why bytes are no record of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// Written by another version.
    #[error("expected version {expected}, found {found}")]
    Version {
        /// The version that is read.
        expected: u8,
        /// The one that stands there.
        found: u8,
    },
    /// A checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// It ends too early, or something in it is impossible.
    #[error("it is damaged")]
    Damaged,
}

impl From<Damaged> for Corrupt {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// What stands before the head of a record: its version, and the checksum and length of the head. In bytes.
pub(crate) const PREAMBLE: usize = 1 + 4 + 4;

/// What tells bytes from damaged ones: the lower half of their XXH3 (64 bits, no seed). It is no protection from anybody
/// who writes to Redis.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    // Half of it is wanted.
    XxHash3_64::oneshot(bytes) as u32
}

/// How a record with this head begins. It tells the record from any other under the same key, but for one in four billion.
pub(crate) fn preamble(version: u8, head: &[u8]) -> Vec<u8> {
    let mut preamble = Writer::with_capacity(PREAMBLE);
    preamble.u8(version);
    preamble.u32(checksum(head));
    preamble.length(head.len());
    preamble.into_bytes()
}

/// A record: its version, its head with a checksum, and what follows.
pub(crate) fn record(version: u8, head: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut record = Writer::with_capacity(PREAMBLE + head.len() + rest.len());
    record.raw(&preamble(version, head));
    record.raw(head);
    record.raw(rest);
    record.into_bytes()
}

/// How a record begins.
pub(crate) enum Beginning<'a> {
    /// With this head, as it was written.
    Head(&'a [u8]),
    /// With a head that ends after so many bytes of the record: not all of it is here.
    Longer(usize),
}

impl<'a> Beginning<'a> {
    /// Reads the head from the first bytes of a record of this version.
    pub(crate) fn of(bytes: &'a [u8], expected: u8) -> Result<Self, Corrupt> {
        let mut preamble = Reader::new(bytes);
        let found = preamble.u8()?;
        if found != expected {
            return Err(Corrupt::Version { expected, found });
        }
        let (sum, length) = (preamble.u32()?, preamble.u32()? as usize);
        let end = PREAMBLE.checked_add(length).ok_or(Corrupt::Damaged)?;
        match bytes.get(PREAMBLE..end) {
            None => Ok(Self::Longer(end)),
            Some(head) if checksum(head) == sum => Ok(Self::Head(head)),
            Some(_) => Err(Corrupt::Checksum),
        }
    }

    /// The head of a record that is all there.
    pub(crate) fn whole(bytes: &'a [u8], expected: u8) -> Result<&'a [u8], Corrupt> {
        match Self::of(bytes, expected)? {
            Self::Head(head) => Ok(head),
            Self::Longer(_) => Err(Corrupt::Damaged),
        }
    }
}

pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, number: u8) {
        self.out.push(number);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// No part comes near 4 GiB: header sections end at 128 KiB (Spin), and content is not a part.
    pub(crate) fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of things that follow: never more than there are bytes left, so that a damaged count does
    /// not make room for billions.
    pub(crate) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.u32()? as usize;
        if count <= self.rest.len() { Ok(count) } else { Err(Damaged) }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<String, Damaged> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Damaged)
    }
}

//! The framing of records in Redis, and the length-prefixed binary fields of their heads. Numbers are big-endian.

use twox_hash::XxHash3_64;

/// The bytes end too early, or hold an impossible value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why bytes are not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// The record was written by another version.
    #[error("expected version {expected}, found {found}")]
    Version {
        /// The version that this build reads.
        expected: u8,
        /// The version of the record.
        found: u8,
    },
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The record ends too early, or holds an impossible value.
    #[error("it is damaged")]
    Damaged,
}

impl From<Damaged> for Corrupt {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// The length in bytes of what precedes the head of a record: version, checksum of the head, length of the head.
pub(crate) const PREAMBLE: usize = 1 + 4 + 4;

/// The checksum that detects damage: the lower half of the XXH3 (64 bits, no seed). It does not protect against anybody who
/// can write to Redis.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    // Truncation is intended: the lower half is what is kept.
    XxHash3_64::oneshot(bytes) as u32
}

/// The first bytes of a record with this head. Two records under one key share them by chance in one of four billion cases.
pub(crate) fn preamble(version: u8, head: &[u8]) -> Vec<u8> {
    let mut preamble = Writer::with_capacity(PREAMBLE);
    preamble.u8(version);
    preamble.u32(checksum(head));
    preamble.length(head.len());
    preamble.into_bytes()
}

/// A whole record: preamble, head, and `rest`.
pub(crate) fn record(version: u8, head: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut record = Writer::with_capacity(PREAMBLE + head.len() + rest.len());
    record.raw(&preamble(version, head));
    record.raw(head);
    record.raw(rest);
    record.into_bytes()
}

/// What the first bytes of a record contain.
pub(crate) enum Beginning<'a> {
    /// The whole head, as it was written.
    Head(&'a [u8]),
    /// A part of the head only, which ends after this many bytes of the record.
    Longer(usize),
}

impl<'a> Beginning<'a> {
    /// Reads the head from the first bytes of a record, whose version must be `expected`.
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

    /// Returns the head of a complete record.
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

    /// No part comes near 4 GiB: header sections end at 128 KiB (Spin), and content is not written as a part.
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

    /// Reads a number of items to follow. It is never more than the bytes that are left, so that a damaged count
    /// does not reserve memory for billions.
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

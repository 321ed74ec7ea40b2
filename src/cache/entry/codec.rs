//! Length-prefixed binary fields: what an entry's head is made of.

use super::Corrupt;

pub(in crate::cache) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(in crate::cache) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(in crate::cache) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(in crate::cache) fn u8(&mut self, number: u8) {
        self.out.push(number);
    }

    pub(in crate::cache) fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    pub(in crate::cache) fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    pub(in crate::cache) fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// No part of an entry comes near 4 GiB: header sections end at 128 KiB (Spin), and content is not a part.
    pub(in crate::cache) fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    pub(in crate::cache) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(in crate::cache) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(in crate::cache) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

pub(in crate::cache) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::cache) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(in crate::cache) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::cache) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Corrupt::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        self.take(N)?.try_into().map_err(|_| Corrupt::Damaged)
    }

    pub(in crate::cache) fn u8(&mut self) -> Result<u8, Corrupt> {
        self.array().map(u8::from_be_bytes)
    }

    pub(in crate::cache) fn u16(&mut self) -> Result<u16, Corrupt> {
        self.array().map(u16::from_be_bytes)
    }

    pub(in crate::cache) fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_be_bytes)
    }

    pub(in crate::cache) fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of things that follow: never more than there are bytes left, so that a damaged count does
    /// not make room for billions.
    pub(in crate::cache) fn count(&mut self) -> Result<usize, Corrupt> {
        let count = self.u32()? as usize;
        if count <= self.rest.len() { Ok(count) } else { Err(Corrupt::Damaged) }
    }

    pub(in crate::cache) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub(in crate::cache) fn text(&mut self) -> Result<String, Corrupt> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Corrupt::Damaged)
    }
}

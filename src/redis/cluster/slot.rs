//! Slots: the 16,384 parts into which a cluster divides its keys.

/// The number of slots.
pub(super) const SLOTS: u16 = 16_384;

/// The number of shares of neighbouring slots, where something is kept for each share.
pub(in crate::redis) const SHARES: u16 = 16;

/// A part of the keys of a cluster, which one master owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Returns the slot of a key: CRC16 of its hash tag, or of the whole key if it has none (Redis Cluster specification,
    /// "Key distribution model" and "Hash tags").
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(crc16(tag(key)) % SLOTS)
    }

    /// Returns the slot with this number; `None` if there is none.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// Returns which of the sixteen shares it is in.
    #[must_use]
    pub fn share(self) -> usize {
        usize::from(self.0 / (SLOTS / SHARES))
    }

    /// Returns its number, less than 16,384.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The text between the first `{` and the next `}`, unless it is empty; otherwise the whole key.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = key.get(open + 1..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => rest.get(..close).unwrap_or(key),
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, not reflected, initial value 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        TABLE[usize::from(high ^ byte)] ^ u16::from_be_bytes([low, 0])
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(key: &str) -> u16 {
        Slot::of(key.as_bytes()).number()
    }

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn slots_are_those_of_a_server() {
        for (key, slot) in [
            ("", 0),
            ("foo", 12182),
            ("bar", 5061),
            ("hello", 866),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("{}foo", 9500),
            ("foo{bar", 15278),
            ("a}b{c}d", 7365),
        ] {
            assert_eq!(of(key), slot, "{key}");
        }
    }

    proptest! {
        #[test]
        fn only_what_is_in_the_braces_counts(tag in "[^{}]{1,8}", before in "[^{]{0,8}", after in "\\PC{0,8}") {
            prop_assert_eq!(of(&format!("{before}{{{tag}}}{after}")), of(&tag));
        }

        #[test]
        fn every_key_has_a_slot(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(Slot::of(&key).number() < SLOTS);
        }
    }
}

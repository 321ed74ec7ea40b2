//! Unique names.

use crate::env::Entropy;
use crate::redis::hex;
use std::cell::Cell;

/// Makes names that no other instance and no other call makes: a random prefix, drawn once, and a counter.
///
/// They are unique, not secret: whoever has seen one can guess the next. [`random`] makes names that cannot be
/// guessed.
#[derive(Debug)]
pub struct Nonces {
    seed: String,
    number: Cell<u32>,
}

impl Nonces {
    /// Draws the prefix.
    #[must_use]
    pub fn new(entropy: &impl Entropy) -> Self {
        Self { seed: random(entropy), number: Cell::new(0) }
    }

    /// Returns the next name, 40 hexadecimal digits.
    #[must_use]
    pub fn next(&self) -> String {
        let number = self.number.get();
        self.number.set(number.wrapping_add(1));
        format!("{}{number:08x}", self.seed)
    }
}

/// Returns 128 random bits in hexadecimal.
#[must_use]
pub fn random(entropy: &impl Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    hex(&random)
}

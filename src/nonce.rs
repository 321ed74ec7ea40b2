//! Names that nobody else uses.

use crate::env::Entropy;
use crate::redis::hex;
use std::cell::Cell;

/// Makes names that no other instance and no other call has: a random beginning, drawn once, and a number.
///
/// They are unique, not secret: who has seen one can guess the next. What must not be guessed is made by
/// [`random`].
#[derive(Debug)]
pub struct Nonces {
    seed: String,
    number: Cell<u32>,
}

impl Nonces {
    /// Draws the beginning.
    #[must_use]
    pub fn new(entropy: &impl Entropy) -> Self {
        Self { seed: random(entropy), number: Cell::new(0) }
    }

    /// The next name, 40 hexadecimal digits.
    #[must_use]
    pub fn next(&self) -> String {
        let number = self.number.get();
        self.number.set(number.wrapping_add(1));
        format!("{}{number:08x}", self.seed)
    }
}

/// 128 random bits in hexadecimal.
#[must_use]
pub fn random(entropy: &impl Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    hex(&random)
}

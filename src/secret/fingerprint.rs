//! Fingerprints: keyed hashes of 128 bits, by which secret bytes are found again while nobody keeps them.

use highway::{HighwayHash as _, HighwayHasher, Key};

use super::{Random, RandomFailed};

/// The fingerprint of some bytes, which nobody can tell from it. Other bytes with the same one would be a collision of
/// HighwayHash under a key that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint([u64; 2]);

impl Fingerprint {
    /// A part of it that picks a place in a table.
    pub fn place(self) -> u64 {
        self.0[1]
    }
}

/// A random key, which is never shown.
pub struct FingerprintKey(Key);

impl FingerprintKey {
    /// A new key.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(random: &dyn Random) -> Result<Self, RandomFailed> {
        let mut words = [[0; 8]; 4];
        random.fill(words.as_flattened_mut())?;
        Ok(Self(Key(words.map(u64::from_le_bytes))))
    }

    /// The fingerprint of these bytes.
    pub fn of(&self, bytes: &[u8]) -> Fingerprint {
        Fingerprint(HighwayHasher::new(self.0).hash128(bytes))
    }

    /// The fingerprint of two parts behind a beginning. It tells where the first part ends.
    pub fn of_parts(&self, beginning: [u8; 24], first: &[u8], second: &[u8]) -> Fingerprint {
        let mut packet = [0; 32];
        packet[..24].copy_from_slice(&beginning);
        packet[24..].copy_from_slice(&(first.len() as u64).to_le_bytes());
        let mut hasher = HighwayHasher::new(self.0);
        hasher.append(&packet);
        hasher.append(first);
        hasher.append(second);
        Fingerprint(hasher.finalize128())
    }
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::secret::SystemRandom;

    fn key() -> FingerprintKey {
        FingerprintKey::new(&SystemRandom).expect("randomness")
    }

    #[test]
    fn every_byte_makes_the_fingerprint_and_so_do_the_key_and_the_end_of_each_part() {
        let (key, long) = (key(), "t".repeat(9_000));
        let mut texts = HashSet::from([String::new(), "one.token".to_owned(), long.clone()]);
        for text in ["one.token", &long] {
            for at in 0..text.len() {
                texts.insert(format!("{}x{}", &text[..at], &text[at + 1..]));
                texts.insert(text[..at].to_owned());
            }
            texts.extend([format!("{text}\0"), format!("{text} ")]);
        }
        let fingerprints: HashSet<_> = texts.iter().map(|text| key.of(text.as_bytes()).0).collect();
        assert_eq!(fingerprints.len(), texts.len());
        assert_ne!(self::key().of(b"one.token"), key.of(b"one.token"), "each key is another");
        let text = &long.as_bytes()[..200];
        let parts = |first, second| key.of_parts([1; 24], first, second).0;
        let split: HashSet<_> = (0..=200).map(|at| parts(&text[..at], &text[at..])).collect();
        assert_eq!(split.len(), 201);
        let begun: HashSet<_> = (0..24)
            .map(|at| {
                let mut beginning = [1; 24];
                beginning[at] = 0;
                key.of_parts(beginning, text, text).0
            })
            .collect();
        assert_eq!(begun.len(), 24);
    }
}

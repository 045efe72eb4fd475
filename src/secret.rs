//! Secret values, the source of random ones, fingerprints of them, and pseudonyms of personal data.

pub mod fingerprint;
pub mod pseudonym;

use std::fmt;

use aws_lc_rs::rand::SecureRandom as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A secret: a key, a password, a connection string with credentials in it.
///
/// It is wiped when dropped, compares in constant time, and prints as `[secret]`, so that no log
/// line, error or panic message can carry it by accident.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the secret over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The secret itself. The caller is responsible for where it goes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, or `None` where it is not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A copy of the secret as text, for an answer; empty where it is not UTF-8, as no token is.
    pub(crate) fn to_text(&self) -> String {
        self.expose_str().unwrap_or_default().to_owned()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `bytes`, or says that the source failed, in which case nothing may be issued.
    ///
    /// # Errors
    /// [`RandomFailed`] where the source gave nothing.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed>;
}

/// The random source gave nothing; nothing that must be unguessable can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomFailed;

/// The operating system's generator, through aws-lc.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        aws_lc_rs::rand::SystemRandom::new().fill(bytes).map_err(|_| RandomFailed)
    }
}

/// 128 random bits in base64url: 22 characters that nobody can guess. No hyphen stands first, so
/// that no command reads it as a flag.
///
/// # Errors
/// [`RandomFailed`] where the random source gave nothing.
pub fn random_id(random: &dyn Random) -> Result<String, RandomFailed> {
    loop {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), b"hunter2");
    }

    #[test]
    fn secrets_compare_by_value() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }
}

//! The names that people log in with, in one form, so that case or spelling cannot make two
//! accounts, or two counters of failures, of one.

/// A username or an e-mail: as it was written, and in the canonical form that it is compared by.
#[derive(Clone, Debug)]
pub struct Login {
    written: String,
    canonical: String,
}

impl Login {
    /// Takes a username or an e-mail as somebody wrote it.
    ///
    /// # Errors
    /// [`InvalidLogin`] where it is empty, longer than 254 bytes, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidLogin> {
        let written = text.trim().to_owned();
        if written.is_empty() || written.len() > 254 || written.chars().any(char::is_control) {
            return Err(InvalidLogin);
        }
        let canonical = written.to_lowercase();
        Ok(Self { written, canonical })
    }

    /// As it was written, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The form that it is compared by.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Login {}

/// The text is no username and no e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a username or an e-mail is 1 to 254 bytes of UTF-8 without control characters")]
pub struct InvalidLogin;

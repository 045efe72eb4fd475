//! Pseudonyms: personal data as keyed hashes, so that a log names nobody and can still be searched.
//!
//! HMAC-SHA256, cut to 128 bits. Without the key nobody can try out names or addresses, of which
//! there are few; whoever has the key can. The same text has the same pseudonym as long as the key
//! is the same.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::Secret;

/// The beginning of every pseudonym, so that nobody takes one for the text itself.
pub const PREFIX: &str = "hmac:";
/// The bytes of the hash that are kept.
const KEPT_BYTES: usize = 16;
/// The beginning of a client's id among users, which is nobody's name.
const CLIENT_PREFIX: &str = "client:";

/// A kind of personal data. Equal texts of two kinds have different pseudonyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personal {
    /// A login name, an e-mail, or a user's id that may be one of these.
    Name,
    /// An IP address.
    Address,
}

impl Personal {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Name => b"name\0",
            Self::Address => b"address\0",
        }
    }
}

/// Makes pseudonyms, where there is a key; otherwise it leaves everything as it is.
#[derive(Clone, Default)]
pub struct Pseudonyms(Option<Arc<hmac::Key>>);

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "Pseudonyms(on)" } else { "Pseudonyms(off)" })
    }
}

impl Pseudonyms {
    /// Pseudonyms under this key.
    pub fn keyed(key: &Secret) -> Self {
        Self(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))))
    }

    /// Returns whether there is a key.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The pseudonym of a text, or the text itself where there is no key.
    pub fn of<'t>(&self, kind: Personal, text: &'t str) -> Cow<'t, str> {
        let Some(key) = &self.0 else { return Cow::Borrowed(text) };
        let mut context = hmac::Context::with_key(key);
        context.update(kind.label());
        context.update(text.as_bytes());
        let tag = context.sign();
        Cow::Owned(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&tag.as_ref()[..KEPT_BYTES])))
    }

    /// The pseudonym of an address, as it is written.
    pub fn of_address(&self, address: IpAddr) -> String {
        let address = address.to_string();
        match self.of(Personal::Address, &address) {
            Cow::Owned(hash) => hash,
            Cow::Borrowed(_) => address,
        }
    }

    /// The pseudonym of a user's id. An id that is random (a UUID, or one that was made here) or a
    /// client's says nothing of a person, and stays; any other may be a name.
    pub fn of_user<'t>(&self, id: &'t str) -> Cow<'t, str> {
        if is_random(id) || id.starts_with(CLIENT_PREFIX) {
            Cow::Borrowed(id)
        } else {
            self.of(Personal::Name, id)
        }
    }
}

/// Returns whether a text is a pseudonym already, as somebody copies it out of a log to search for it.
pub fn is_pseudonym(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(is_128_bits)
}

/// Returns whether an id is a UUID, or has the form of [`super::random_id`].
fn is_random(id: &str) -> bool {
    is_128_bits(id) || Uuid::parse_str(id).is_ok()
}

fn is_128_bits(text: &str) -> bool {
    text.len() == 22 && URL_SAFE_NO_PAD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SystemRandom, random_id};

    #[test]
    fn a_pseudonym_is_the_same_for_the_same_text_kind_and_key_alone() {
        let one = Pseudonyms::keyed(&Secret::new("a key of at least 16 bytes"));
        let other = Pseudonyms::keyed(&Secret::new("another key, also 16 bytes"));
        let alice = one.of(Personal::Name, "alice");
        assert_eq!(alice, one.of(Personal::Name, "alice"));
        for different in [
            one.of(Personal::Name, "alicf"),
            one.of(Personal::Address, "alice"),
            other.of(Personal::Name, "alice"),
        ] {
            assert_ne!(alice, different);
        }
        assert!(is_pseudonym(&alice) && !alice.contains("alice"), "{alice}");
        assert!(!is_pseudonym("alice") && !is_pseudonym("hmac:alice"));
    }

    #[test]
    fn without_a_key_everything_stays() {
        let off = Pseudonyms::default();
        assert_eq!(off.of(Personal::Address, "192.0.2.1"), "192.0.2.1");
        assert_eq!(off.of_user("alice@example.com"), "alice@example.com");
    }

    #[test]
    fn an_id_that_is_random_stays_and_one_that_may_be_a_name_does_not() {
        let on = Pseudonyms::keyed(&Secret::new("a key of at least 16 bytes"));
        let made = random_id(&SystemRandom).expect("random");
        for random in ["9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1", &made, "client:demo"] {
            assert_eq!(on.of_user(random), random);
        }
        for name in ["alice", "alice@example.com", "42", "johannes_gutenberg_sen"] {
            assert!(is_pseudonym(&on.of_user(name)), "{name}");
        }
    }
}

//! A signed token for the application, in a header of its own: for applications that want to check
//! the identity themselves, or pass it on.
//!
//! A client's own token is handed on unchanged. For a handle, a token is signed from the claims of
//! the handle, once for as long as they stay the same and the same key signs.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::identity::{self, IdentityHeaders};
use crate::clock::Clock;
use crate::token::{KeyError, KeyId, SigningRing, Verified};

/// The header, and the key that signs.
#[derive(Clone)]
pub struct UpstreamJwt {
    header: HeaderName,
    signers: Arc<SigningRing>,
    clock: Arc<dyn Clock>,
}

/// The signer of a token for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignedBy {
    /// The signer of the client's own token, which was handed on.
    Client,
    /// This process, with the key of this name; a shared secret has none.
    Us(Option<KeyId>),
    /// Nobody: no key signed, and the header is empty.
    Nobody,
}

impl UpstreamJwt {
    /// Tokens in `header`. While no key signs, it is empty for a request that came with a handle.
    pub fn new(header: HeaderName, signers: Arc<SigningRing>, clock: Arc<dyn Clock>) -> Self {
        Self { header, signers, clock }
    }

    /// Reads the setting; an empty one means that there is no such header.
    ///
    /// # Errors
    /// The mistake in the name; one is that the header carries a claim already.
    pub fn parse_header(
        text: &str,
        identity: &IdentityHeaders,
    ) -> Result<Option<HeaderName>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let header = identity::header_name(text)?;
        if identity.holds(&header) {
            return Err(format!("{text:?} carries a part of the identity already"));
        }
        Ok(Some(header))
    }

    /// The header.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Returns whether the signature is still good, which is while its key is published. A key that
    /// is not published may have been stolen, and its signature may be a thief's. A key that only
    /// stopped signing made no bad signature, so not all handles get a new one at that moment.
    pub(super) fn is_current(&self, by: &SignedBy) -> bool {
        let now = self.clock.now();
        let signer = || self.signers.signing(now);
        match by {
            SignedBy::Client => true,
            SignedBy::Us(key) => {
                signer().is_some_and(|signer| signer.id() == key.as_ref())
                    || key.as_ref().is_some_and(|key| self.signers.publishes(key.as_str(), now))
            }
            SignedBy::Nobody => signer().is_none(),
        }
    }

    /// The value of the header for a client that sent `credential`, which was found to be `token`,
    /// and its signer.
    ///
    /// # Errors
    /// The key does not sign.
    pub(super) fn value(
        &self,
        token: &Verified,
        credential: &str,
    ) -> Result<(HeaderValue, SignedBy), KeyError> {
        let (value, by) = match (&token.signature, self.signers.signing(self.clock.now())) {
            (Some(_), _) => (HeaderValue::from_str(credential), SignedBy::Client),
            (None, Some(signer)) => {
                let value = HeaderValue::try_from(signer.sign(token.claims.as_map())?);
                (value, SignedBy::Us(signer.id().cloned()))
            }
            (None, None) => (Ok(HeaderValue::from_static("")), SignedBy::Nobody),
        };
        // A token holds nothing but letters, digits, dots, dashes and underscores.
        let mut value = value.unwrap_or(HeaderValue::from_static(""));
        // Sensitive, so that it shows up nowhere but in the answer.
        value.set_sensitive(true);
        Ok((value, by))
    }
}

impl fmt::Debug for UpstreamJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamJwt({})", self.header)
    }
}

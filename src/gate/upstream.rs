//! A signed token for the application, in a header of its own: for applications that want to check
//! the identity themselves, or pass it on.
//!
//! Either the client's own token is handed on unchanged, and for a handle one is signed from the
//! claims of the handle, once for as long as they stay the same and the same key signs. Or, where the
//! operator names an audience, every answer has a short-lived token of ours for that audience, which
//! holds what the identity headers hold; it is signed once for as long as half of its life is left.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::identity::{self, IdentityHeaders};
use crate::clock::{Clock, UnixTime};
use crate::session::Session;
use crate::store::EpochStatus;
use crate::token::{KeyError, KeyId, SigningKey, SigningRing, Verified};

/// The `typ` of a token of ours for an application. It is no access token (RFC 8725, section 3.11).
const IDENTITY_TYPE: &str = "JWT";

/// The life of a token that is made from what has no end.
const USUAL_LIFETIME: Duration = Duration::from_secs(300);

/// The header, and the key that signs.
#[derive(Clone)]
pub struct UpstreamJwt {
    header: HeaderName,
    signers: Arc<SigningRing>,
    clock: Arc<dyn Clock>,
    audience: Option<Audience>,
}

/// The application that tokens are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Its name, in `aud`.
    pub name: String,
    /// The name of this service, in `iss`.
    pub issuer: String,
    /// The life of a token.
    pub lifetime: Duration,
}

/// The signer of a token for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignedBy {
    /// The signer of the client's own token, which was handed on.
    Client,
    /// This process.
    Us(OwnSignature),
    /// Nobody: no key signed, and the header is empty.
    Nobody,
}

/// A signature of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnSignature {
    /// The name of the key; a shared secret has none.
    key: Option<KeyId>,
    /// The life of the token, where it has one of its own: when it should be renewed, and its end.
    life: Option<(UnixTime, UnixTime)>,
}

impl UpstreamJwt {
    /// Tokens in `header`. While no key signs, it is empty for a request that came with a handle.
    pub fn new(header: HeaderName, signers: Arc<SigningRing>, clock: Arc<dyn Clock>) -> Self {
        Self { header, signers, clock, audience: None }
    }

    /// The same, with tokens of ours for this audience in place of the client's.
    #[must_use]
    pub fn for_audience(self, audience: Option<Audience>) -> Self {
        Self { audience, ..self }
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

    /// Returns whether its tokens are for one application alone, and no access tokens.
    pub(super) fn is_for_one_app(&self) -> bool {
        self.audience.is_some()
    }

    /// The header.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The status of a signature. It is good while its key is published: a key that is not may have
    /// been stolen, and its signature may be a thief's. A key that only stopped signing made no bad
    /// signature, so not all handles get a new one at that moment. A token with a life of its own is
    /// renewed in time, and is never sent after its end.
    pub(super) fn status(&self, by: &SignedBy) -> EpochStatus {
        let now = self.clock.now();
        match by {
            SignedBy::Client => EpochStatus::Current,
            SignedBy::Us(signature) if !self.is_trusted(signature, now) => EpochStatus::Changed,
            SignedBy::Us(signature) => match signature.life {
                Some((_, end)) if now >= end => EpochStatus::Changed,
                Some((renewal, _)) if now >= renewal => EpochStatus::Suspect,
                _ => EpochStatus::Current,
            },
            SignedBy::Nobody if self.signers.signing(now).is_none() => EpochStatus::Current,
            SignedBy::Nobody => EpochStatus::Changed,
        }
    }

    fn is_trusted(&self, signature: &OwnSignature, now: UnixTime) -> bool {
        let key = signature.key.as_ref();
        self.signers.signing(now).is_some_and(|signer| signer.id() == key)
            || key.is_some_and(|key| self.signers.publishes(key.as_str(), now))
    }

    /// The value of the header for a client whose credential was found to be `token` of this session,
    /// and its signer. `own` is that credential, where it is a token that says something to the
    /// application. `identity` is what the application is told besides.
    ///
    /// # Errors
    /// The key does not sign.
    pub(super) fn value(
        &self,
        token: &Verified,
        session: Option<&Session>,
        own: Option<&str>,
        identity: &IdentityHeaders,
    ) -> Result<(HeaderValue, SignedBy), KeyError> {
        let now = self.clock.now();
        let signer = self.signers.signing(now);
        let (value, by) = match (&self.audience, own, signer) {
            (Some(audience), _, Some(signer)) => {
                let end = end_of(token, session, now.after(audience.lifetime));
                let claims = claims(audience, identity.claims(token, session), now, end);
                let value = HeaderValue::try_from(signer.sign_as(IDENTITY_TYPE, &claims)?);
                let renewal = now.after(end.since(now) / 2);
                (value, signed_by(&signer, Some((renewal, end))))
            }
            (None, Some(own), _) => (HeaderValue::from_str(own), SignedBy::Client),
            (None, None, Some(signer)) => {
                let (claims, life) = with_end(token, now);
                let value = HeaderValue::try_from(signer.sign(&claims)?);
                (value, signed_by(&signer, life))
            }
            (_, _, None) => (Ok(HeaderValue::from_static("")), SignedBy::Nobody),
        };
        // A token holds nothing but letters, digits, dots, dashes and underscores.
        let mut value = value.unwrap_or(HeaderValue::from_static(""));
        // Sensitive, so that it shows up nowhere but in the answer.
        value.set_sensitive(true);
        Ok((value, by))
    }
}

fn signed_by(signer: &SigningKey, life: Option<(UnixTime, UnixTime)>) -> SignedBy {
    SignedBy::Us(OwnSignature { key: signer.id().cloned(), life })
}

/// The claims as they are, with an end: keys and passwords have none, and no token goes on for ever.
/// Where it is a new one, also when to renew it, and that end.
fn with_end(token: &Verified, now: UnixTime) -> (Map<String, Value>, Option<(UnixTime, UnixTime)>) {
    let mut claims = token.claims.to_map();
    if claims.contains_key("exp") {
        return (claims, None);
    }
    let end = end_of(token, None, now.after(USUAL_LIFETIME));
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("exp".to_owned(), json!(end.as_secs()));
    (claims, Some((now.after(end.since(now) / 2), end)))
}

/// The end of a token of ours: never after that of what it is made from.
fn end_of(token: &Verified, session: Option<&Session>, end: UnixTime) -> UnixTime {
    let of_session = session.map_or(end, |session| session.expires);
    end.min(token.usable_until).min(of_session)
}

/// The claims of a token of ours: the identity, and those that say for whom it is, by whom and how
/// long.
fn claims(
    audience: &Audience,
    mut identity: Map<String, Value>,
    now: UnixTime,
    end: UnixTime,
) -> Map<String, Value> {
    for (name, value) in [
        ("iss", json!(audience.issuer)),
        ("aud", json!(audience.name)),
        ("iat", json!(now.as_secs())),
        ("exp", json!(end.as_secs())),
    ] {
        identity.insert(name.to_owned(), value);
    }
    identity
}

impl fmt::Debug for UpstreamJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamJwt({})", self.header)
    }
}

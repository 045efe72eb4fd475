//! Handles: opaque credentials that stand for access tokens which never leave this service.
//!
//! A handle is looked up by its digest. The record holds the claims that its token would have
//! carried, and they are checked as a token's are. User, session and end are those of the record:
//! claims that say otherwise are not believed.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::denial::DenialCode;
use crate::clock::UnixTime;
use crate::opaque::{OpaqueToken, PRIVATE_CLAIMS, TokenDigest, TokenEpoch, TokenKind, Tokens};
use crate::session::{SessionId, UserId};
use crate::store::{EpochStatus, StoreError};
use crate::token::{Claims, TokenError, Verified, Verifier};

/// The length of a handle: 32 bytes in base64url.
const HANDLE_BYTES: usize = 43;

/// The place where handles are looked up.
#[derive(Clone, Debug)]
pub struct Handles(Arc<Tokens>);

/// The reason why a handle is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// There is no such handle, or it was revoked.
    #[error("the handle is not known: it was never issued, was revoked, or expired long ago")]
    Unknown,
    /// It was rotated: another one took its place.
    #[error("the handle was rotated: another one took its place")]
    Used,
    /// It is a refresh token.
    #[error("this is a refresh token, which is not for access")]
    NotForAccess,
    /// The claims that it stands for are not good.
    #[error(transparent)]
    Claims(#[from] TokenError),
    /// The store cannot say; this is never a yes.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handles {
    /// Handles among these tokens.
    pub fn new(tokens: Arc<Tokens>) -> Self {
        Self(tokens)
    }

    /// The claims that a handle stands for, and the epoch at which they were read. A handle that
    /// `is_known` was good before.
    ///
    /// # Errors
    /// The reason why the handle is not good now. Its session is not checked here.
    pub async fn verify(
        &self,
        handle: &str,
        is_known: bool,
        verifier: &Verifier,
    ) -> Result<(Verified, TokenEpoch), HandleError> {
        let digest = TokenDigest::of(handle);
        let epoch = self.0.epoch(&digest);
        let found =
            if is_known { self.0.get_known(&digest).await } else { self.0.get(&digest).await };
        let record = found?.ok_or(HandleError::Unknown)?;
        match record {
            OpaqueToken { kind: TokenKind::Refresh, .. } => Err(HandleError::NotForAccess),
            OpaqueToken { used: Some(_), .. } => Err(HandleError::Used),
            good => {
                let expires = good.expires;
                Ok((verifier.verify_stored_claims(claims_of(good)?, expires)?, epoch))
            }
        }
    }

    /// The status of the handle that this epoch was taken for, as far as this process knows.
    pub fn status(&self, epoch: &TokenEpoch) -> EpochStatus {
        self.0.status(epoch)
    }
}

/// Returns whether a credential has the form of a handle. No token has: tokens have dots.
pub(super) fn is_handle(credential: &str) -> bool {
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    credential.len() == HANDLE_BYTES && credential.bytes().all(in_alphabet)
}

/// The claims of the token that the handle stands for.
fn claims_of(record: OpaqueToken) -> Result<Claims, TokenError> {
    stored_claims(record.claims, &record.user, &record.session, record.expires)
}

/// The claims of a token as they were stored. Of user, session and end the record has the last word.
pub(super) fn stored_claims(
    mut claims: Map<String, Value>,
    user: &UserId,
    session: &SessionId,
    expires: UnixTime,
) -> Result<Claims, TokenError> {
    claims.retain(|name, _| !name.starts_with(PRIVATE_CLAIMS));
    must_be(&mut claims, "sub", user.as_str())?;
    must_be(&mut claims, "sid", session.as_str())?;
    // A handle may have been extended since its claims were written.
    claims.insert("exp".to_owned(), expires.as_secs().into());
    Ok(Claims::from(&claims))
}

/// Sets a claim, and refuses where it had another value.
fn must_be(
    claims: &mut Map<String, Value>,
    name: &'static str,
    value: &str,
) -> Result<(), TokenError> {
    match claims.get(name) {
        Some(Value::String(said)) if said == value => Ok(()),
        None | Some(Value::Null) => {
            claims.insert(name.to_owned(), value.into());
            Ok(())
        }
        Some(_) => Err(TokenError::BadClaim(name)),
    }
}

impl From<HandleError> for DenialCode {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Unknown | HandleError::Used => Self::HandleUnknown,
            HandleError::NotForAccess => Self::WrongType,
            HandleError::Claims(error) => error.into(),
            HandleError::Store(_) => Self::StoreUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::opaque::generate;
    use crate::secret::SystemRandom;

    #[test]
    fn a_handle_is_known_by_its_form() {
        let generated = generate(&SystemRandom).unwrap();
        assert!(is_handle(generated.expose_str().unwrap()));
        for (credential, expected) in [
            ("-_".repeat(21) + "A", true),
            ("a".repeat(42), false),
            ("a".repeat(44), false),
            ("a".repeat(42) + "=", false),
            ("a".repeat(42) + "+", false),
            ("a".repeat(41) + "é", false),
            (format!("{}.{}.c", "a".repeat(20), "b".repeat(20)), false),
        ] {
            assert_eq!(is_handle(&credential), expected, "{credential}");
        }
    }

    #[test]
    fn the_record_has_the_last_word_on_user_session_and_end() {
        let of = |claims: Value| {
            claims_of(OpaqueToken {
                digest: TokenDigest::of("h"),
                kind: TokenKind::Handle,
                session: SessionId::parse("s").unwrap(),
                user: UserId::parse("alice").unwrap(),
                client: None,
                claims: claims.as_object().unwrap().clone(),
                issued: UnixTime::EPOCH,
                expires: UnixTime::from_millis(9_999),
                used: None,
            })
        };
        let full = json!({"sub": "alice", "sid": "s", "exp": 9});
        for claims in [json!({}), json!({"sub": null, "exp": 5}), full.clone()] {
            assert_eq!(Value::Object(of(claims).unwrap().to_map()), full);
        }
        for (claims, name) in [
            (json!({"sub": "mallory"}), "sub"),
            (json!({"sub": 5}), "sub"),
            (json!({"sid": "t"}), "sid"),
            (json!({"sid": ["s"]}), "sid"),
        ] {
            assert_eq!(of(claims).unwrap_err(), TokenError::BadClaim(name));
        }
    }
}

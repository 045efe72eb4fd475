//! Whoever shows an access token of ours: his session, his scopes, and what the token says.

use serde_json::{Map, Value};

use super::{Revocation, TokenOwner, valid_token};
use crate::clock::UnixTime;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::grant::{is_by_key, is_by_password};
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind};
use crate::session::{Device, NotLive, SessionId, UserId};
use crate::token::{Confirmation, ScopeSet, TokenError, Verified};

/// An access token that is good.
struct AccessToken {
    owner: TokenOwner,
    scopes: ScopeSet,
    claims: Map<String, Value>,
    expires: UnixTime,
}

/// Somebody who showed a good access token.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The scopes of the token.
    pub scopes: ScopeSet,
    /// True if he showed a password when the session was opened.
    pub by_password: bool,
    /// True if he showed an API key then.
    pub by_key: bool,
    /// The device that the session was opened from.
    pub device: Device,
    /// The claims of the token.
    pub claims: Map<String, Value>,
    /// The end of the token.
    pub expires: UnixTime,
}

impl Revocation {
    /// Finds the bearer of this access token, a JWT or a handle.
    ///
    /// # Errors
    /// [`IssueError::InvalidToken`] where it is not good now.
    pub async fn bearer(&self, token: &str) -> Result<Bearer, IssueError> {
        let found = self.access(token).await?.ok_or(IssueError::InvalidToken)?;
        let AccessToken { owner, scopes, claims, expires } = found;
        let session = match self.sessions.live(&owner.user, &owner.session).await {
            Ok(session) => session,
            Err(NotLive::Store(error)) => return Err(error.into()),
            Err(NotLive::Unknown | NotLive::Ended(_)) => return Err(IssueError::InvalidToken),
        };
        let (by_password, by_key) = (is_by_password(&session), is_by_key(&session));
        let TokenOwner { user, session: id, .. } = owner;
        let device = session.device;
        Ok(Bearer { user, session: id, scopes, by_password, by_key, device, claims, expires })
    }

    /// Checks that the bearer's session is the caller's, as far as sessions are bound to clients.
    ///
    /// # Errors
    /// [`IssueError::InvalidToken`].
    pub fn check_binding(&self, bearer: &Bearer, caller: &Caller) -> Result<(), IssueError> {
        let bound = self.sessions.binding().check(&bearer.device, &caller.shown_client());
        bound.map_err(|_| IssueError::InvalidToken)
    }

    /// The owner and the scopes of an access token, if it is one of ours and in time. One that is bound
    /// to its sender is none: nobody proves anything here (RFC 7800).
    async fn access(&self, token: &str) -> Result<Option<AccessToken>, IssueError> {
        if token.contains('.') {
            let verified = match self.verifier.verify(token) {
                // Refused unread, by the gate too.
                Err(TokenError::TooLarge) => None,
                verified => valid_token(verified)?,
            };
            let bearer = verified.filter(|good| !good.claims.has(Confirmation::CLAIM));
            return Ok(bearer.and_then(|good| self.access_of_jwt(&good)));
        }
        let found = self.tokens.get_known(&TokenDigest::of(token)).await?;
        let is_good = |kept: &OpaqueToken| {
            kept.kind == TokenKind::Handle
                && kept.used.is_none()
                && self.clock.now() < kept.expires
                && !kept.claims.contains_key(Confirmation::CLAIM)
        };
        Ok(found.filter(is_good).map(|kept| {
            let scopes = kept.claims.get("scope").and_then(|scope| scope.as_str());
            let scopes = ScopeSet::new(scopes.unwrap_or_default().split(' ').collect());
            let (claims, expires) = (kept.claims.clone(), kept.expires);
            AccessToken { owner: kept.into(), scopes, claims, expires }
        }))
    }

    fn access_of_jwt(&self, verified: &Verified) -> Option<AccessToken> {
        let (scopes, claims) = (verified.scopes.clone(), verified.claims.to_map());
        let owner = self.owner_of_jwt(verified)?;
        Some(AccessToken { owner, scopes, claims, expires: verified.usable_until })
    }
}

//! Introspection of tokens (RFC 7662).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Dependencies;
use super::error::IssueError;
use super::grant::{GRANT_CONTEXT, GrantContext};
use super::revocation::valid_token;
use crate::clock::{Clock, UnixTime};
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind, Tokens};
use crate::session::{NotLive, SessionId, Sessions, UserId};
use crate::token::{TokenError, Verified, Verifier};

/// Introspection.
#[derive(Debug)]
pub struct Introspection {
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
}

/// User and session of a token, and its claims as they are told.
type Introspected = (UserId, SessionId, Map<String, Value>);

impl Introspection {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { sessions, tokens, verifier, clock, .. } = on.clone();
        Self { sessions, tokens, verifier, clock }
    }

    /// Describes a token; `None` where it is not good now, for whatever reason.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where that cannot be said.
    pub async fn introspect(&self, token: &str) -> Result<Option<Map<String, Value>>, IssueError> {
        let found = if token.contains('.') {
            self.introspect_jwt(token)?
        } else {
            let kept = self.tokens.get(&TokenDigest::of(token)).await?;
            kept.filter(|kept| kept.used.is_none() && self.clock.now() < kept.expires)
                .and_then(introspected)
        };
        let Some((user, session, mut claims)) = found else {
            return Ok(None);
        };
        match self.sessions.live(&user, &session).await {
            Ok(_) => {}
            Err(NotLive::Store(error)) => return Err(error.into()),
            Err(NotLive::Unknown | NotLive::Ended(_)) => return Ok(None),
        }
        claims.insert("active".to_owned(), json!(true));
        Ok(Some(claims))
    }

    /// A token of any accepted issuer whose session is kept here, in time to the second (RFC 7662,
    /// section 4).
    fn introspect_jwt(&self, token: &str) -> Result<Option<Introspected>, IssueError> {
        let verified = match self.verifier.verify_ignoring_audience(token) {
            // Nobody accepts it, whatever it says.
            Err(TokenError::TooLarge) => None,
            verified => valid_token(verified)?,
        };
        let in_time = verified.filter(|verified| is_in_time(verified, self.clock.now()));
        Ok(in_time.as_ref().and_then(introspected_jwt))
    }
}

/// True for a token that is in time by our own clock; no other one has to be allowed for.
fn is_in_time(verified: &Verified, now: UnixTime) -> bool {
    let claims = &verified.claims;
    let is_over = claims.time("exp").ok().flatten().is_none_or(|expires| expires <= now);
    let is_early = claims.time("nbf").ok().flatten().is_some_and(|not_before| now < not_before);
    !is_over && !is_early
}

fn introspected_jwt(verified: &Verified) -> Option<Introspected> {
    let session = SessionId::parse(verified.session.as_deref()?).ok()?;
    let user = UserId::parse(&verified.subject).ok()?;
    let mut claims = verified.claims.to_map();
    claims.insert("token_type".to_owned(), json!(token_type(&claims)));
    Some((user, session, claims))
}

fn introspected(kept: OpaqueToken) -> Option<Introspected> {
    let (user, session) = (kept.user.clone(), kept.session.clone());
    let claims = match kept.kind {
        TokenKind::Handle => {
            let mut claims = kept.claims;
            claims.remove(GRANT_CONTEXT);
            claims.insert("token_type".to_owned(), json!(token_type(&claims)));
            claims.insert("exp".to_owned(), json!(kept.expires.as_secs()));
            claims
        }
        TokenKind::Refresh => of_refresh(&kept)?,
    };
    Some((user, session, claims))
}

/// The scheme of an access token (RFC 9449, section 6.2).
fn token_type(claims: &Map<String, Value>) -> &'static str {
    if claims.get("cnf").is_some_and(|cnf| cnf.get("jkt").is_some()) { "DPoP" } else { "Bearer" }
}

fn of_refresh(kept: &OpaqueToken) -> Option<Map<String, Value>> {
    // Whoever asks learns that it is of no use, the operator that its record is damaged.
    let context = GrantContext::of(kept, false).inspect_err(IssueError::log).ok()?;
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("token_type", json!("refresh_token"));
    set("sub", json!(kept.user.as_str()));
    set("sid", json!(kept.session.as_str()));
    set("scope", json!(context.scopes.join(" ")));
    set("iat", json!(kept.issued.as_secs()));
    set("exp", json!(kept.expires.as_secs()));
    if let Some(client) = &kept.client {
        set("client_id", json!(client));
    }
    Some(claims)
}

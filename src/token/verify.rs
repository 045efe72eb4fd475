//! The verification of tokens.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::claims::Claims;
use super::error::TokenError;
use super::issuer::{Issuer, SessionRule};
use super::jws::{self, CompactJws};
use super::key::{KeyId, PublicJwk, VerifyingKey};
use super::ring::KeyRing;
use super::scopes::ScopeSet;
use crate::clock::{Clock, UnixTime};

/// A token that was found good, and the time in which this may be relied on.
#[derive(Debug)]
pub struct Verified {
    /// Its claims.
    pub claims: Claims,
    /// Its user.
    pub subject: String,
    /// Its scopes.
    pub scopes: ScopeSet,
    /// The session that must live; `None` where the issuer's rule asks for none.
    pub session: Option<String>,
    /// Its issuer.
    pub issuer: Arc<Issuer>,
    /// The check of its signature; `None` where our own store kept the claims, which need no
    /// signature.
    pub signature: Option<Signature>,
    /// The time from which it is good: `nbf` and `iat`, less the leeway.
    pub usable_from: UnixTime,
    /// The time until which it is good, exclusively: `exp` and the leeway.
    pub usable_until: UnixTime,
}

/// The check of a good signature.
#[derive(Debug)]
pub struct Signature {
    /// The key, by name, where it has one.
    pub key: Option<KeyId>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The generation of the issuer's keys.
    pub keys_generation: u64,
}

/// The time and the keys by which a token is good: a few numbers, for who asks often.
#[derive(Clone, Copy, Debug)]
pub struct TokenValidity {
    usable_from: UnixTime,
    usable_until: UnixTime,
    /// The generation of the keys, where a signature was checked.
    keys_generation: Option<u64>,
}

impl TokenValidity {
    /// Returns whether the token is in time, and its issuer, with these keys now, still has those that it
    /// was checked with.
    pub fn holds(&self, keys: &KeyRing, now: UnixTime, monotonic: Duration) -> bool {
        self.usable_from <= now
            && now < self.usable_until
            && self.keys_generation.is_none_or(|generation| {
                keys.generation() == generation && keys.is_usable(now, monotonic)
            })
    }
}

impl Verified {
    /// The time and the keys by which it is good.
    pub fn validity(&self) -> TokenValidity {
        TokenValidity {
            usable_from: self.usable_from,
            usable_until: self.usable_until,
            keys_generation: self.signature.as_ref().map(|signature| signature.keys_generation),
        }
    }

    /// Returns whether the token is in time, and its issuer still has the keys that it was checked
    /// with.
    pub fn is_valid(&self, now: UnixTime, monotonic: Duration) -> bool {
        self.validity().holds(&self.issuer.keys, now, monotonic)
    }
}

/// Checks tokens of all accepted issuers.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    max_token_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// A verifier for tokens of `issuers` that are at most `max_token_bytes` long.
    pub fn new(issuers: Vec<Arc<Issuer>>, max_token_bytes: usize, clock: Arc<dyn Clock>) -> Self {
        Self { issuers, max_token_bytes, clock }
    }

    /// The accepted issuers.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// The bound on a token's length, in bytes.
    pub fn max_token_bytes(&self) -> usize {
        self.max_token_bytes
    }

    /// Checks one token, by itself: its session is not checked here.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found, signature before times before audience.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let verified = self.verify_ignoring_audience(token)?;
        check_audience(&verified.issuer, &verified.claims)?;
        Ok(verified)
    }

    /// Checks one token, but not its audience. Only for its issuer, which revokes and introspects
    /// tokens that are meant for others; never for letting a request in.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found; never one about the audience.
    pub fn verify_ignoring_audience(&self, token: &str) -> Result<Verified, TokenError> {
        let parts = jws::split(token, self.max_token_bytes)?;
        let claims = Claims::parse(&jws::decode(parts.payload)?)?;
        let issuer = self.issuer_of(&claims)?;
        let keys_generation = issuer.keys.generation();
        let key = self.check_signature(issuer, &parts)?;
        claims.check_use(parts.header.is_access_token)?;
        if issuer.at_jwt_only && !parts.header.is_access_token {
            return Err(TokenError::WrongType);
        }
        let (usable_from, usable_until) = check_times(issuer, &claims, self.clock.now())?;
        let algorithm = parts.header.algorithm;
        let session = session_of(issuer, &claims)?;
        Ok(Verified {
            signature: Some(Signature { key, algorithm, keys_generation }),
            ..verified(issuer, claims, session, usable_from..usable_until)?
        })
    }

    /// Checks the claims of an access token that never left this service: every check of a token
    /// but the signature. They are good until `expires` to the millisecond, whatever `exp` says.
    /// There is no leeway, since no other clock is involved. A session is always required.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found, never one about keys or signatures.
    pub fn verify_stored_claims(
        &self,
        claims: Claims,
        expires: UnixTime,
    ) -> Result<Verified, TokenError> {
        let issuer = self.issuer_of(&claims)?;
        // Nothing but access tokens is kept.
        claims.check_use(true)?;
        let usable_from = claims.time("nbf")?.unwrap_or_default();
        in_time(self.clock.now(), usable_from, expires)?;
        check_audience(issuer, &claims)?;
        let session = claims.text("sid")?.ok_or(TokenError::SessionRequired)?.into_owned();
        verified(issuer, claims, Some(session), usable_from..expires)
    }

    /// The issuer that the token names. The name is not believed yet: it only selects the keys to
    /// try.
    fn issuer_of(&self, claims: &Claims) -> Result<&Arc<Issuer>, TokenError> {
        let named = claims.text("iss")?;
        self.issuers
            .iter()
            .find(|issuer| match &issuer.iss {
                Some(expected) => Some(expected.as_str()) == named.as_deref(),
                None => true,
            })
            .ok_or(TokenError::UnknownIssuer)
    }

    fn check_signature(
        &self,
        issuer: &Issuer,
        parts: &CompactJws<'_>,
    ) -> Result<Option<KeyId>, TokenError> {
        if !issuer.keys.is_usable(self.clock.now(), self.clock.monotonic()) {
            issuer.keys.request_refresh();
            return Err(TokenError::KeysUnavailable);
        }
        let key_id = parts.header.key_id.as_deref();
        let candidates = issuer.keys.candidates(parts.header.algorithm, key_id);
        let mut untried = candidates.iter().peekable();
        let is_known = untried.peek().is_some();
        let signed = |key: &&VerifyingKey| key.verifies(parts.message.as_bytes(), parts.signature);
        if let Some(key) = untried.find(signed) {
            return Ok(key.id().or(key.public().map(PublicJwk::id)).cloned());
        }
        // Its issuer may have a new key; where keys are published, it is fetched soon.
        issuer.keys.request_refresh();
        Err(if is_known { TokenError::BadSignature } else { TokenError::UnknownKey })
    }
}

/// Checks what `issuer` said about a token that is active, when it was asked (RFC 7662, section 2.2):
/// every check of a token's claims. `exp` may be missing there, `sub` may not. Without `iss` it is the
/// issuer that was asked.
///
/// # Errors
/// The first [`TokenError`] that was found, never one about keys or signatures.
pub fn verify_introspected(
    issuer: &Arc<Issuer>,
    claims: &Claims,
    now: UnixTime,
) -> Result<Verified, TokenError> {
    let (named, own) = (claims.text("iss")?, issuer.iss.as_deref());
    if named.is_some() && named.as_deref() != own {
        return Err(TokenError::UnknownIssuer);
    }
    claims.check_use(false)?;
    claims.text("sub")?.ok_or(TokenError::BadClaim("sub"))?;
    let usable_from = first_use(issuer, claims)?;
    let expires = claims.time("exp")?.map(|expires| expires.after(issuer.leeway));
    let usable_until = expires.unwrap_or(UnixTime::from_millis(u64::MAX));
    in_time(now, usable_from, usable_until)?;
    check_audience(issuer, claims)?;
    let session = session_of(issuer, claims)?;
    let mut told = claims.to_map();
    told.remove("active");
    told.insert("iss".to_owned(), own.unwrap_or(&issuer.name).into());
    verified(issuer, Claims::from(&told), session, usable_from..usable_until)
}

/// A verified token, made of claims that were checked already.
fn verified(
    issuer: &Arc<Issuer>,
    claims: Claims,
    session: Option<String>,
    usable: Range<UnixTime>,
) -> Result<Verified, TokenError> {
    Ok(Verified {
        subject: claims.subject()?.ok_or(TokenError::BadClaim("sub"))?,
        scopes: claims.scopes()?,
        session,
        claims,
        issuer: Arc::clone(issuer),
        signature: None,
        usable_from: usable.start,
        usable_until: usable.end,
    })
}

/// The time in which the token is good, if it is good now.
fn check_times(
    issuer: &Issuer,
    claims: &Claims,
    now: UnixTime,
) -> Result<(UnixTime, UnixTime), TokenError> {
    let expires = claims.time("exp")?.ok_or(TokenError::BadClaim("exp"))?;
    let usable_from = first_use(issuer, claims)?;
    let usable_until = expires.after(issuer.leeway);
    in_time(now, usable_from, usable_until)?;
    Ok((usable_from, usable_until))
}

/// The time from which the token is good.
fn first_use(issuer: &Issuer, claims: &Claims) -> Result<UnixTime, TokenError> {
    let not_before = claims.time("nbf")?.unwrap_or_default();
    let issued = claims.time("iat")?.unwrap_or_default();
    Ok(not_before.max(issued).before(issuer.leeway))
}

fn in_time(now: UnixTime, from: UnixTime, until: UnixTime) -> Result<(), TokenError> {
    if now < from {
        return Err(TokenError::NotYetValid);
    }
    if now >= until {
        return Err(TokenError::Expired);
    }
    Ok(())
}

fn check_audience(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    let named = claims.audiences()?;
    let is_ours = if issuer.audiences.is_empty() {
        let default = issuer.default_audience.as_deref();
        claims.get("aud").is_none()
            || default.is_some_and(|default| named.iter().any(|name| name == default))
    } else {
        named.iter().any(|name| issuer.audiences.iter().any(|ours| ours == name))
    };
    if is_ours { Ok(()) } else { Err(TokenError::WrongAudience) }
}

fn session_of(issuer: &Issuer, claims: &Claims) -> Result<Option<String>, TokenError> {
    if issuer.sessions == SessionRule::Ignored {
        return Ok(None);
    }
    let session = claims.text("sid")?.map(Cow::into_owned);
    if session.is_none() && issuer.sessions == SessionRule::Required {
        return Err(TokenError::SessionRequired);
    }
    Ok(session)
}

#[cfg(test)]
mod tests;

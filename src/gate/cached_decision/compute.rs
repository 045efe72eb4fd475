//! Computing a decision that is not in the cache: the credential is verified, its session is read,
//! and the headers are made.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use tracing::error;

use super::{
    CacheKey, CachedDecision, CredentialKind, DecisionCache, NO_STORE, Outcome, StoreRead,
};
use crate::clock::UnixTime;
use crate::gate::denial::DenialCode;
use crate::gate::identity;
use crate::gate::metrics::CacheOutcome;
use crate::gate::upstream::{SignedBy, UpstreamJwt};
use crate::opaque::TokenEpoch;
use crate::session::{Session, SessionEpoch, SessionId, UserId};
use crate::store::EpochStatus;
use crate::token::Verified;

/// A credential that is good by itself; its session is not read yet.
struct VerifiedCredential<'c> {
    credential: &'c str,
    token: Arc<Verified>,
    handle: Option<TokenEpoch>,
    /// The time at which its checks began, on both clocks.
    started: (Duration, UnixTime),
    /// The age until which the answer that is read now counts as fresh where no event comes.
    max_age: Duration,
    /// True where it stands for an account that was read now.
    is_of_account: bool,
    /// The decision that was in the cache before.
    previous: Option<Arc<CachedDecision>>,
}

impl DecisionCache {
    /// Makes a new decision, from the `previous` one where its token is still valid. A credential
    /// that `is_known` was good before.
    pub(super) async fn compute(
        &self,
        key: &CacheKey,
        credential: &str,
        previous: Option<Arc<CachedDecision>>,
        is_known: bool,
    ) -> Outcome {
        self.metrics.cache(if previous.is_some() {
            CacheOutcome::Recheck
        } else {
            CacheOutcome::Miss
        });
        let started = (self.clock.monotonic(), self.clock.now());
        let known = previous.as_ref().map(|previous| Arc::clone(&previous.token));
        let is_of_account = key.kind == CredentialKind::ApiKey;
        let (token, handle) = match (key.kind, &self.handles, &self.api_keys) {
            (CredentialKind::Handle, Some(handles), _) => {
                let (found, epoch) = handles.verify(credential, is_known, &self.verifier).await?;
                (same_or_new(known, found), Some(epoch))
            }
            (CredentialKind::ApiKey, _, Some(keys)) => {
                (same_or_new(known, keys.verify(credential).await?), None)
            }
            _ => match known {
                Some(known) => (known, None),
                None => (Arc::new(self.verifier.verify(credential)?), None),
            },
        };
        let max_age = key.spread(self.config.staleness);
        let verified = VerifiedCredential {
            credential,
            token,
            handle,
            started,
            max_age,
            is_of_account,
            previous,
        };
        self.complete(verified).await
    }

    /// Reads the session of a verified credential, and makes the headers.
    async fn complete(&self, verified: VerifiedCredential<'_>) -> Outcome {
        let (session, read) = match session_of(&verified.token)? {
            None => (None, verified.is_of_account.then(|| verified.read(None))),
            Some((user, id)) => {
                let read = verified.read(Some(self.sessions.epoch(&user, &id)));
                let live = self.sessions.live(&user, &id).await;
                let session = live.map_err(|reason| DenialCode::from(&reason))?;
                (Some(session), Some(read))
            }
        };
        let (headers, signed) = self.headers(&verified, session.as_ref())?;
        let VerifiedCredential { token, handle, .. } = verified;
        Ok(Arc::new(CachedDecision { token, session, headers, read, handle, signed }))
    }

    /// The headers of the answer, and the signer of the token among them.
    fn headers(
        &self,
        verified: &VerifiedCredential<'_>,
        session: Option<&Session>,
    ) -> Result<(HeaderMap, Option<SignedBy>), DenialCode> {
        let mut headers = self.identity.render(&verified.token, session)?;
        let mut signed = None;
        if let Some(upstream) = &self.upstream {
            let (value, by) = match reuse_signature(upstream, verified) {
                Some(before) => before,
                None => upstream
                    .value(&verified.token, session, verified.credential, &self.identity)
                    .map_err(|error| {
                        error!(%error, "a token for the application could not be signed");
                        DenialCode::KeysUnavailable
                    })?,
            };
            identity::add(&mut headers, upstream.header().clone(), value)?;
            signed = Some(by);
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        Ok((headers, signed))
    }
}

impl VerifiedCredential<'_> {
    /// The reading that its checks began with.
    fn read(&self, epoch: Option<SessionEpoch>) -> StoreRead {
        let (at, wall) = self.started;
        StoreRead { at, wall, epoch, max_age: self.max_age }
    }
}

/// The claims that are known, where nothing changed in them.
fn same_or_new(known: Option<Arc<Verified>>, found: Verified) -> Arc<Verified> {
    let is_same = |known: &Arc<Verified>| {
        known.usable_until == found.usable_until && known.claims == found.claims
    };
    known.filter(is_same).unwrap_or_else(|| Arc::new(found))
}

/// Reuses the token that was signed for the application before, since signing takes time. Only for
/// the same claims, and while the same key would sign them.
fn reuse_signature(
    upstream: &UpstreamJwt,
    verified: &VerifiedCredential<'_>,
) -> Option<(HeaderValue, SignedBy)> {
    let previous = verified.previous.as_ref()?;
    let by = previous.signed.as_ref()?;
    if upstream.status(by) != EpochStatus::Current {
        return None;
    }
    let value = previous.headers.get(upstream.header())?;
    Arc::ptr_eq(&previous.token, &verified.token).then(|| (value.clone(), by.clone()))
}

/// The user and the session that the token names, if it names one.
pub(in crate::gate) fn session_of(
    token: &Verified,
) -> Result<Option<(UserId, SessionId)>, DenialCode> {
    let Some(id) = &token.session else {
        return Ok(None);
    };
    let user = UserId::parse(&token.subject).map_err(|_| DenialCode::BadClaim)?;
    let id = SessionId::parse(id).map_err(|_| DenialCode::BadClaim)?;
    Ok(Some((user, id)))
}

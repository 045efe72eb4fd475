//! Computing a decision that is not in the cache: the credential is verified, its session is read,
//! and the headers are made.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use tracing::error;

use super::basis::{Basis, Presented};
use super::decision::{NewDecision, Places, StoreRead};
use super::{CacheKey, CachedDecision, CredentialKind, DecisionCache, NO_STORE, Outcome};
use crate::clock::Moment;
use crate::gate::denial::DenialCode;
use crate::gate::identity;
use crate::gate::metrics::CacheOutcome;
use crate::gate::requester::Origin;
use crate::gate::upstream::{SignedBy, UpstreamJwt};
use crate::session::{Session, SessionEpoch, SessionId, UserId};
use crate::store::EpochStatus;
use crate::token::{Confirmation, Verified};

/// A credential that is good by itself; its session is not read yet.
struct VerifiedCredential<'c> {
    /// Its places in both levels of the cache, if it may come into the first one.
    places: Option<Places>,
    /// The client's own token, where it is one that says something to the application.
    own_token: Option<&'c str>,
    token: Arc<Verified>,
    basis: Basis,
    /// The moment at which its checks began.
    started: Moment,
    /// The age until which the answer that is read now counts as fresh where no event comes.
    max_age: Duration,
    /// The decision that was in the cache before.
    previous: Option<CachedDecision>,
}

impl DecisionCache {
    /// Makes a new decision, from the `previous` one where its token is still valid. A credential
    /// that `is_known` was good before.
    pub(super) async fn compute(
        &self,
        key: &CacheKey,
        presented: Presented<'_>,
        previous: Option<CachedDecision>,
        is_known: bool,
    ) -> Outcome {
        self.metrics.cache(if previous.is_some() {
            CacheOutcome::Recheck
        } else {
            CacheOutcome::Miss
        });
        let started = self.moment();
        let (token, basis) = match presented {
            Presented::Text(text, origin) => {
                let kind = key.kind;
                self.verify_text(kind, (text, origin), previous.as_ref(), is_known).await?
            }
            Presented::Basic(credentials, client) => {
                // Boxed, as are all that few requests wait for: each future here has room for each of them.
                let previous = previous.as_ref();
                Box::pin(self.verify_password(key, credentials, client, previous)).await?
            }
        };
        let own_token = match (presented, &basis) {
            (Presented::Text(text, _), Basis::Token | Basis::Introspection) => Some(text),
            _ => None,
        };
        let places = match (presented, &self.first_level) {
            (Presented::Text(text, _), Some(table)) => {
                Some(Places { first: table.key.of(text.as_bytes()), second: *key })
            }
            _ => None,
        };
        let max_age = key.spread(self.config.staleness);
        self.complete(VerifiedCredential {
            places,
            own_token,
            token,
            basis,
            started,
            max_age,
            previous,
        })
        .await
    }

    /// Verifies a token, a handle or an API key. The claims of the `previous` decision are still
    /// good.
    async fn verify_text(
        &self,
        kind: CredentialKind,
        (text, origin): (&str, &Origin<'_>),
        previous: Option<&CachedDecision>,
        is_known: bool,
    ) -> Result<(Arc<Verified>, Basis), DenialCode> {
        let known = previous.map(|previous| Arc::clone(&previous.token));
        if text.len() > self.verifier.max_token_bytes() {
            return Err(DenialCode::TokenTooLarge);
        }
        if let (CredentialKind::Introspected(issuer), Some(issuers)) = (kind, &self.introspection) {
            let found = Box::pin(issuers.verify(issuer, text, is_known)).await?;
            return Ok((same_or_new(known, found), Basis::Introspection));
        }
        Ok(match (kind, &self.handles, &self.api_keys) {
            (CredentialKind::Handle, Some(handles), _) => {
                let found = Box::pin(handles.verify(text, is_known, &self.verifier)).await;
                let (found, epoch) = found?;
                (same_or_new(known, found), Basis::Handle(epoch))
            }
            (CredentialKind::ApiKey, _, Some(keys)) => {
                let (found, bounds) = Box::pin(keys.verify(text, is_known)).await?;
                (same_or_new(known, found), Basis::ApiKey(bounds.into()))
            }
            _ => {
                let verified = match known {
                    Some(known) => known,
                    None => Arc::new(Box::pin(self.verify_token(text, origin)).await?),
                };
                (verified, Basis::Token)
            }
        })
    }

    /// Verifies a signed token: on the threads of the pool, where there is one.
    async fn verify_token(&self, token: &str, origin: &Origin<'_>) -> Result<Verified, DenialCode> {
        match &self.pool {
            Some(pool) => pool.verify(&self.verifier, token, origin).await,
            None => Ok(self.verifier.verify(token)?),
        }
    }

    /// Decides about a ticket. It is used up, so that it is good for no other request, unless this is
    /// a trial; and nothing is kept.
    ///
    /// # Errors
    /// The reason why it is not good now.
    pub async fn decide_ticket(&self, ticket: &str, uses_up: bool) -> Outcome {
        let tickets = self.tickets.as_ref().ok_or(DenialCode::MissingCredentials)?;
        let started = self.moment();
        let decided = async {
            let token = if uses_up {
                tickets.take(ticket, &self.verifier, started.wall).await
            } else {
                tickets.read(ticket, &self.verifier, started.wall).await
            };
            let token = Arc::new(token.map_err(DenialCode::from)?);
            let (basis, max_age) = (Basis::Ticket, Duration::ZERO);
            self.complete(VerifiedCredential {
                places: None,
                own_token: None,
                token,
                basis,
                started,
                max_age,
                previous: None,
            })
            .await
        };
        // Boxed, as all that waits.
        let decided = tokio::time::timeout(self.config.store_timeout, Box::pin(decided)).await;
        decided.unwrap_or_else(|_| Err(DenialCode::StoreUnavailable.into()))
    }

    /// Reads the session of a verified credential, and makes the headers.
    async fn complete(&self, verified: VerifiedCredential<'_>) -> Outcome {
        let (session, read) = match session_of(&verified.token)? {
            None => {
                let is_read = verified.basis.is_read_without_events();
                (None, is_read.then(|| verified.read(None)))
            }
            Some((user, id)) => {
                let read = verified.read(Some(self.sessions.epoch(&user, &id)));
                // What rests on more than a session is read again when a request needs it.
                let is_session_alone = matches!(verified.basis, Basis::Token);
                let read = if is_session_alone { self.refreshed_ahead(read) } else { read };
                let live = self.sessions.live(&user, &id).await;
                let session = live.map_err(|reason| DenialCode::from(&reason))?;
                if let Some(previous) = &verified.previous
                    && Arc::ptr_eq(&previous.token, &verified.token)
                    && self.is_answer_the_same(previous, &session)
                {
                    previous.renew(read.of(&session));
                    return Ok(previous.clone());
                }
                let read = read.of(&session);
                (Some(session), Some(read))
            }
        };
        let (headers, signed) = self.headers(&verified, session.as_ref())?;
        let VerifiedCredential { places, token, basis, .. } = verified;
        let is_bound = !Confirmation::of(&token.claims).is_ok_and(|demanded| demanded.is_empty());
        let new = NewDecision { token, session, read, basis, is_bound, signed, places };
        Ok(new.with(&headers, &self.header_names))
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
                // A token for nobody in particular could be shown to another application.
                None if verified.basis.is_bound_to_requests() && !upstream.is_for_one_app() => {
                    (HeaderValue::from_static(""), SignedBy::Client)
                }
                None => upstream
                    .value(&verified.token, session, verified.own_token, &self.identity)
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
        StoreRead::new(self.started, epoch, self.max_age)
    }
}

/// The claims that are known, where nothing changed in them.
pub(super) fn same_or_new(known: Option<Arc<Verified>>, found: Verified) -> Arc<Verified> {
    let is_same = |known: &Arc<Verified>| {
        known.usable_from == found.usable_from
            && known.usable_until == found.usable_until
            && known.claims == found.claims
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
    let value = previous.headers().remove(upstream.header())?;
    Arc::ptr_eq(&previous.token, &verified.token).then(|| (value, by.clone()))
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

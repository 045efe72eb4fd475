//! The cache of decisions: a credential that was found good stays good for a while.
//!
//! A [`CachedDecision`] holds all that was found about one credential, a token or a handle: its
//! claims, its session, the headers made from them. Its key is the digest of the credential. Every
//! request checks it again, by a few comparisons: is it still valid? Where the token itself is out
//! of date, it is verified again. Where only the session was read too long ago, or may have ended
//! since, only the session is read again, and with it the record of a handle. Where the store gives
//! no answer, its last answer is believed a little longer, as far as the operator allows, and only
//! where nothing is known to have changed.
//!
//! Nothing in the cache expires by itself and nothing is ever flushed from it, since both make some
//! request wait. A decision that is no longer valid is replaced when it is asked for, and is pushed
//! out when room is needed.

mod compute;
mod key;

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;

pub(super) use compute::session_of;
pub use key::{CacheKey, CredentialKind};

use super::api_key::{ApiKeys, is_api_key};
use super::denial::{Class, DenialCode};
use super::handle::{Handles, is_handle};
use super::identity::IdentityHeaders;
use super::memory_size::memory_size;
use super::metrics::{CacheOutcome, GateMetrics};
use super::single_flight::SingleFlight;
use super::upstream::{SignedBy, UpstreamJwt};
use crate::clock::{Clock, UnixTime};
use crate::opaque::TokenEpoch;
use crate::session::{Session, SessionEpoch, Sessions};
use crate::store::EpochStatus;
use crate::token::{Verified, Verifier};

/// No answer is kept on its way.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The number of times that a revocation may overtake an answer before the request is refused.
const MAX_ROUNDS: usize = 4;

/// The decision about one good credential, and all that was found about it.
#[derive(Debug)]
pub struct CachedDecision {
    /// The token, or the claims that the handle stands for.
    pub token: Arc<Verified>,
    /// Its session, where it has one.
    pub session: Option<Session>,
    /// The headers of the answer: the identity for the application, and that the answer must not be
    /// kept.
    pub headers: HeaderMap,
    /// The reading of the session or of the account, where the decision depends on one.
    read: Option<StoreRead>,
    /// The epoch of the handle at the time that it was read, where the credential is one.
    handle: Option<TokenEpoch>,
    /// The signer of the token for the application, where there is one.
    signed: Option<SignedBy>,
}

/// The reading of a session, or of an account.
#[derive(Clone, Copy, Debug)]
struct StoreRead {
    /// The time of the reading on the monotonic clock, which nobody can set back.
    at: Duration,
    /// The same on the wall clock, which goes on while the host sleeps.
    wall: UnixTime,
    /// The epoch of the session at that time: it tells what was revoked before. Nothing tells of a
    /// change of an account.
    epoch: Option<SessionEpoch>,
    /// The age until which the reading counts as fresh where no event comes: the bound, or a little
    /// less.
    max_age: Duration,
}

/// The validity of a cached decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    /// Nothing has to be checked again.
    Valid,
    /// The session, the handle or the account has to be read again.
    SessionStale,
    /// The token has to be verified again.
    TokenStale,
}

/// The limits of the cache of decisions, as the operator sets them.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// The time for which a session is believed to live without asking again: the bound on how late
    /// a revocation elsewhere becomes known. Zero asks for every request.
    pub staleness: Duration,
    /// The same bound while the store gives no answer (`stale-if-error` of RFC 5861).
    pub stale_if_error: Duration,
    /// The time that all questions to the stores for one request may take together.
    pub store_timeout: Duration,
    /// The room for all decisions together, in bytes.
    pub bytes: u64,
}

impl CacheConfig {
    /// A cache with this bound, also while the store is down; 64 MiB, and 180 ms for one request.
    pub fn with_staleness(staleness: Duration) -> Self {
        let store_timeout = Duration::from_millis(180);
        Self { staleness, stale_if_error: staleness, store_timeout, bytes: 64 << 20 }
    }
}

type Outcome = Result<Arc<CachedDecision>, DenialCode>;

/// The decisions that this process remembers.
#[derive(Debug)]
pub struct DecisionCache {
    verifier: Arc<Verifier>,
    sessions: Arc<Sessions>,
    handles: Option<Handles>,
    api_keys: Option<ApiKeys>,
    identity: IdentityHeaders,
    upstream: Option<UpstreamJwt>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    cache: Cache<CacheKey, Arc<CachedDecision>>,
    single_flight: SingleFlight<CacheKey, Outcome>,
    metrics: GateMetrics,
}

impl DecisionCache {
    /// An empty cache in front of `verifier` and `sessions`.
    pub fn new(
        verifier: Arc<Verifier>,
        sessions: Arc<Sessions>,
        identity: IdentityHeaders,
        config: CacheConfig,
        clock: Arc<dyn Clock>,
        metrics: GateMetrics,
    ) -> Self {
        let cache = Cache::builder()
            .max_capacity(config.bytes)
            .weigher(|_, decision: &Arc<CachedDecision>| decision.memory_size())
            .build();
        // An answer that is already old when it is read is fresh for so much less.
        let lag = sessions.lag();
        let config = CacheConfig {
            staleness: config.staleness.saturating_sub(lag),
            stale_if_error: config.stale_if_error.saturating_sub(lag),
            ..config
        };
        Self {
            verifier,
            sessions,
            handles: None,
            api_keys: None,
            identity,
            upstream: None,
            config,
            clock,
            cache,
            single_flight: SingleFlight::default(),
            metrics,
        }
    }

    /// The same, with `handles` accepted beside tokens.
    #[must_use]
    pub fn with_handles(self, handles: Handles) -> Self {
        Self { handles: Some(handles), ..self }
    }

    /// The same, with API keys accepted beside tokens.
    #[must_use]
    pub fn with_api_keys(self, api_keys: ApiKeys) -> Self {
        Self { api_keys: Some(api_keys), ..self }
    }

    /// The same, with a signed token for the application in each answer.
    #[must_use]
    pub fn with_upstream_jwt(self, upstream: UpstreamJwt) -> Self {
        Self { upstream: Some(upstream), ..self }
    }

    /// The headers of an answer that names nobody: all that an identity could be in, empty.
    pub(super) fn headers_of_nobody(&self) -> HeaderMap {
        let mut headers = self.identity.of_nobody();
        if let Some(upstream) = &self.upstream {
            headers.insert(upstream.header().clone(), HeaderValue::from_static(""));
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers
    }

    /// The present time.
    pub(super) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// The verifier of tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The handles, where they are accepted.
    pub fn handles(&self) -> Option<&Handles> {
        self.handles.as_ref()
    }

    /// The API keys, where they are accepted.
    pub fn api_keys(&self) -> Option<&ApiKeys> {
        self.api_keys.as_ref()
    }

    /// Returns whether API keys are accepted.
    pub fn accepts_api_keys(&self) -> bool {
        self.api_keys.is_some()
    }

    /// Tells the kind of a credential. Where handles or API keys are accepted, every text of their
    /// form is one; all else is a token, even if a bad one.
    pub fn kind_of(&self, credential: &str) -> CredentialKind {
        if self.api_keys.is_some() && is_api_key(credential) {
            CredentialKind::ApiKey
        } else if self.handles.is_some() && is_handle(credential) {
            CredentialKind::Handle
        } else {
            CredentialKind::Jwt
        }
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Returns whether tokens of every issuer could be verified now.
    pub fn has_keys(&self) -> bool {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        self.verifier.issuers().iter().all(|issuer| issuer.keys.is_usable(now, at))
    }

    /// The number of decisions in the cache, and their estimated memory in bytes; both as of the
    /// last maintenance.
    pub fn size(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// Decides about a token or handle: from the cache where its entry is valid.
    ///
    /// # Errors
    /// The reason why it is not good now.
    pub async fn decide(&self, credential: &str) -> Outcome {
        let key = CacheKey::of(self.kind_of(credential), credential);
        let asked = self.clock.monotonic();
        if let Some(kept) = self.cache.get(&key)
            && self.validity(&kept, asked) == Validity::Valid
        {
            self.metrics.cache(CacheOutcome::Hit);
            return Ok(kept);
        }
        // Boxed: a future that waits takes much room, and most requests wait for nothing.
        let found = Box::pin(self.resolve(key, credential, asked));
        match tokio::time::timeout(self.config.store_timeout, found).await {
            Ok(Err(DenialCode::StoreUnavailable)) | Err(_) => {
                self.serve_stale(&key).ok_or(DenialCode::StoreUnavailable)
            }
            Ok(outcome) => outcome,
        }
    }

    /// Serves the cached decision although it is stale, while the store gives no answer. Not where
    /// something is known to have changed, and not for longer than the operator allows.
    fn serve_stale(&self, key: &CacheKey) -> Option<Arc<CachedDecision>> {
        let kept = self.cache.get(key)?;
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let is_believed = kept.token.is_valid(now, at)
            && kept.is_fresh(now, at, |_| self.config.stale_if_error)
            && self.epoch_status(&kept) != EpochStatus::Changed;
        is_believed.then(|| self.metrics.cache(CacheOutcome::Stale)).map(|()| kept)
    }

    /// Resolves a cache miss together with all callers that ask for the same. The answer is never
    /// older than the request: a call that was in flight already may be older, and its answer is
    /// not taken.
    async fn resolve(&self, key: CacheKey, credential: &str, asked: Duration) -> Outcome {
        for _ in 0..MAX_ROUNDS {
            let found = self.single_flight.join(key, self.load(key, credential)).await?;
            let was_read_since = found.read.is_none_or(|read| read.at >= asked);
            match self.validity(&found, asked) {
                Validity::Valid => return Ok(found),
                // Events may have been lost meanwhile, but this caller asked before the reading
                // began.
                Validity::SessionStale
                    if was_read_since && self.epoch_status(&found) != EpochStatus::Changed =>
                {
                    return Ok(found);
                }
                Validity::SessionStale | Validity::TokenStale => {}
            }
        }
        Err(DenialCode::StoreUnavailable)
    }

    /// Loads a decision into the cache. Only the session is read where the token is known to be
    /// good.
    async fn load(&self, key: CacheKey, credential: &str) -> Outcome {
        let kept = self.cache.get(&key);
        let validity = kept.as_ref().map(|kept| self.validity(kept, self.clock.monotonic()));
        let previous = match (&kept, validity) {
            // Somebody else loaded it between our look-up in the cache and now.
            (Some(kept), Some(Validity::Valid)) => return Ok(Arc::clone(kept)),
            (Some(kept), Some(Validity::SessionStale)) => Some(Arc::clone(kept)),
            _ => None,
        };
        let outcome = self.compute(&key, credential, previous, kept.is_some()).await;
        match &outcome {
            Ok(decision) => self.cache.insert(key, Arc::clone(decision)),
            // A failure without an answer does not mean that the credential is bad; it is asked
            // again.
            Err(code) if kept.is_some() && code.class() != Class::Unavailable => {
                self.cache.invalidate(&key);
            }
            Err(_) => {}
        }
        outcome
    }

    fn validity(&self, decision: &CachedDecision, at: Duration) -> Validity {
        let now = self.clock.now();
        if !decision.token.is_valid(now, at) {
            return Validity::TokenStale;
        }
        let is_fresh = decision.is_fresh(now, at, |read| read.max_age);
        if is_fresh && self.epoch_status(decision) == EpochStatus::Current {
            Validity::Valid
        } else {
            Validity::SessionStale
        }
    }

    /// The epoch status of a decision: the worst of those of its session, of its handle, and of the
    /// key that signed the token for the application.
    fn epoch_status(&self, decision: &CachedDecision) -> EpochStatus {
        let epoch = decision.read.as_ref().and_then(|read| read.epoch.as_ref());
        let of_session = epoch.map(|epoch| self.sessions.status(epoch));
        let of_handle = decision.handle.as_ref().map(|epoch| {
            self.handles.as_ref().map_or(EpochStatus::Changed, |handles| handles.status(epoch))
        });
        let status = |by| self.upstream.as_ref().map_or(EpochStatus::Changed, |it| it.status(by));
        let of_key = decision.signed.as_ref().map(status);
        of_session.max(of_handle).max(of_key).unwrap_or(EpochStatus::Current)
    }
}

impl CachedDecision {
    fn memory_size(&self) -> u32 {
        memory_size(&self.token, self.session.as_ref(), &self.headers)
    }

    /// Returns whether the session has not expired, and the reading is younger than the limit by
    /// either clock.
    fn is_fresh(
        &self,
        now: UnixTime,
        at: Duration,
        limit: impl FnOnce(&StoreRead) -> Duration,
    ) -> bool {
        let Some(read) = &self.read else { return true };
        let age = at.saturating_sub(read.at).max(now.since(read.wall));
        let is_alive = self.session.as_ref().is_none_or(|session| now < session.expires);
        is_alive && age < limit(read)
    }
}

#[cfg(test)]
mod tests;

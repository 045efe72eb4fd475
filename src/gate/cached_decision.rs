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
//! Sessions in use are read again ahead of time, so that hardly a request waits for that.
//!
//! Nothing in the cache expires by itself and nothing is ever flushed from it, since both make some
//! request wait. A decision that is no longer valid is replaced when it is asked for, and is pushed
//! out when room is needed.

mod basis;
mod compute;
mod decision;
mod fingerprint_table;
mod head_cache;
mod key;
mod kinds;
mod memory_size;
mod passwords;
mod recall;
mod refresh_ahead;
mod validity;

use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;

pub(super) use compute::session_of;
pub use decision::CachedDecision;
pub use key::{CacheKey, CredentialKind};

use super::api_key::ApiKeys;
use super::basic::BasicAccounts;
use super::denial::{Class, Denial, DenialCode};
use super::handle::Handles;
use super::identity::IdentityHeaders;
use super::introspection::Introspection;
use super::metrics::{CacheOutcome, GateMetrics};
use super::requester::Origin;
use super::single_flight::SingleFlight;
use super::ticket::AcceptedTickets;
use super::upstream::UpstreamJwt;
use super::verification_pool::VerificationPool;
use crate::clock::{Clock, Moment};
use crate::secret::SystemRandom;
use crate::session::Sessions;
use crate::store::EpochStatus;
use crate::token::Verifier;
use basis::Presented;
use fingerprint_table::FingerprintTable;
use head_cache::HeadCache;
use refresh_ahead::RefreshAhead;
use validity::Validity;

/// No answer is kept on its way.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The table of the first level has this part of the room, one in so many bytes: some three slots for each decision
/// that fits into the rest.
const FIRST_LEVEL_SHARE: u64 = 32;
/// The number of times that a revocation may overtake an answer before the request is refused.
const MAX_ROUNDS: usize = 4;

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
    /// True where heads are remembered that were answered, to answer them again sooner.
    pub remembers_heads: bool,
}

impl CacheConfig {
    /// A cache with this bound, also while the store is down; 64 MiB, and 180 ms for one request.
    pub fn with_staleness(staleness: Duration) -> Self {
        let store_timeout = Duration::from_millis(180);
        let (bytes, remembers_heads) = (64 << 20, true);
        Self { staleness, stale_if_error: staleness, store_timeout, bytes, remembers_heads }
    }
}

type Outcome = Result<CachedDecision, Denial>;

/// The decisions that this process remembers.
#[derive(Debug)]
pub struct DecisionCache {
    verifier: Arc<Verifier>,
    /// The threads that verify; without them whoever asks does it, as in commands.
    pool: Option<VerificationPool>,
    sessions: Arc<Sessions>,
    handles: Option<Handles>,
    api_keys: Option<ApiKeys>,
    basic: Option<BasicAccounts>,
    introspection: Option<Introspection>,
    tickets: Option<AcceptedTickets>,
    identity: IdentityHeaders,
    upstream: Option<UpstreamJwt>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    /// The decisions that were asked for more than once; without randomness there are none.
    first_level: Option<Arc<FingerprintTable<CachedDecision>>>,
    heads: Option<HeadCache>,
    /// The bytes of both tables, which the room bounds too.
    tables: u64,
    cache: Cache<CacheKey, CachedDecision, RandomState>,
    /// The headers of an answer, in order, but with other values.
    header_names: Arc<HeaderMap>,
    single_flight: SingleFlight<CacheKey, Outcome>,
    refresh_ahead: Option<RefreshAhead>,
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
        let room = config.bytes / FIRST_LEVEL_SHARE;
        let first_level =
            FingerprintTable::<CachedDecision>::new(room, config.bytes, &SystemRandom);
        let first_level = first_level.ok().map(Arc::new);
        let heads = config.remembers_heads.then(|| HeadCache::new(config.bytes, &SystemRandom));
        let heads = heads.and_then(Result::ok);
        let tables = first_level.as_ref().map_or(0, |table| table.bytes())
            + heads.as_ref().map_or(0, HeadCache::bytes);
        let dropped = first_level.clone();
        let cache = Cache::builder()
            .max_capacity(config.bytes - tables)
            .weigher(|_, decision: &CachedDecision| decision.memory_size)
            .eviction_listener(move |_, decision: CachedDecision, _| {
                if let (Some(table), Some(places)) = (&dropped, decision.places) {
                    table.remove(places.first, |kept| kept.is_same(&decision));
                }
            })
            .build_with_hasher(RandomState::default());
        // An answer that is already old when it is read is fresh for so much less.
        let lag = sessions.lag();
        let config = CacheConfig {
            staleness: config.staleness.saturating_sub(lag),
            stale_if_error: config.stale_if_error.saturating_sub(lag),
            ..config
        };
        let new = Self {
            verifier,
            pool: None,
            sessions,
            handles: None,
            api_keys: None,
            basic: None,
            introspection: None,
            tickets: None,
            identity,
            upstream: None,
            config,
            clock,
            first_level,
            heads,
            tables,
            cache,
            header_names: Arc::default(),
            single_flight: SingleFlight::default(),
            refresh_ahead: None,
            metrics,
        };
        new.with_header_names()
    }

    fn with_header_names(self) -> Self {
        let header_names = Arc::new(self.headers_of_nobody());
        Self { header_names, ..self }
    }

    /// The same, whose tokens are verified by the threads of this pool.
    #[must_use]
    pub fn with_verification_pool(self, pool: VerificationPool) -> Self {
        Self { pool: Some(pool), ..self }
    }

    /// The number of tokens that wait to be verified.
    pub fn waiting_verifications(&self) -> usize {
        self.pool.as_ref().map_or(0, VerificationPool::waiting)
    }

    /// The same, with a signed token for the application in each answer.
    #[must_use]
    pub fn with_upstream_jwt(self, upstream: UpstreamJwt) -> Self {
        Self { upstream: Some(upstream), ..self }.with_header_names()
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

    /// The present moment.
    pub(super) fn moment(&self) -> Moment {
        Moment::now(&*self.clock)
    }

    /// The verifier of tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The number of decisions that are being made.
    pub fn in_flight(&self) -> usize {
        self.single_flight.in_flight()
    }

    /// Returns whether tokens of every issuer could be verified now.
    pub fn has_keys(&self) -> bool {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        self.verifier.issuers().iter().all(|issuer| issuer.keys.is_usable(now, at))
    }

    /// The number of decisions in the cache, and their estimated memory in bytes; both as of the
    /// last maintenance.
    pub fn size(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size() + self.tables)
    }

    /// Decides about a token, a handle or an API key: from the cache where its entry is valid.
    /// Otherwise `origin` waits for his turn to have a token verified.
    ///
    /// # Errors
    /// The reason why it is not good now.
    pub async fn decide(&self, credential: &str, origin: &Origin<'_>) -> Outcome {
        if let Some(decision) = self.recall(credential.as_bytes(), self.moment()) {
            self.count_hit();
            return Ok(decision);
        }
        self.look_up(credential, origin).await
    }

    /// The same for a credential that was just not recalled.
    ///
    /// # Errors
    /// The reason why it is not good now.
    pub(super) async fn look_up(&self, credential: &str, origin: &Origin<'_>) -> Outcome {
        let kind = self.kind_of(credential);
        let key = CacheKey::of(kind, credential);
        let resolve = |asked| self.resolve(key, Presented::Text(credential, origin), asked);
        self.decide_about(key, self.longest_wait(kind), resolve).await
    }

    /// The longest time that a decision about a text may take: the questions to the stores, and what
    /// comes before them.
    fn longest_wait(&self, kind: CredentialKind) -> Duration {
        let before = match (kind, &self.introspection, &self.pool) {
            (CredentialKind::Introspected(_), Some(issuers), _) => issuers.longest_wait(),
            (CredentialKind::Jwt, _, Some(pool)) => pool.longest_wait(),
            _ => Duration::ZERO,
        };
        self.config.store_timeout.saturating_add(before)
    }

    /// Takes a decision from the cache where it is valid, and resolves a miss otherwise.
    async fn decide_about<R: Future<Output = Outcome>>(
        &self,
        key: CacheKey,
        timeout: Duration,
        resolve: impl FnOnce(Moment) -> R,
    ) -> Outcome {
        let asked = self.moment();
        if let Some(kept) = self.cache.get(&key)
            && self.validity(&kept, asked) == Validity::Valid
        {
            self.remember(&kept);
            self.refresh_if_due(&kept, kept.reading().as_ref(), asked.at);
            self.metrics.cache(CacheOutcome::Hit);
            return Ok(kept);
        }
        // Boxed: a future that waits takes much room, and most requests wait for nothing.
        let found = Box::pin(resolve(asked));
        let unavailable = DenialCode::StoreUnavailable;
        let found = tokio::time::timeout(timeout, found).await;
        match found.unwrap_or_else(|_| Err(unavailable.into())) {
            Err(denial) if denial.code == unavailable => self.serve_stale(&key).ok_or(denial),
            outcome => outcome,
        }
    }

    /// Resolves a cache miss together with all callers that ask for the same. The answer is never
    /// older than the request: a call that was in flight already may be older, and its answer is
    /// not taken.
    async fn resolve(&self, key: CacheKey, presented: Presented<'_>, asked: Moment) -> Outcome {
        for _ in 0..MAX_ROUNDS {
            let found = self.single_flight.join(key, self.load(key, presented)).await?;
            let was_read_since = found.reading().is_none_or(|read| read.at >= asked.at);
            let now = Moment { wall: self.clock.now(), ..asked };
            match self.validity(&found, now) {
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
        Err(DenialCode::StoreUnavailable.into())
    }

    /// Loads a decision into the cache. Only the session is read where the token is known to be
    /// good.
    async fn load(&self, key: CacheKey, presented: Presented<'_>) -> Outcome {
        // A miss is counted once a request: counted twice, all that is used once would seem to be used
        // twice, and would push out what is used now and then.
        let is_kept = self.cache.contains_key(&key);
        let kept = is_kept.then(|| self.cache.get(&key)).flatten();
        let validity = kept.as_ref().map(|kept| self.validity(kept, self.moment()));
        let previous = match (&kept, validity) {
            // Somebody else loaded it between our look-up in the cache and now.
            (Some(kept), Some(Validity::Valid)) => return Ok(kept.clone()),
            (Some(kept), Some(Validity::SessionStale)) => Some(kept.clone()),
            _ => None,
        };
        let outcome = self.compute(&key, presented, previous, kept.is_some()).await;
        match &outcome {
            Ok(decision) if kept.as_ref().is_some_and(|kept| kept.is_same(decision)) => {}
            Ok(decision) => {
                self.cache.insert(key, decision.clone());
                self.first_level.iter().for_each(|table| table.on_filled(decision.memory_size));
            }
            // A failure without an answer does not mean that the credential is bad; it is asked
            // again.
            Err(denial) if kept.is_some() && denial.code.class() != Class::Unavailable => {
                self.cache.invalidate(&key);
            }
            Err(_) => {}
        }
        outcome
    }
}

#[cfg(test)]
mod tests;

//! Whether a credential is good now, remembered for as long as that may be believed.
//!
//! An [`Admission`] holds all that was found about one token: its claims, its session, the headers
//! made from them. It is kept by the digest of the token and looked at again at every request: a
//! few comparisons tell whether it still stands. Where the token itself is out of date it is
//! verified again; where only the session was last read too long ago, or may have ended since,
//! the session alone is read again. Nothing in the cache expires by itself and nothing is ever
//! flushed from it, since both make some request wait: what no longer stands is replaced when it
//! is asked for, and pushed out when room is needed.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;

use super::denial::{Class, DenialCode};
use super::flights::Flights;
use super::identity::IdentityHeaders;
use super::metrics::{CacheOutcome, GateMetrics};
use super::weight::weight;
use crate::clock::{Clock, UnixTime};
use crate::session::{Mark, Session, SessionId, Sessions, UserId};
use crate::token::{Verified, Verifier};

/// How often an answer may be overtaken by revocations before the request is refused.
const MOST_ROUNDS: usize = 4;

/// All that was found about one good token.
#[derive(Debug)]
pub struct Admission {
    /// The token.
    pub token: Arc<Verified>,
    /// Its session, where it has one.
    pub session: Option<Session>,
    /// The headers of the answer: who it is, for the application, and that it must not be kept.
    pub headers: HeaderMap,
    /// When the session was read, on the monotonic clock, and what was revoked by then.
    read: Option<(Duration, Mark)>,
}

/// What an answer depends on: what kind of credential it is for, and every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    kind: CredentialKind,
    digest: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CredentialKind {
    Jwt,
}

impl CacheKey {
    /// The key of a token. Two tokens with one key would be a collision of SHA-256.
    pub fn of_token(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self { kind: CredentialKind::Jwt, digest: bytes }
    }
}

/// How far an admission can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stands,
    SessionUnsure,
    TokenUnsure,
}

/// On what terms admissions are kept.
#[derive(Clone, Copy, Debug)]
pub struct CacheTerms {
    /// How long a session may be believed to live without asking again: the bound on how late a
    /// revocation elsewhere is learnt of. Zero asks for every request.
    pub staleness: Duration,
    /// The room for all admissions together, in bytes.
    pub bytes: u64,
}

type Outcome = Result<Arc<Admission>, DenialCode>;

/// The admissions of this process.
#[derive(Debug)]
pub struct Admissions {
    verifier: Arc<Verifier>,
    sessions: Arc<Sessions>,
    identity: IdentityHeaders,
    staleness: Duration,
    clock: Arc<dyn Clock>,
    cache: Cache<CacheKey, Arc<Admission>>,
    flights: Flights<CacheKey, Outcome>,
    metrics: GateMetrics,
}

impl Admissions {
    /// An empty cache in front of `verifier` and `sessions`.
    pub fn new(
        verifier: Arc<Verifier>,
        sessions: Arc<Sessions>,
        identity: IdentityHeaders,
        terms: CacheTerms,
        clock: Arc<dyn Clock>,
        metrics: GateMetrics,
    ) -> Self {
        let cache = Cache::builder()
            .max_capacity(terms.bytes)
            .weigher(|_, admission: &Arc<Admission>| admission.weight())
            .build();
        Self {
            verifier,
            sessions,
            identity,
            staleness: terms.staleness,
            clock,
            cache,
            flights: Flights::default(),
            metrics,
        }
    }

    /// The verifier of tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether tokens of every issuer could be verified now.
    pub fn has_keys(&self) -> bool {
        let now = self.clock.monotonic();
        self.verifier.issuers().iter().all(|issuer| issuer.keys.is_usable(now))
    }

    /// How many admissions are kept, and their weight in bytes; both as of the last maintenance.
    pub fn size(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// What is known about `token`: from memory where that can be believed.
    ///
    /// # Errors
    /// Why the token is not good now.
    pub async fn admit(&self, token: &str) -> Outcome {
        let key = CacheKey::of_token(token);
        let asked = self.clock.monotonic();
        if let Some(kept) = self.cache.get(&key)
            && self.standing(&kept, asked) == Standing::Stands
        {
            self.metrics.cache(CacheOutcome::Hit);
            return Ok(kept);
        }
        // Boxed: what waits takes much room, and most requests wait for nothing.
        Box::pin(self.find_out(key, token, asked)).await
    }

    /// Finds out together with whoever asks for the same token, and makes sure that the answer is
    /// not older than the question: one that was under way already may be.
    async fn find_out(&self, key: CacheKey, token: &str, asked: Duration) -> Outcome {
        for _ in 0..MOST_ROUNDS {
            let found = self.flights.join(key, self.look(key, token)).await?;
            let was_read_since = found.read.is_none_or(|(read_at, _)| read_at >= asked);
            match self.standing(&found, asked) {
                Standing::Stands => return Ok(found),
                Standing::SessionUnsure if was_read_since && self.no_news_of(&found) => {
                    return Ok(found);
                }
                Standing::SessionUnsure | Standing::TokenUnsure => {}
            }
        }
        Err(DenialCode::StoreUnavailable)
    }

    /// Verifies, reads and remembers; the session alone where the token is known to be good.
    async fn look(&self, key: CacheKey, token: &str) -> Outcome {
        let kept = self.cache.get(&key);
        let standing = kept.as_ref().map(|kept| self.standing(kept, self.clock.monotonic()));
        let known_good = match (&kept, standing) {
            // Somebody else found out between our look at the cache and now.
            (Some(kept), Some(Standing::Stands)) => return Ok(Arc::clone(kept)),
            (Some(kept), Some(Standing::SessionUnsure)) => Some(Arc::clone(&kept.token)),
            _ => None,
        };
        let outcome = self.look_afresh(token, known_good).await;
        match &outcome {
            Ok(admission) => self.cache.insert(key, Arc::clone(admission)),
            // What failed for want of an answer was not found bad; it is asked again.
            Err(code) if kept.is_some() && code.class() != Class::Unavailable => {
                self.cache.invalidate(&key);
            }
            Err(_) => {}
        }
        outcome
    }

    async fn look_afresh(&self, token: &str, known_good: Option<Arc<Verified>>) -> Outcome {
        if let Some(verified) = known_good {
            self.metrics.cache(CacheOutcome::Recheck);
            return self.complete(verified).await;
        }
        self.metrics.cache(CacheOutcome::Miss);
        self.complete(Arc::new(self.verifier.verify(token)?)).await
    }

    /// Reads the session of a good token, and makes the headers.
    async fn complete(&self, token: Arc<Verified>) -> Outcome {
        let (session, read) = match session_of(&token)? {
            None => (None, None),
            Some((user, id)) => {
                let read = (self.clock.monotonic(), self.sessions.mark(&user, &id));
                let live = self.sessions.live(&user, &id).await;
                let session = live.map_err(|reason| DenialCode::from(&reason))?;
                (Some(session), Some(read))
            }
        };
        let identity = self.identity.render(&token, session.as_ref());
        let mut headers = identity.map_err(|_| DenialCode::IdentityTooLarge)?;
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Arc::new(Admission { token, session, headers, read }))
    }

    fn standing(&self, admission: &Admission, at: Duration) -> Standing {
        let now = self.clock.now();
        if !admission.token.still_stands(now, at) {
            return Standing::TokenUnsure;
        }
        if admission.session_is_fresh(now, at, self.staleness) && self.no_news_of(admission) {
            Standing::Stands
        } else {
            Standing::SessionUnsure
        }
    }

    fn no_news_of(&self, admission: &Admission) -> bool {
        admission.read.as_ref().is_none_or(|(_, mark)| self.sessions.is_current(mark))
    }
}

impl Admission {
    fn weight(&self) -> u32 {
        weight(&self.token, self.session.as_ref(), &self.headers)
    }

    fn session_is_fresh(&self, now: UnixTime, at: Duration, staleness: Duration) -> bool {
        match (&self.session, &self.read) {
            (Some(session), Some((read_at, _))) => {
                now < session.expires && at.saturating_sub(*read_at) < staleness
            }
            _ => true,
        }
    }
}

/// Whose session the token names, if it names one.
pub(super) fn session_of(token: &Verified) -> Result<Option<(UserId, SessionId)>, DenialCode> {
    let Some(id) = &token.session else {
        return Ok(None);
    };
    let user = UserId::parse(&token.subject).map_err(|_| DenialCode::BadClaim)?;
    let id = SessionId::parse(id).map_err(|_| DenialCode::BadClaim)?;
    Ok(Some((user, id)))
}

#[cfg(test)]
mod tests;

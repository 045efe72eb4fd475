//! Whether a credential is good now, remembered for as long as that may be believed.
//!
//! An [`Admission`] holds all that was found about one credential, a token or a handle: its claims,
//! its session, the headers made from them. It is kept by the digest of the credential and looked
//! at again at every request: a few comparisons tell whether it still stands. Where the token itself
//! is out of date it is verified again; where only the session was last read too long ago, or may
//! have ended since, the session alone is read again, and with it what a handle stands for. Where
//! the store gives no answer, what it said last is believed a little longer, as far as the operator
//! allows and unless more is known.
//!
//! Nothing in the cache expires by itself and nothing is ever flushed from it, since both make some
//! request wait: what no longer stands is replaced when it is asked for, and pushed out when room
//! is needed.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;

use super::denial::{Class, DenialCode};
use super::flights::Flights;
use super::handle::{Handles, is_handle};
use super::identity::{self, IdentityHeaders};
use super::metrics::{CacheOutcome, GateMetrics};
use super::upstream::{SignedBy, UpstreamJwt};
use super::weight::weight;
use crate::clock::{Clock, UnixTime};
use crate::opaque::TokenMark;
use crate::session::{Mark, Session, SessionId, Sessions, Since, UserId};
use crate::token::{Verified, Verifier};

/// How often an answer may be overtaken by revocations before the request is refused.
const MOST_ROUNDS: usize = 4;

/// All that was found about one good credential.
#[derive(Debug)]
pub struct Admission {
    /// The token, or what the handle stands for.
    pub token: Arc<Verified>,
    /// Its session, where it has one.
    pub session: Option<Session>,
    /// The headers of the answer: who it is, for the application, and that it must not be kept.
    pub headers: HeaderMap,
    /// Of one that depends on a store: when and how that was read.
    read: Option<Read>,
    /// Of a handle: what had been changed by the time that it was read.
    handle: Option<TokenMark>,
    /// Who signed the token for the application, where there is one.
    signed: Option<SignedBy>,
}

/// How a session was read.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// When, on the monotonic clock, which nobody can set back.
    at: Duration,
    /// When, on the wall's, which goes on while the host sleeps.
    wall: UnixTime,
    /// What was revoked by then.
    mark: Mark,
    /// For how long it is believed where nothing is heard: the bound, or a little less.
    believed_for: Duration,
}

/// A credential that is good by itself; whether its session lives is another question.
struct Good<'c> {
    credential: &'c str,
    token: Arc<Verified>,
    handle: Option<TokenMark>,
    /// From when on all of it was looked at, on both clocks.
    since: (Duration, UnixTime),
    /// For how long what is read now is believed where nothing is heard.
    believed_for: Duration,
    /// What was known before.
    earlier: Option<Arc<Admission>>,
}

/// What an answer depends on: what kind of credential it is for, and every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    kind: CredentialKind,
    digest: [u8; 32],
}

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A signed token.
    Jwt,
    /// A name for one that is kept here.
    Handle,
}

impl CacheKey {
    /// The key of a credential. Two of a kind with one key would be a collision of SHA-256.
    pub fn of(kind: CredentialKind, credential: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, credential.as_bytes()).as_ref());
        Self { kind, digest: bytes }
    }

    /// The bound for this credential: up to a quarter less, by what is random in its digest, so
    /// that those which were read at once, after the store was away, are not read at once for ever.
    fn spread(&self, bound: Duration) -> Duration {
        bound.saturating_sub(bound * u32::from(self.digest[0]) / 1_024)
    }
}

/// How far an admission can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stands,
    /// What the stores said may be outdated: on the session, and on a handle.
    SessionUnsure,
    TokenUnsure,
}

/// On what terms admissions are kept.
#[derive(Clone, Copy, Debug)]
pub struct CacheTerms {
    /// How long a session may be believed to live without asking again: the bound on how late a
    /// revocation elsewhere is learnt of. Zero asks for every request.
    pub staleness: Duration,
    /// How long it may be believed while the store gives no answer, from when it was read.
    pub when_down: Duration,
    /// How long all questions to the stores for one request may take together.
    pub patience: Duration,
    /// The room for all admissions together, in bytes.
    pub bytes: u64,
}

impl CacheTerms {
    /// With this bound, also while the store is down; 64 MiB, and 180 ms for one request.
    pub fn within(staleness: Duration) -> Self {
        let patience = Duration::from_millis(180);
        Self { staleness, when_down: staleness, patience, bytes: 64 << 20 }
    }
}

type Outcome = Result<Arc<Admission>, DenialCode>;

/// The admissions of this process.
#[derive(Debug)]
pub struct Admissions {
    verifier: Arc<Verifier>,
    sessions: Arc<Sessions>,
    handles: Option<Handles>,
    identity: IdentityHeaders,
    upstream: Option<UpstreamJwt>,
    terms: CacheTerms,
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
        // What is already old when it is read is believed for so much less.
        let lag = sessions.lag();
        let terms = CacheTerms {
            staleness: terms.staleness.saturating_sub(lag),
            when_down: terms.when_down.saturating_sub(lag),
            ..terms
        };
        Self {
            verifier,
            sessions,
            handles: None,
            identity,
            upstream: None,
            terms,
            clock,
            cache,
            flights: Flights::default(),
            metrics,
        }
    }

    /// The same, with `handles` accepted beside tokens.
    #[must_use]
    pub fn with_handles(self, handles: Handles) -> Self {
        Self { handles: Some(handles), ..self }
    }

    /// The same, with a signed token for the application in each answer.
    #[must_use]
    pub fn with_upstream_jwt(self, upstream: UpstreamJwt) -> Self {
        Self { upstream: Some(upstream), ..self }
    }

    /// The verifier of tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The handles, where they are accepted.
    pub fn handles(&self) -> Option<&Handles> {
        self.handles.as_ref()
    }

    /// What kind of credential this is taken for: where handles are accepted, whatever has their
    /// form is one; all else is a token, be it a bad one.
    pub fn kind_of(&self, credential: &str) -> CredentialKind {
        if self.handles.is_some() && is_handle(credential) {
            CredentialKind::Handle
        } else {
            CredentialKind::Jwt
        }
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether tokens of every issuer could be verified now.
    pub fn has_keys(&self) -> bool {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        self.verifier.issuers().iter().all(|issuer| issuer.keys.is_usable(now, at))
    }

    /// How many admissions are kept, and their weight in bytes; both as of the last maintenance.
    pub fn size(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// What is known about a token or handle: from memory where that can be believed.
    ///
    /// # Errors
    /// Why it is not good now.
    pub async fn admit(&self, credential: &str) -> Outcome {
        let key = CacheKey::of(self.kind_of(credential), credential);
        let asked = self.clock.monotonic();
        if let Some(kept) = self.cache.get(&key)
            && self.standing(&kept, asked) == Standing::Stands
        {
            self.metrics.cache(CacheOutcome::Hit);
            return Ok(kept);
        }
        // Boxed: what waits takes much room, and most requests wait for nothing.
        let found = Box::pin(self.find_out(key, credential, asked));
        match tokio::time::timeout(self.terms.patience, found).await {
            Ok(Err(DenialCode::StoreUnavailable)) | Err(_) => {
                self.without_store(&key).ok_or(DenialCode::StoreUnavailable)
            }
            Ok(outcome) => outcome,
        }
    }

    /// What is remembered, where it may be believed although the store gives no answer: not where
    /// something is known to have changed, and not for longer than the operator allows.
    fn without_store(&self, key: &CacheKey) -> Option<Arc<Admission>> {
        let kept = self.cache.get(key)?;
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let is_believed = kept.token.still_stands(now, at)
            && kept.session_is_fresh(now, at, |_| self.terms.when_down)
            && self.since(&kept) != Since::Change;
        is_believed.then(|| self.metrics.cache(CacheOutcome::Stale)).map(|()| kept)
    }

    /// Finds out together with whoever asks for the same, and makes sure that the answer is not
    /// older than the question: one that was under way already may be.
    async fn find_out(&self, key: CacheKey, credential: &str, asked: Duration) -> Outcome {
        for _ in 0..MOST_ROUNDS {
            let found = self.flights.join(key, self.look(key, credential)).await?;
            let was_read_since = found.read.is_none_or(|read| read.at >= asked);
            match self.standing(&found, asked) {
                Standing::Stands => return Ok(found),
                // Whatever was missed, it was not missed by who asked only afterwards.
                Standing::SessionUnsure
                    if was_read_since && self.since(&found) != Since::Change =>
                {
                    return Ok(found);
                }
                Standing::SessionUnsure | Standing::TokenUnsure => {}
            }
        }
        Err(DenialCode::StoreUnavailable)
    }

    /// Verifies, reads and remembers; the session alone where the token is known to be good.
    async fn look(&self, key: CacheKey, credential: &str) -> Outcome {
        let kept = self.cache.get(&key);
        let standing = kept.as_ref().map(|kept| self.standing(kept, self.clock.monotonic()));
        let earlier = match (&kept, standing) {
            // Somebody else found out between our look at the cache and now.
            (Some(kept), Some(Standing::Stands)) => return Ok(Arc::clone(kept)),
            (Some(kept), Some(Standing::SessionUnsure)) => Some(Arc::clone(kept)),
            _ => None,
        };
        let outcome = self.look_afresh(&key, credential, earlier, kept.is_some()).await;
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

    /// Asks whoever has to be asked, given what was known `earlier` and is still good by itself;
    /// where it `is_known`, the credential was good once.
    async fn look_afresh(
        &self,
        key: &CacheKey,
        credential: &str,
        earlier: Option<Arc<Admission>>,
        is_known: bool,
    ) -> Outcome {
        self.metrics.cache(if earlier.is_some() {
            CacheOutcome::Recheck
        } else {
            CacheOutcome::Miss
        });
        let since = (self.clock.monotonic(), self.clock.now());
        let known = earlier.as_ref().map(|earlier| Arc::clone(&earlier.token));
        let (token, handle) = match (key.kind, &self.handles) {
            (CredentialKind::Handle, Some(handles)) => {
                let (found, mark) = handles.verify(credential, is_known, &self.verifier).await?;
                let is_same = |known: &Arc<Verified>| {
                    known.usable_until == found.usable_until && known.claims == found.claims
                };
                let same = known.filter(is_same);
                (same.unwrap_or_else(|| Arc::new(found)), Some(mark))
            }
            (CredentialKind::Handle | CredentialKind::Jwt, _) => match known {
                Some(known) => (known, None),
                None => (Arc::new(self.verifier.verify(credential)?), None),
            },
        };
        let believed_for = key.spread(self.terms.staleness);
        self.complete(Good { credential, token, handle, since, believed_for, earlier }).await
    }

    /// Reads the session of a good credential, and makes the headers.
    async fn complete(&self, good: Good<'_>) -> Outcome {
        let (session, read) = match session_of(&good.token)? {
            None => (None, None),
            Some((user, id)) => {
                let ((at, wall), mark) = (good.since, self.sessions.mark(&user, &id));
                let read = Read { at, wall, mark, believed_for: good.believed_for };
                let live = self.sessions.live(&user, &id).await;
                let session = live.map_err(|reason| DenialCode::from(&reason))?;
                (Some(session), Some(read))
            }
        };
        let (headers, signed) = self.headers(&good, session.as_ref())?;
        let Good { token, handle, .. } = good;
        Ok(Arc::new(Admission { token, session, headers, read, handle, signed }))
    }

    /// The headers of the answer, and who signed the token among them.
    fn headers(
        &self,
        good: &Good<'_>,
        session: Option<&Session>,
    ) -> Result<(HeaderMap, Option<SignedBy>), DenialCode> {
        let mut headers = self.identity.render(&good.token, session)?;
        let mut signed = None;
        if let Some(upstream) = &self.upstream {
            let (value, by) = match signed_before(upstream, good) {
                Some(before) => before,
                None => upstream
                    .value(&good.token, good.credential)
                    .map_err(|_| DenialCode::KeysUnavailable)?,
            };
            identity::add(&mut headers, upstream.header().clone(), value)?;
            signed = Some(by);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok((headers, signed))
    }

    fn standing(&self, admission: &Admission, at: Duration) -> Standing {
        let now = self.clock.now();
        if !admission.token.still_stands(now, at) {
            return Standing::TokenUnsure;
        }
        let is_fresh = admission.session_is_fresh(now, at, |read| read.believed_for);
        if is_fresh && self.since(admission) == Since::Nothing {
            Standing::Stands
        } else {
            Standing::SessionUnsure
        }
    }

    /// What was learnt since the admission was found out; the worst of what concerns its session,
    /// its handle, and the key that signed the token for the application.
    fn since(&self, admission: &Admission) -> Since {
        let of_session = admission.read.as_ref().map(|read| self.sessions.since(&read.mark));
        let of_handle = admission
            .handle
            .as_ref()
            .map(|mark| self.handles.as_ref().map_or(Since::Change, |handles| handles.since(mark)));
        let is_outdated = |by| self.upstream.as_ref().is_none_or(|it| !it.is_current(by));
        let of_key = admission.signed.as_ref().filter(|by| is_outdated(by)).map(|_| Since::Change);
        of_session.max(of_handle).max(of_key).unwrap_or(Since::Nothing)
    }
}

impl Admission {
    fn weight(&self) -> u32 {
        weight(&self.token, self.session.as_ref(), &self.headers)
    }

    /// Whether the session has not expired, and was read less than so long ago by either clock.
    fn session_is_fresh(
        &self,
        now: UnixTime,
        at: Duration,
        limit: impl FnOnce(&Read) -> Duration,
    ) -> bool {
        match (&self.session, &self.read) {
            (Some(session), Some(read)) => {
                let age = at.saturating_sub(read.at).max(now.since(read.wall));
                now < session.expires && age < limit(read)
            }
            _ => true,
        }
    }
}

/// Signing takes its time, so what was signed is used for as long as it says the same, and would
/// be signed by the same.
fn signed_before(upstream: &UpstreamJwt, good: &Good<'_>) -> Option<(HeaderValue, SignedBy)> {
    let earlier = good.earlier.as_ref()?;
    let by = earlier.signed.as_ref().filter(|by| upstream.is_current(by))?;
    let value = earlier.headers.get(upstream.header())?;
    Arc::ptr_eq(&earlier.token, &good.token).then(|| (value.clone(), by.clone()))
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

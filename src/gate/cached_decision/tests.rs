//! The cache of decisions in front of a store that counts its reads, fails and waits on demand.

mod batches;
mod confirmation;
mod from_memory;
mod head_cache;
mod passwords;
mod refresh_ahead;
mod revocation;
mod staleness;
mod store_outage;
mod tickets;
mod verification;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::session::{
    Filter, FoundSession, InvalidatedRecord, MemoryStore, Session, SessionId, SessionKey,
    SessionPolicy, SessionStore, UserId,
};
use crate::store::invalidation::{InvalidationEvent, InvalidationListener as _};
use crate::store::{StoreError, StoreMetrics};
use crate::token::{Algorithm, Issuer, KeyRing, SigningKey, UsableUntil, key};

const NOW: u64 = 1_800_000_000;
const STALENESS: Duration = Duration::from_secs(1);
const CACHE_BYTES: u64 = 1 << 20;

/// A store that counts its questions, and can be made to fail or to wait. It cannot read the sessions `unreadable…`.
#[derive(Debug)]
struct ProbedStore {
    inner: MemoryStore,
    reads: AtomicU64,
    is_down: AtomicBool,
    /// A read takes its answer, then waits for one of these before it hands it out.
    may_answer: Semaphore,
    lag: Duration,
}

#[async_trait]
impl SessionStore for ProbedStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        self.inner.put(session).await
    }
    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut found = self.inner.get_many(keys).await;
        for ((_, id), found) in keys.iter().zip(found.iter_mut().flatten()) {
            if id.as_str().starts_with("unreadable") {
                *found = Err(StoreError::Corrupt { id: id.to_string(), reason: "a test".into() });
            }
        }
        let permit = self.may_answer.acquire().await.expect("never closed");
        permit.forget();
        self.may_answer.add_permits(1);
        if self.is_down.load(Ordering::SeqCst) { Err(StoreError::TimedOut) } else { found }
    }
    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        self.inner.touch(uses).await
    }
    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        self.inner.renew(id, expires).await
    }
    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        self.inner.revoke(id).await
    }
    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        self.inner.revoke_user(user, at).await
    }
    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        self.inner.list(filter, limit).await
    }
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.inner.purge(expired_before).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    fn describe(&self) -> String {
        "probed".to_owned()
    }
    fn lag(&self) -> Duration {
        self.lag
    }
    fn invalidated_record(&self, key: &[u8]) -> Option<InvalidatedRecord> {
        let id = std::str::from_utf8(key).ok()?.strip_prefix("session:")?;
        SessionId::parse(id).ok().map(InvalidatedRecord::Session)
    }
}

struct Fixture {
    decisions: Arc<DecisionCache>,
    store: Arc<ProbedStore>,
    clock: Arc<ManualClock>,
    signer: SigningKey,
    ring: Arc<KeyRing>,
}

/// A small cache with this bound, which has patience with its store.
fn config(staleness: Duration) -> CacheConfig {
    let store_timeout = Duration::from_secs(9);
    CacheConfig { store_timeout, bytes: CACHE_BYTES, ..CacheConfig::with_staleness(staleness) }
}

fn fixture(config: CacheConfig) -> Fixture {
    fixture_behind(Duration::ZERO, config)
}

/// A fixture on a store whose answers may be this old when they come.
fn fixture_behind(lag: Duration, config: CacheConfig) -> Fixture {
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).unwrap();
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let ring = Arc::new(KeyRing::unfetched());
    ring.replace(vec![signer.verifying().clone()], UsableUntil::FOR_EVER);
    let issuer = Issuer { name: "test".into(), keys: ring.clone(), ..Issuer::default() };
    let store = Arc::new(ProbedStore {
        inner: MemoryStore::new(),
        reads: AtomicU64::new(0),
        is_down: AtomicBool::new(false),
        may_answer: Semaphore::new(1),
        lag,
    });
    let reading = SessionPolicy {
        inactivity: Some(Duration::from_secs(300)),
        timeout: Duration::from_secs(5),
        records_use: true,
        ..SessionPolicy::default()
    };
    let sessions = Sessions::new(store.clone(), reading, clock.clone(), StoreMetrics::default());
    let decisions = DecisionCache::new(
        Arc::new(Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone())),
        Arc::new(sessions),
        IdentityHeaders::default(),
        config,
        clock.clone(),
        GateMetrics::default(),
    );
    Fixture { decisions: Arc::new(decisions), store, clock, signer, ring }
}

async fn decided(decisions: &DecisionCache, token: &str) -> Result<(), DenialCode> {
    decisions
        .decide(token, &Origin::of_connection(0))
        .await
        .map(|_| ())
        .map_err(|denial| denial.code)
}

fn usual() -> Fixture {
    fixture(config(STALENESS))
}

impl Fixture {
    /// A token of `alice` whose session lives for `lifetime`, as the token does.
    async fn token(&self, id: &str, lifetime: u64) -> String {
        let now = self.clock.now();
        let expires = now.after(Duration::from_secs(lifetime));
        let session = Session::new(
            SessionId::parse(id).unwrap(),
            UserId::parse("alice").unwrap(),
            now,
            expires,
        );
        self.store.inner.put(&session).await.unwrap();
        self.sign(id, expires.as_secs())
    }

    /// Gives `alice` another name in her session.
    async fn rename(&self, id: &str, name: &str) {
        let (user, id) = (UserId::parse("alice").unwrap(), Self::id(id));
        let mut session = self.store.inner.get(&user, &id).await.unwrap().unwrap();
        session.claims.insert("name".to_owned(), json!(name));
        self.store.inner.revoke(&id).await.unwrap();
        self.store.inner.put(&session).await.unwrap();
    }

    fn sign(&self, id: &str, exp: u64) -> String {
        self.signer.sign(&json!({"sub": "alice", "sid": id, "exp": exp})).unwrap()
    }

    /// Returns whether its decision is in the second level.
    fn is_kept(&self, token: &str) -> bool {
        self.decisions.cache.contains_key(&CacheKey::of(CredentialKind::Jwt, token))
    }

    /// A token without a session, which nobody asked for before.
    fn new_token(&self, id: u64) -> String {
        let claims = json!({"sub": "alice", "jti": id, "exp": NOW + 600});
        self.signer.sign(&claims).unwrap()
    }

    /// A token whose decision is in both levels of the cache.
    async fn cached(&self, id: &str, lifetime: u64) -> String {
        let token = self.token(id, lifetime).await;
        for is_in_first_level in [false, true] {
            assert_eq!(self.outcome(&token).await, Ok(()));
            assert_eq!(
                self.decisions.first_level.as_ref().unwrap().holds(&token),
                is_in_first_level
            );
        }
        token
    }

    /// Asks in a task of its own.
    fn ask(&self, token: &str) -> JoinHandle<Result<(), DenialCode>> {
        let (decisions, token) = (self.decisions.clone(), token.to_owned());
        tokio::spawn(async move { decided(&decisions, &token).await })
    }

    /// Waits until the store has been asked for the first time.
    async fn wait_for_read(&self) {
        while self.reads() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Sends an event as the store's source of invalidation does.
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        self.decisions.sessions().on_invalidation(event);
    }

    async fn outcome(&self, token: &str) -> Result<(), DenialCode> {
        decided(&self.decisions, token).await
    }

    fn reads(&self) -> u64 {
        self.store.reads.load(Ordering::SeqCst)
    }

    fn id(id: &str) -> SessionId {
        SessionId::parse(id).unwrap()
    }
}

#[tokio::test]
async fn a_hit_asks_nobody() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    for _ in 0..100 {
        assert_eq!(fixture.outcome(&token).await, Ok(()));
    }
    assert_eq!(fixture.reads(), 1);
    assert_eq!(fixture.decisions.metrics.looked_up(), (99, 0, 1));
}

#[tokio::test]
async fn many_misses_at_once_cost_one_verification_and_one_read() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    let asked: Vec<_> = (0..200).map(|_| fixture.ask(&token)).collect();
    tokio::task::yield_now().await;
    fixture.store.may_answer.add_permits(1);
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.reads(), 1);
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_noticed_at_the_next_request() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    let other = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
    let other = SigningKey::from_private_pem(Algorithm::EdDSA, &other).unwrap();
    fixture.ring.replace(vec![other.verifying().clone()], UsableUntil::FOR_EVER);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::BadSignature));
}

#[tokio::test]
async fn a_session_of_another_user_is_no_session() {
    let fixture = usual();
    fixture.token("s", 600).await;
    let claims = json!({"sub": "mallory", "sid": "s", "exp": NOW + 600});
    let stolen = fixture.signer.sign(&claims).unwrap();
    assert_eq!(fixture.outcome(&stolen).await, Err(DenialCode::SessionUnknown));
    let nobody = fixture.signer.sign(&json!({"sid": "s", "exp": NOW + 600})).unwrap();
    assert_eq!(fixture.outcome(&nobody).await, Err(DenialCode::BadClaim));
}

/// The wall clock is set back after a token was refused: what remembers it forgot it then.
#[tokio::test]
async fn what_was_refused_is_not_good_again_where_a_clock_is_set_back() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
    fixture.clock.set_wall(UnixTime::from_secs(NOW));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_is_refused_takes_no_room_and_the_rest_is_bounded() {
    let fixture = usual();
    for n in 0..50 {
        assert!(fixture.outcome(&format!("not.a.token{n}")).await.is_err());
    }
    fixture.decisions.cache.run_pending_tasks();
    assert_eq!(fixture.decisions.size().0, 0);
    for n in 0..2_000 {
        let claims = json!({"sub": "alice", "n": n, "exp": NOW + 600});
        let token = fixture.signer.sign(&claims).unwrap();
        assert_eq!(fixture.outcome(&token).await, Ok(()));
    }
    fixture.decisions.cache.run_pending_tasks();
    let (entries, bytes) = fixture.decisions.size();
    assert!(entries > 100 && bytes <= CACHE_BYTES, "{entries} entries, {bytes} bytes");
}

#[tokio::test]
async fn the_headers_of_an_answer_are_the_same_as_lines_and_as_a_map() {
    let fixture = usual();
    let claims = json!({
        "sub": "a: b\u{e9}, %", "email": "a@b.test", "roles": ["a b", "c,d"], "scope": "x y",
        "exp": NOW + 600,
    });
    let token = fixture.signer.sign(&claims).unwrap();
    let decision = fixture.decisions.decide(&token, &Origin::of_connection(0)).await.unwrap();
    let headers = decision.headers();
    assert_eq!(crate::wire::http1::lines(&headers), decision.lines());
    assert!(headers.keys().eq(fixture.decisions.header_names.keys()));
    for (name, value) in [
        ("x-auth-user", "a: b%C3%A9%2C %25"),
        ("x-auth-username", ""),
        ("x-auth-roles", "a b,c%2Cd"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

/// The first level holds nothing that is not in the second one too, so that the bound counts it.
#[tokio::test]
async fn what_the_second_level_drops_is_in_the_first_no_more() {
    let fixture = fixture(CacheConfig { bytes: CACHE_BYTES / 8, ..config(STALENESS) });
    let mut tokens = Vec::new();
    for n in 0..400 {
        let token = fixture.new_token(n);
        for _ in 0..3 {
            assert_eq!(fixture.outcome(&token).await, Ok(()));
        }
        tokens.push(token);
    }
    fixture.decisions.cache.run_pending_tasks();
    let table = fixture.decisions.first_level.as_ref().unwrap();
    let mut kept = 0;
    for token in &tokens {
        let is_kept = fixture.is_kept(token);
        kept += usize::from(is_kept);
        assert!(is_kept || !table.holds(token));
    }
    assert!((1..300).contains(&kept), "{kept} of 400 have room");
    // A newer decision takes the place of the older one in both.
    let token = fixture.cached("s", 600).await;
    fixture.rename("s", "Alice").await;
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert!(!table.holds(&token), "until it is asked for again");
}

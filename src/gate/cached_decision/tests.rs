use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::{Map, json};
use tokio::sync::Semaphore;

use super::*;
use crate::clock::ManualClock;
use crate::secret::SystemRandom;
use crate::session::{Device, Filter, InvalidatedRecord, MemoryStore, SessionPolicy, SessionStore};
use crate::store::invalidation::{InvalidationEvent, InvalidationListener as _};
use crate::store::{StoreError, StoreMetrics};
use crate::token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, UsableUntil, key};

const NOW: u64 = 1_800_000_000;
const STALENESS: Duration = Duration::from_secs(1);

/// A store that counts its reads, and can be made to fail or to wait.
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
    async fn get(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.get(user, id).await;
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

fn fixture(staleness: Duration, bytes: u64) -> Fixture {
    let store_timeout = Duration::from_secs(9);
    fixture_on(CacheConfig { store_timeout, bytes, ..CacheConfig::with_staleness(staleness) })
}

fn fixture_on(config: CacheConfig) -> Fixture {
    fixture_behind(Duration::ZERO, config)
}

/// On a store whose answers may be so old when they come.
fn fixture_behind(lag: Duration, config: CacheConfig) -> Fixture {
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).unwrap();
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let ring = Arc::new(KeyRing::unfetched());
    ring.replace(vec![signer.verifying().clone()], UsableUntil::FOR_EVER);
    let issuer = Issuer {
        name: "test".into(),
        iss: None,
        audiences: Vec::new(),
        default_audience: None,
        at_jwt_only: false,
        user_prefix: String::new(),
        leeway: Duration::ZERO,
        sessions: SessionRule::WhenPresent,
        keys: ring.clone(),
    };
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

fn usual() -> Fixture {
    fixture(STALENESS, 1 << 20)
}

impl Fixture {
    /// A token of `alice` whose session lives for `lifetime`, as the token does.
    async fn token(&self, id: &str, lifetime: u64) -> String {
        let now = self.clock.now();
        let expires = now.after(Duration::from_secs(lifetime));
        let session = Session {
            id: SessionId::parse(id).unwrap(),
            user: UserId::parse("alice").unwrap(),
            created: now,
            last_seen: now,
            expires,
            device: Device::default(),
            claims: Map::new(),
            not_before: UnixTime::EPOCH,
        };
        self.store.inner.put(&session).await.unwrap();
        self.sign(id, expires.as_secs())
    }

    fn sign(&self, id: &str, exp: u64) -> String {
        self.signer.sign(&json!({"sub": "alice", "sid": id, "exp": exp})).unwrap()
    }

    /// As if the store's source of invalidation had sent it.
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        self.decisions.sessions().on_invalidation(event);
    }

    async fn outcome(&self, token: &str) -> Result<(), DenialCode> {
        self.decisions.decide(token).await.map(|_| ())
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
    let asked: Vec<_> = (0..200)
        .map(|_| {
            let (decisions, token) = (fixture.decisions.clone(), token.clone());
            tokio::spawn(async move { decisions.decide(&token).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    fixture.store.may_answer.add_permits(1);
    for answer in asked {
        assert!(answer.await.unwrap());
    }
    assert_eq!(fixture.reads(), 1);
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1);
}

#[tokio::test]
async fn what_this_process_revoked_is_refused_at_the_very_next_request() {
    let fixture = usual();
    let (one, other) = (fixture.token("one", 600).await, fixture.token("other", 600).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.decisions.sessions().revoke(&Fixture::id("one")).await.unwrap();
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    let alice = UserId::parse("alice").unwrap();
    fixture.decisions.sessions().revoke_user(&alice).await.unwrap();
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_was_revoked_elsewhere_is_refused_at_the_bound() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    // Up to a quarter before the bound the store is asked again.
    fixture.clock.advance(Duration::from_millis(749));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_millis(251));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_was_revoked_elsewhere_is_refused_as_soon_as_that_is_heard() {
    let fixture = usual();
    let (one, other) = (fixture.token("one", 600).await, fixture.token("other", 600).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.store.inner.revoke(&Fixture::id("one")).await.unwrap();
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:other"));
    assert_eq!(fixture.outcome(&one).await, Ok(()), "no event named it");
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:one"));
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.on_invalidation(InvalidationEvent::Changed(b"\xff is no name of ours"));
    assert_eq!((fixture.reads(), fixture.outcome(&other).await), (4, Ok(())));
}

#[tokio::test]
async fn where_something_may_have_been_missed_each_session_is_read_once() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    for reads in [1, 2, 3] {
        for _ in 0..5 {
            assert_eq!(fixture.outcome(&token).await, Ok(()));
        }
        assert_eq!(fixture.reads(), reads);
        fixture.on_invalidation(InvalidationEvent::Lost);
    }
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1, "the signature was checked once");
}

#[tokio::test]
async fn suspect_and_without_the_store_a_yes_lasts_as_long_as_the_operator_says() {
    for (stale_if_error, lasts) in [(STALENESS, 999), (Duration::ZERO, 0), (STALENESS * 60, 59_999)]
    {
        let store_timeout = Duration::from_secs(9);
        let fixture = fixture_on(CacheConfig {
            stale_if_error,
            store_timeout,
            ..CacheConfig::with_staleness(STALENESS)
        });
        let token = fixture.token("s", 600).await;
        assert_eq!(fixture.outcome(&token).await, Ok(()));
        fixture.store.is_down.store(true, Ordering::SeqCst);
        fixture.on_invalidation(InvalidationEvent::Lost);
        let answers = if lasts > 0 { Ok(()) } else { Err(DenialCode::StoreUnavailable) };
        assert_eq!(fixture.outcome(&token).await, answers, "{stale_if_error:?}");
        fixture.clock.advance(Duration::from_millis(lasts));
        assert_eq!(fixture.outcome(&token).await, answers, "{stale_if_error:?}");
        fixture.clock.advance(Duration::from_millis(1));
        assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
    }
}

#[tokio::test]
async fn what_is_known_to_have_changed_is_not_believed_without_the_store() {
    let store_timeout = Duration::from_secs(9);
    let stale_if_error = Duration::from_secs(600);
    let fixture = fixture_on(CacheConfig {
        stale_if_error,
        store_timeout,
        ..CacheConfig::with_staleness(STALENESS)
    });
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:s"));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn without_the_store_nothing_outlives_the_session_or_the_token() {
    let store_timeout = Duration::from_secs(9);
    let stale_if_error = Duration::from_secs(600);
    let fixture = fixture_on(CacheConfig {
        stale_if_error,
        store_timeout,
        ..CacheConfig::with_staleness(STALENESS)
    });
    let (short, shorter) = (fixture.token("s", 60).await, fixture.sign("s", NOW + 30));
    let longer = fixture.sign("s", NOW + 10_000);
    for token in [&short, &shorter, &longer] {
        assert_eq!(fixture.outcome(token).await, Ok(()));
    }
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.outcome(&shorter).await, Err(DenialCode::TokenExpired));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.outcome(&longer).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_store_that_hangs_is_waited_for_no_longer_than_a_gateway_waits() {
    let store_timeout = Duration::from_millis(20);
    let fixture =
        fixture_on(CacheConfig { store_timeout, ..CacheConfig::with_staleness(STALENESS) });
    let (known, new) = (fixture.token("known", 600).await, fixture.token("new", 600).await);
    assert_eq!(fixture.outcome(&known).await, Ok(()));
    fixture.store.may_answer.forget_permits(1);
    fixture.on_invalidation(InvalidationEvent::Lost);
    assert_eq!(fixture.outcome(&known).await, Ok(()), "it was read within the bound");
    assert_eq!(fixture.outcome(&new).await, Err(DenialCode::StoreUnavailable));
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&known).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn what_was_read_at_once_is_not_read_again_at_once() {
    let fixture = usual();
    let mut tokens = Vec::new();
    for n in 0..100 {
        tokens.push(fixture.token(&format!("s{n}"), 600).await);
    }
    let mut reads = Vec::new();
    for _ in 0..7 {
        let before = fixture.reads();
        for token in &tokens {
            assert_eq!(fixture.outcome(token).await, Ok(()));
        }
        reads.push(fixture.reads() - before);
        // From three quarters of the bound on, in steps of a twentieth of it.
        let steps = if reads.len() == 1 { 15 } else { 1 };
        fixture.clock.advance(STALENESS * steps / 20);
    }
    assert_eq!(reads[0], 100);
    assert_eq!(reads[1..].iter().sum::<u64>(), 100, "by the bound each was read: {reads:?}");
    assert!(reads[1..].iter().all(|reads| *reads < 60), "{reads:?}");
}

#[tokio::test]
async fn a_recheck_reads_the_session_and_verifies_nothing() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!((fixture.reads(), fixture.decisions.metrics.looked_up()), (2, (0, 1, 1)));
}

#[tokio::test]
async fn setting_the_clock_back_does_not_stretch_the_bound() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(STALENESS);
    fixture.clock.set_wall(UnixTime::from_secs(NOW - 100));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_is_old_when_it_is_read_is_believed_for_so_much_less() {
    let lag = Duration::from_millis(400);
    let store_timeout = Duration::from_secs(9);
    let config = CacheConfig { store_timeout, ..CacheConfig::with_staleness(STALENESS) };
    let fixture = fixture_behind(lag, config);
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_millis(599));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_host_that_slept_asks_again() {
    let fixture = usual();
    let token = fixture.token("s", 6_000).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    // The monotonic clock stood still meanwhile.
    fixture.clock.set_wall(UnixTime::from_secs(NOW + 60));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn with_the_store_down_a_yes_lasts_until_the_bound_and_no_longer() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(STALENESS);
    for _ in 0..3 {
        assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
    }
    fixture.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1, "the signature was checked once");
}

#[tokio::test]
async fn no_bound_outlives_token_or_session() {
    let fixture = fixture(Duration::from_secs(3_600), 1 << 20);
    let token = fixture.token("s", 60).await;
    let longer = fixture.sign("s", NOW + 10_000);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(59));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::TokenExpired));
    assert_eq!(fixture.outcome(&longer).await, Err(DenialCode::SessionExpired));
}

#[tokio::test]
async fn an_idle_session_ends_at_the_validator() {
    let fixture = usual();
    let token = fixture.token("s", 6_000).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(299));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    // That use was noted, in the background.
    while fixture
        .store
        .inner
        .get(&UserId::parse("alice").unwrap(), &Fixture::id("s"))
        .await
        .unwrap()
        .unwrap()
        .last_seen
        != fixture.clock.now()
    {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance(Duration::from_secs(299));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionInactive));
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_noticed_at_the_next_request() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    let other = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
    let other = SigningKey::from_private_pem(Algorithm::EdDSA, &other).unwrap();
    fixture.ring.replace(vec![other.verifying().clone()], UsableUntil::FOR_EVER);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::BadSignature));
}

#[tokio::test]
async fn a_revocation_during_a_read_is_not_overlooked() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    let asked = tokio::spawn({
        let (decisions, token) = (fixture.decisions.clone(), token.clone());
        async move { decisions.decide(&token).await.map(|_| ()) }
    });
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    // The read has its answer, which is a yes, and has not handed it out.
    fixture.decisions.sessions().revoke(&Fixture::id("s")).await.unwrap();
    fixture.store.may_answer.add_permits(1);
    assert_eq!(asked.await.unwrap(), Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn without_a_bound_no_answer_is_older_than_its_question() {
    let fixture = fixture(Duration::ZERO, 1 << 20);
    let token = fixture.token("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    let ask = || {
        let (decisions, token) = (fixture.decisions.clone(), token.clone());
        tokio::spawn(async move { decisions.decide(&token).await.map(|_| ()) })
    };
    let early = ask();
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(Duration::from_millis(1));
    // This one was asked after the revocation, while the read from before it is under way.
    let late = ask();
    tokio::task::yield_now().await;
    fixture.store.may_answer.add_permits(1);
    assert_eq!(early.await.unwrap(), Ok(()));
    assert_eq!(late.await.unwrap(), Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
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

#[tokio::test]
async fn what_is_refused_takes_no_room_and_the_rest_is_bounded() {
    let bound = 1 << 20;
    let fixture = fixture(STALENESS, bound);
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
    assert!(entries > 100 && bytes <= bound, "{entries} entries, {bytes} bytes");
}

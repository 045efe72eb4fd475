//! The gate in opaque mode: handles in place of tokens, in headers and cookies, and the signed
//! token that the application is given. Through the library, without a network: what is tested is
//! who may pass, and how soon a change is noticed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, Response, StatusCode};
use portcullis::clock::{Clock as _, ManualClock, UnixTime};
use portcullis::gate::cached_decision::{CacheConfig, DecisionCache};
use portcullis::gate::credential::Cookies;
use portcullis::gate::denial::DenialCode;
use portcullis::gate::explain::explain;
use portcullis::gate::handle::Handles;
use portcullis::gate::identity::IdentityHeaders;
use portcullis::gate::metrics::GateMetrics;
use portcullis::gate::upstream::UpstreamJwt;
use portcullis::gate::verdict::Verdict;
use portcullis::gate::{DenialConfig, Dialect, Gate};
use portcullis::opaque::{
    CookiePair, OpaqueToken, OpaqueTokenStore, Rotation, TokenDigest, TokenKind, Tokens, generate,
};
use portcullis::secret::SystemRandom;
use portcullis::session::{
    MemoryStore, Session, SessionId, SessionPolicy, SessionStore as _, Sessions, UserId,
};
use portcullis::store::{StoreError, StoreKind, StoreMetrics};
use portcullis::token::{Algorithm, Issuer, KeyRing, SigningKey, SigningRing, Verifier, key};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

const NOW: u64 = 1_800_000_000;
const STALENESS: Duration = Duration::from_secs(1);
const UPSTREAM: HeaderName = HeaderName::from_static("x-auth-token");

/// A store that counts its reads, and can be made to fail or to wait.
#[derive(Debug)]
struct ControlledStore {
    kept: Mutex<HashMap<TokenDigest, OpaqueToken>>,
    reads: AtomicU64,
    is_down: AtomicBool,
    /// A read takes its answer, then waits for one of these before it hands it out.
    may_answer: Semaphore,
}

#[async_trait]
impl OpaqueTokenStore for ControlledStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let with_digest = tokens.iter().map(|token| (token.digest, token.clone()));
        self.kept.lock().expect("never poisoned").extend(with_digest);
        Ok(())
    }
    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let found = self.kept.lock().expect("never poisoned").get(digest).cloned();
        drop(self.may_answer.acquire().await.expect("never closed"));
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        Ok(found)
    }
    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        match self.kept.lock().expect("never poisoned").get_mut(old) {
            None => return Ok(Rotation::Unknown),
            Some(token) if token.used.is_some() => return Ok(Rotation::AlreadyUsed),
            Some(token) => token.used = Some(at),
        }
        self.put(successors).await.map(|()| Rotation::Rotated)
    }
    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let mut kept = self.kept.lock().expect("never poisoned");
        let Some(token) = kept.get_mut(digest) else { return Ok(false) };
        token.expires = token.expires.max(expires);
        if let Some(claims) = claims {
            token.claims.clone_from(claims);
        }
        Ok(true)
    }
    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(self.kept.lock().expect("never poisoned").remove(digest).is_some())
    }
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut kept = self.kept.lock().expect("never poisoned");
        let before = kept.len();
        kept.retain(|_, token| token.expires > expired_before);
        Ok((before - kept.len()) as u64)
    }
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn describe(&self) -> String {
        "controlled".to_owned()
    }
}

/// A gate, and the stores behind it: `tokens` as another process reaches them, `guarded` as this
/// one does.
struct Fixture {
    gate: Gate,
    tokens: Arc<ControlledStore>,
    guarded: Arc<Tokens>,
    sessions: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    signer: SigningKey,
}

/// What is different from the usual gate.
struct Setup {
    staleness: Duration,
    timeout: Duration,
    cookies: Cookies,
    has_handles: bool,
    upstream: bool,
    has_signer: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            staleness: STALENESS,
            timeout: Duration::from_secs(10),
            cookies: Cookies::default(),
            has_handles: true,
            upstream: true,
            has_signer: true,
        }
    }
}

fn fixture(setup: Setup) -> Fixture {
    // ES256 signs the same claims in another way each time, so that two signatures can be told apart.
    let pem = key::generate(Algorithm::ES256, &SystemRandom).expect("a key");
    let signer = SigningKey::from_private_pem(Algorithm::ES256, &pem).expect("a key");
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let issuer = Issuer {
        name: "us".into(),
        iss: Some("us".to_owned()),
        default_audience: Some("us".to_owned()),
        leeway: Duration::from_secs(600),
        keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
        ..Issuer::default()
    };
    let sessions = Arc::new(MemoryStore::new());
    let timeout = setup.timeout;
    let policy = SessionPolicy { timeout, ..SessionPolicy::default() };
    let asked = Sessions::new(sessions.clone(), policy, clock.clone(), StoreMetrics::default());
    let tokens = Arc::new(ControlledStore {
        kept: Mutex::default(),
        reads: AtomicU64::new(0),
        is_down: AtomicBool::new(false),
        may_answer: Semaphore::new(1),
    });
    let metrics = StoreMetrics::unregistered(StoreKind::Tokens);
    let guarded = Arc::new(Tokens::new(tokens.clone(), timeout, clock.clone(), metrics));
    let mut decisions = DecisionCache::new(
        Arc::new(Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone())),
        Arc::new(asked),
        IdentityHeaders::default(),
        CacheConfig { bytes: 1 << 20, ..CacheConfig::with_staleness(setup.staleness) },
        clock.clone(),
        GateMetrics::default(),
    );
    if setup.has_handles {
        decisions = decisions.with_handles(Handles::new(guarded.clone()));
    }
    if setup.upstream {
        let signers = if setup.has_signer {
            SigningRing::fixed(signer.clone())
        } else {
            SigningRing::verifying_only(Vec::new())
        };
        let upstream = UpstreamJwt::new(UPSTREAM, Arc::new(signers), clock.clone());
        decisions = decisions.with_upstream_jwt(upstream);
    }
    let gate = Gate::new(decisions, setup.cookies);
    Fixture { gate, tokens, guarded, sessions, clock, signer }
}

fn usual() -> Fixture {
    fixture(Setup::default())
}

fn claims() -> Value {
    json!({
        "iss": "us", "sub": "alice", "aud": ["us"], "sid": "s", "exp": NOW + 600, "iat": NOW,
        "token_type": "access", "scope": "user:read", "roles": ["demo"],
    })
}

fn object(claims: &Value) -> &Map<String, Value> {
    claims.as_object().expect("an object")
}

fn new_handle() -> String {
    let handle = generate(&SystemRandom).expect("random bytes");
    handle.expose_str().expect("text").to_owned()
}

type Answer = Response<http_body_util::Full<bytes::Bytes>>;

impl Fixture {
    /// A handle of `alice` and her session, both good for ten minutes; `change` is made first.
    async fn handle(&self, change: impl FnOnce(&mut OpaqueToken)) -> String {
        let now = self.clock.now();
        let expires = now.after(Duration::from_secs(600));
        let handle = new_handle();
        let (id, user) =
            (SessionId::parse("s").expect("an id"), UserId::parse("alice").expect("a name"));
        let session =
            Session::new(id.clone(), user.clone(), now, now.after(Duration::from_secs(86_400)));
        let _there_already = self.sessions.put(&session).await;
        let mut token = OpaqueToken {
            digest: TokenDigest::of(&handle),
            kind: TokenKind::Handle,
            session: id,
            user,
            client: None,
            claims: object(&claims()).clone(),
            issued: now,
            expires,
            used: None,
        };
        change(&mut token);
        self.tokens.put(&[token]).await.expect("put");
        handle
    }

    /// The answer to a request with these lines among its headers.
    async fn ask(&self, uri: &str, lines: &[(HeaderName, String)]) -> (Verdict, Answer) {
        let mut request = http::Request::get(uri).body(()).expect("a request").into_parts().0;
        for (name, value) in lines {
            request.headers.append(name, value.parse().expect("a value"));
        }
        let verdict = self.gate.check(&Dialect::Nginx.read(&request)).await;
        let denial_config =
            DenialConfig { missing_credentials: StatusCode::FORBIDDEN, realm: "test".to_owned() };
        let answer = Dialect::Nginx.render(&verdict, &denial_config);
        (verdict, answer)
    }

    async fn as_bearer(&self, credential: &str) -> (Verdict, Answer) {
        let bearer = (AUTHORIZATION, format!("Bearer {credential}"));
        self.ask("/validate_request", &[bearer]).await
    }

    /// Why the credential is refused, if it is.
    async fn outcome(&self, credential: &str) -> Result<(), DenialCode> {
        self.as_bearer(credential).await.0.denied().map_or(Ok(()), Err)
    }

    /// The token that the application is given.
    async fn upstream(&self, credential: &str) -> String {
        let (verdict, answer) = self.as_bearer(credential).await;
        assert_eq!(verdict.denied(), None);
        answer.headers()[UPSTREAM].to_str().expect("text").to_owned()
    }

    /// A claim of a token, which must be a good one.
    fn claim(&self, token: &str, name: &str) -> Value {
        let verified = self.gate.decisions().verifier().verify(token).expect("a good token");
        verified.claims.get(name).cloned().unwrap_or_default()
    }

    fn reads(&self) -> u64 {
        self.tokens.reads.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_good_handle_is_let_in_and_says_who_it_is() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    for _ in 0..3 {
        let (verdict, answer) = fixture.as_bearer(&handle).await;
        assert_eq!(verdict.denied(), None);
        assert_eq!(answer.status(), StatusCode::OK);
        for (header, value) in [
            ("x-auth-user", "alice"),
            ("x-auth-session", "s"),
            ("x-auth-scopes", "user:read"),
            ("x-auth-roles", "demo"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers()[header], value, "{header}");
        }
    }
    assert_eq!(fixture.reads(), 1, "two of them were answered from memory");
    let bearer = [(AUTHORIZATION, format!("Bearer {handle}"))];
    for (scope, expected) in
        [("user:read", None), ("user:write", Some(DenialCode::InsufficientScope))]
    {
        let uri = format!("/validate_request?scope={scope}");
        assert_eq!(fixture.ask(&uri, &bearer).await.0.denied(), expected, "{scope}");
    }
}

#[tokio::test]
async fn a_handle_that_is_not_good_is_refused_and_says_why() {
    type Change = Box<dyn FnOnce(&mut OpaqueToken)>;
    let set = |token: &mut OpaqueToken, name: &str, value: Value| {
        token.claims.insert(name.to_owned(), value);
    };
    let cases: [(&str, Change, DenialCode); 9] = [
        ("used", Box::new(|t| t.used = Some(t.issued)), DenialCode::HandleUnknown),
        ("refresh", Box::new(|t| t.kind = TokenKind::Refresh), DenialCode::WrongType),
        ("expired", Box::new(|t| t.expires = t.issued), DenialCode::TokenExpired),
        ("sub", Box::new(move |t| set(t, "sub", json!("bob"))), DenialCode::BadClaim),
        ("sid", Box::new(move |t| set(t, "sid", json!("t"))), DenialCode::BadClaim),
        ("iss", Box::new(move |t| set(t, "iss", json!("them"))), DenialCode::UnknownIssuer),
        ("aud", Box::new(move |t| set(t, "aud", json!("them"))), DenialCode::WrongAudience),
        ("use", Box::new(move |t| set(t, "token_type", json!("id"))), DenialCode::WrongType),
        (
            "session",
            Box::new(|t| {
                t.session = SessionId::parse("none").unwrap();
                t.claims.remove("sid");
            }),
            DenialCode::SessionUnknown,
        ),
    ];
    for (case, change, code) in cases {
        let fixture = usual();
        let handle = fixture.handle(change).await;
        for _ in 0..2 {
            let (verdict, answer) = fixture.as_bearer(&handle).await;
            assert_eq!(verdict.denied(), Some(code), "{case}");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{case}");
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{case}: {challenge}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handle_is_refused_as_a_bad_token() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let unknown = new_handle();
    assert_eq!(fixture.outcome(&unknown).await, Err(DenialCode::HandleUnknown));
    for rubbish in [&handle[1..], &format!("{handle}A"), &handle.replace(&handle[..1], "+"), "x"] {
        assert_eq!(fixture.outcome(rubbish).await, Err(DenialCode::TokenMalformed), "{rubbish}");
    }
    assert_eq!(fixture.reads(), 1, "rubbish costs the store nothing");
    let without = fixture_without_handles();
    let handle = without.handle(|_| {}).await;
    assert_eq!(without.outcome(&handle).await, Err(DenialCode::TokenMalformed));
}

fn fixture_without_handles() -> Fixture {
    fixture(Setup { has_handles: false, ..Setup::default() })
}

#[tokio::test]
async fn what_ends_through_this_process_is_refused_at_the_very_next_request() {
    let fixture = usual();
    let (one, other) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    assert!(fixture.guarded.remove(&TokenDigest::of(&one)).await.unwrap());
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::HandleUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()), "only that handle ended");
    let third = fixture.handle(|_| {}).await;
    assert_eq!(fixture.outcome(&third).await, Ok(()));
    let used = fixture.guarded.rotate(&TokenDigest::of(&third), fixture.clock.now(), &[]).await;
    assert_eq!(used, Ok(Rotation::Rotated));
    assert_eq!(fixture.outcome(&third).await, Err(DenialCode::HandleUnknown));
    let sessions = fixture.gate.decisions().sessions();
    sessions.revoke(&SessionId::parse("s").unwrap()).await.unwrap();
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_ends_elsewhere_is_refused_at_the_bound() {
    let fixture = usual();
    let (one, other) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    assert!(fixture.tokens.remove(&TokenDigest::of(&one)).await.unwrap());
    // In the last quarter of the bound the stores are asked again.
    fixture.clock.advance(STALENESS * 3 / 4 - Duration::from_millis(1));
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    fixture.clock.advance(STALENESS / 4 + Duration::from_millis(1));
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::HandleUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.sessions.revoke(&SessionId::parse("s").unwrap()).await.unwrap();
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn with_the_store_down_a_yes_lasts_until_the_bound_and_no_longer() {
    for is_silent in [false, true] {
        let timeout = Duration::from_millis(if is_silent { 50 } else { 10_000 });
        let fixture = fixture(Setup { timeout, ..Setup::default() });
        let (known, unknown) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        fixture.tokens.is_down.store(!is_silent, Ordering::SeqCst);
        fixture.tokens.may_answer.forget_permits(usize::from(is_silent));
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        let (verdict, answer) = fixture.as_bearer(&unknown).await;
        assert_eq!(verdict.denied(), Some(DenialCode::StoreUnavailable));
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        fixture.clock.advance(STALENESS);
        assert_eq!(fixture.outcome(&known).await, Err(DenialCode::StoreUnavailable));
        fixture.tokens.is_down.store(false, Ordering::SeqCst);
        fixture.tokens.may_answer.add_permits(usize::from(is_silent));
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        assert_eq!(fixture.outcome(&unknown).await, Ok(()));
    }
}

#[tokio::test]
async fn a_handle_ends_without_leeway_and_lives_on_where_it_was_extended() {
    let fixture = fixture(Setup { staleness: Duration::from_secs(3_600), ..Setup::default() });
    let handle = fixture.handle(|_| {}).await;
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(599));
    // Elsewhere, so that nothing here knows.
    let later = UnixTime::from_secs(NOW + 1_200);
    fixture.tokens.extend(&TokenDigest::of(&handle), later, None).await.unwrap();
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    assert_eq!(fixture.reads(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    assert_eq!(fixture.reads(), 2, "the end that was known has passed, so the store was asked");
    fixture.clock.advance(Duration::from_secs(599));
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&handle).await, Err(DenialCode::TokenExpired));
}

#[tokio::test]
async fn cookies_are_good_in_pairs_alone() {
    let host = CookiePair::HOST;
    let setup = || Setup {
        cookies: Cookies { single: None, pair: Some(CookiePair::HOST) },
        ..Setup::default()
    };
    let fixture = fixture(setup());
    let handle = fixture.handle(|_| {}).await;
    let jwt = fixture.signer.sign(&claims()).unwrap();
    let (unauthorized, mismatch) = (StatusCode::UNAUTHORIZED, Some(DenialCode::CookieMismatch));
    for credential in [&handle, &jwt] {
        let cookie = |name: &str, value: &str| (COOKIE, format!("{name}={value}"));
        let token = || cookie(host.token, credential);
        for (lines, code, status) in [
            (vec![token(), cookie(host.user, "alice")], None, StatusCode::OK),
            (vec![token(), cookie(host.user, "bob")], mismatch, unauthorized),
            (vec![token(), cookie(host.user, "")], mismatch, unauthorized),
            (vec![token()], mismatch, unauthorized),
            (vec![token(), cookie("user_id", "alice")], mismatch, unauthorized),
            (
                // The operator of this gate wants 403 where there are no credentials.
                vec![cookie(host.user, "alice")],
                Some(DenialCode::MissingCredentials),
                StatusCode::FORBIDDEN,
            ),
            (
                vec![token(), cookie(host.user, "alice"), cookie(host.user, "bob")],
                Some(DenialCode::MalformedCredentials),
                StatusCode::FORBIDDEN,
            ),
            (
                vec![(AUTHORIZATION, format!("Bearer {credential}")), cookie(host.token, "x")],
                None,
                StatusCode::OK,
            ),
        ] {
            let (verdict, answer) = fixture.ask("/validate_request", &lines).await;
            assert_eq!(verdict.denied(), code, "{lines:?}");
            assert_eq!(answer.status(), status, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn the_application_is_given_the_very_token_or_one_that_says_what_the_handle_stands_for() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let jwt = fixture.signer.sign(&claims()).unwrap();
    assert_eq!(fixture.upstream(&jwt).await, jwt);
    let signed = fixture.upstream(&handle).await;
    for name in ["iss", "sub", "aud", "sid", "exp", "iat", "scope", "roles", "token_type"] {
        assert_eq!(fixture.claim(&signed, name), claims()[name], "{name}");
    }
    assert_eq!(fixture.upstream(&handle).await, signed);
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.upstream(&handle).await, signed, "asked again, not signed again");
    assert_eq!(fixture.upstream(&jwt).await, jwt);
    assert_eq!(fixture.reads(), 2);
    let (_, answer) = fixture.as_bearer("x").await;
    assert!(answer.headers().get(UPSTREAM).is_none(), "a refusal hands on nothing");
    let (verdict, _) = fixture.as_bearer(&handle).await;
    assert!(!format!("{verdict:?}").contains(&signed), "it is a credential, and not to be logged");
}

#[tokio::test]
async fn the_header_is_there_as_configured_and_empty_where_there_is_nothing() {
    let without_key = fixture(Setup { has_signer: false, ..Setup::default() });
    let handle = without_key.handle(|_| {}).await;
    assert_eq!(without_key.upstream(&handle).await, "");
    let off = fixture(Setup { upstream: false, ..Setup::default() });
    let handle = off.handle(|_| {}).await;
    let (verdict, answer) = off.as_bearer(&handle).await;
    assert_eq!(verdict.denied(), None);
    assert!(answer.headers().get(UPSTREAM).is_none());
}

#[tokio::test]
async fn no_token_is_handed_on_that_the_handle_stands_for_no_longer() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let digest = TokenDigest::of(&handle);
    let first = fixture.upstream(&handle).await;
    let mut changed = claims();
    changed["scope"] = json!("user:read user:write");
    let end = UnixTime::from_secs(NOW + 700);
    assert!(fixture.guarded.extend(&digest, end, Some(object(&changed))).await.unwrap());
    let second = fixture.upstream(&handle).await;
    assert_ne!(first, second);
    assert_eq!(fixture.claim(&second, "scope"), changed["scope"]);
    assert_eq!(fixture.claim(&second, "exp"), json!(NOW + 700), "the handle's own end");
    // The claims stay, the end moves.
    let end = UnixTime::from_secs(NOW + 800);
    assert!(fixture.guarded.extend(&digest, end, None).await.unwrap());
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 800));
    // Elsewhere: known at the bound.
    let end = UnixTime::from_secs(NOW + 900);
    assert!(fixture.tokens.extend(&digest, end, None).await.unwrap());
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 900));
}

#[tokio::test]
async fn a_change_during_a_read_is_not_overlooked() {
    let fixture = Arc::new(usual());
    let handle = fixture.handle(|_| {}).await;
    fixture.tokens.may_answer.forget_permits(1);
    let asked = tokio::spawn({
        let (fixture, handle) = (fixture.clone(), handle.clone());
        async move { fixture.upstream(&handle).await }
    });
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    // The read has its answer, which is the old one, and has not handed it out.
    let end = UnixTime::from_secs(NOW + 700);
    let digest = TokenDigest::of(&handle);
    assert!(fixture.guarded.extend(&digest, end, None).await.unwrap());
    fixture.tokens.may_answer.add_permits(1);
    assert_eq!(fixture.claim(&asked.await.unwrap(), "exp"), json!(NOW + 700));
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 700));
}

#[tokio::test]
async fn many_who_come_with_a_handle_at_once_cost_one_read() {
    let fixture = Arc::new(usual());
    let handle = fixture.handle(|_| {}).await;
    fixture.tokens.may_answer.forget_permits(1);
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let (fixture, handle) = (fixture.clone(), handle.clone());
            tokio::spawn(async move { fixture.outcome(&handle).await })
        })
        .collect();
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.tokens.may_answer.add_permits(1);
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.reads(), 1);
}

#[tokio::test]
async fn an_identity_and_its_token_that_do_not_fit_together_are_refused() {
    let fixture = usual();
    let long = |bytes: usize| {
        move |token: &mut OpaqueToken| {
            token.claims.insert("long".to_owned(), "x".repeat(bytes).into());
        }
    };
    let fits = fixture.handle(long(11_000)).await;
    assert_eq!(fixture.outcome(&fits).await, Ok(()));
    let does_not = fixture.handle(long(12_500)).await;
    assert_eq!(fixture.outcome(&does_not).await, Err(DenialCode::IdentityTooLarge));
}

#[tokio::test]
async fn without_a_bound_every_request_asks_the_store() {
    let fixture = fixture(Setup { staleness: Duration::ZERO, ..Setup::default() });
    let handle = fixture.handle(|_| {}).await;
    for _ in 0..3 {
        assert_eq!(fixture.outcome(&handle).await, Ok(()));
    }
    assert_eq!(fixture.reads(), 3);
    fixture.tokens.remove(&TokenDigest::of(&handle)).await.unwrap();
    assert_eq!(fixture.outcome(&handle).await, Err(DenialCode::HandleUnknown));
}

#[tokio::test]
async fn an_explanation_says_that_it_is_a_handle_and_whether_it_is_known() {
    let fixture = usual();
    let known = fixture.handle(|_| {}).await;
    let unknown = new_handle();
    for (handle, is_known, last, finding) in [
        (&known, true, "scopes", "known, issuer us; good for another 600 s"),
        (&unknown, false, "handle", "the handle is not known"),
    ] {
        let request = http::Request::get("/validate_request")
            .header(AUTHORIZATION, format!("Bearer {handle}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let inquiry = Dialect::Nginx.read(&request);
        let explanation = explain(&fixture.gate, &inquiry, fixture.clock.as_ref()).await;
        assert_eq!(explanation.verdict.denied().is_none(), is_known);
        let step = |name: &str| {
            explanation.steps.iter().find(|step| step.step == name).expect("a step of that name")
        };
        assert_eq!(step("credential").finding, "a handle of 43 bytes in the Authorization header");
        assert!(step("handle").finding.starts_with(finding), "{}", step("handle").finding);
        assert_eq!(step("handle").passed, is_known);
        assert_eq!(explanation.steps.last().expect("steps").step, last);
        let all = format!("{:?}", explanation.steps);
        assert!(!all.contains(handle.as_str()), "an explanation holds no credential");
    }
}

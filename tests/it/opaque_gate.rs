//! The gate in opaque mode: handles in place of tokens, in headers and cookies, and the signed
//! token that the application is given. Through the library, without a network: what is tested is
//! who may pass, and how soon a change is noticed.

mod admission;
mod freshness;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, Response, StatusCode};
use portcullis::clock::{Clock as _, ManualClock, UnixTime};
use portcullis::gate::cached_decision::{CacheConfig, DecisionCache};
use portcullis::gate::credential::Cookies;
use portcullis::gate::denial::DenialCode;
use portcullis::gate::handle::Handles;
use portcullis::gate::identity::IdentityHeaders;
use portcullis::gate::metrics::GateMetrics;
use portcullis::gate::upstream::{Audience, UpstreamJwt};
use portcullis::gate::verdict::Verdict;
use portcullis::gate::{DenialConfig, Dialect, Gate};
use portcullis::opaque::{
    MemoryTokenStore, OpaqueToken, OpaqueTokenStore as _, TokenDigest, TokenKind, Tokens, generate,
};
use portcullis::secret::SystemRandom;
use portcullis::session::{
    MemoryStore, Session, SessionId, SessionPolicy, SessionStore as _, Sessions, UserId,
};
use portcullis::store::{StoreKind, StoreMetrics};
use portcullis::token::{Algorithm, Issuer, KeyRing, SigningKey, SigningRing, Verifier, key};
use serde_json::{Map, Value, json};

use crate::support::faulty_store::{FaultInjector, FaultyStore};

const NOW: u64 = 1_800_000_000;
const STALENESS: Duration = Duration::from_secs(1);
const UPSTREAM: HeaderName = HeaderName::from_static("x-auth-token");

/// A gate, and the stores behind it: `tokens` as another process reaches them, `guarded` as this
/// one does.
struct Fixture {
    gate: Gate,
    faults: Arc<FaultInjector>,
    tokens: Arc<FaultyStore<MemoryTokenStore>>,
    guarded: Arc<Tokens>,
    sessions: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    signer: SigningKey,
}

/// Parameters of a gate.
struct Setup {
    staleness: Duration,
    timeout: Duration,
    cookies: Cookies,
    has_handles: bool,
    upstream: bool,
    /// The life of a token of ours for the app, in seconds, in place of the client's own.
    audience: Option<u64>,
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
            audience: None,
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
    let faults = Arc::new(FaultInjector::default());
    let tokens = Arc::new(FaultyStore::new(MemoryTokenStore::new(), &faults));
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
        let audience = setup.audience.map(|seconds| Audience {
            name: "app".to_owned(),
            issuer: "portcullis".to_owned(),
            lifetime: Duration::from_secs(seconds),
        });
        decisions = decisions.with_upstream_jwt(upstream.for_audience(audience));
    }
    let gate = Gate::new(decisions, setup.cookies);
    Fixture { gate, faults, tokens, guarded, sessions, clock, signer }
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
        self.tokens.inner.put(&[token]).await.expect("put");
        handle
    }

    /// The answer to a request with these lines among its headers.
    async fn ask(&self, uri: &str, lines: &[(HeaderName, String)]) -> (Verdict, Answer) {
        let mut request = http::Request::get(uri).body(()).expect("a request").into_parts().0;
        for (name, value) in lines {
            request.headers.append(name, value.parse().expect("a value"));
        }
        let verdict = self.gate.check(&Dialect::Nginx.read(&request)).await;
        let denial_config = DenialConfig {
            missing_credentials: StatusCode::FORBIDDEN,
            realm: "test".to_owned(),
            accepts_basic: false,
        };
        let answer = Dialect::Nginx.render(&verdict, &denial_config);
        (verdict, answer)
    }

    async fn as_bearer(&self, credential: &str) -> (Verdict, Answer) {
        let bearer = (AUTHORIZATION, format!("Bearer {credential}"));
        self.ask("/validate_request", &[bearer]).await
    }

    /// The reason for which the credential is refused, if it is.
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
        verified.claims.get(name).unwrap_or_default()
    }

    /// The number of tokens that were read.
    fn reads(&self) -> usize {
        self.faults.calls().iter().filter(|call| **call == "tokens.get").count()
    }
}

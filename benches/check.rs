//! The cost of one answer from memory inside the gate, without a socket: nanoseconds for each
//! part, median of several rounds. `cargo bench --bench check`.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use portcullis::clock::{Clock, SystemClock};
use portcullis::gate::cached_decision::{CacheConfig, CacheKey, CredentialKind, DecisionCache};
use portcullis::gate::credential::{AcceptedKinds, Cookies};
use portcullis::gate::identity::IdentityHeaders;
use portcullis::gate::metrics::GateMetrics;
use portcullis::gate::verdict::Verdict;
use portcullis::gate::{DenialConfig, Dialect, Gate, credential};
use portcullis::secret::SystemRandom;
use portcullis::session::{
    MemoryStore, Session, SessionId, SessionPolicy, SessionStore, Sessions, UserId,
};
use portcullis::store::StoreMetrics;
use portcullis::token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, Verifier, key};
use serde_json::json;

const CALLS: u32 = 200_000;
const ROUNDS: usize = 7;

fn main() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (gate, token) = runtime.block_on(gate(&clock));
    let mut request = http::Request::get("/validate_request").body(()).unwrap().into_parts().0;
    request.headers = headers(&token);
    let denial_config = DenialConfig {
        missing_credentials: http::StatusCode::UNAUTHORIZED,
        realm: "x".to_owned(),
        accepts_basic: false,
    };
    let check = || runtime.block_on(gate.check(&Dialect::Nginx.read(&request)));
    let verdict = check();
    assert!(matches!(verdict, Verdict::Allow(_)), "{verdict:?}");

    let cookies = Cookies::default();
    println!("a token of {} bytes, nanoseconds each:", token.len());
    report("the clock, both ways", || (clock.now(), clock.monotonic()));
    report("finding the credential", || {
        credential::find(&request.headers, &cookies, AcceptedKinds::default())
    });
    report("the digest of the token", || CacheKey::of(CredentialKind::Jwt, &token));
    report("the check, from memory", check);
    report("rendering the answer", || Dialect::Nginx.render(&verdict, &denial_config));
}

fn report<T>(what: &str, mut call: impl FnMut() -> T) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<28} {:>8.1}", rounds[ROUNDS / 2]);
}

/// The headers that nginx passes on.
fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", "portcullis".parse().unwrap());
    headers.insert("x-original-uri", "/users/1?page=2".parse().unwrap());
    headers.insert("x-original-method", "GET".parse().unwrap());
    headers.insert("user-agent", "Mozilla/5.0 (X11; Linux x86_64)".parse().unwrap());
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    headers
}

async fn gate(clock: &Arc<dyn Clock>) -> (Gate, String) {
    let pem = key::generate(Algorithm::ES256, &SystemRandom).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::ES256, &pem).unwrap();
    let issuer = Issuer {
        name: "bench".into(),
        sessions: SessionRule::Required,
        keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
        ..Issuer::default()
    };
    let store = Arc::new(MemoryStore::new());
    let now = clock.now();
    let session = Session::new(
        SessionId::parse("BcLA2_krSZ39lCRkR9Gdig").unwrap(),
        UserId::parse("alice").unwrap(),
        now,
        now.after(Duration::from_secs(86_400)),
    );
    store.put(&session).await.unwrap();
    let policy = SessionPolicy {
        timeout: Duration::from_secs(1),
        records_use: true,
        ..SessionPolicy::default()
    };
    let sessions = Sessions::new(store, policy, Arc::clone(clock), StoreMetrics::default());
    let decisions = DecisionCache::new(
        Arc::new(Verifier::new(vec![Arc::new(issuer)], 8192, Arc::clone(clock))),
        Arc::new(sessions),
        IdentityHeaders::default(),
        CacheConfig::with_staleness(Duration::from_secs(3_600)),
        Arc::clone(clock),
        GateMetrics::default(),
    );
    let claims = json!({
        "iss": "prismaticain", "sub": "alice", "preferred_username": "alice",
        "email": "alice@example.com", "scope": "user:read user:write", "roles": ["demo"],
        "sid": "BcLA2_krSZ39lCRkR9Gdig", "iat": now.as_secs(), "exp": now.as_secs() + 86_400,
    });
    (Gate::new(decisions, Cookies::default()), signer.sign(&claims).unwrap())
}

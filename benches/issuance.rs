//! Issuing, refreshing and introspecting, a second, beside the bare costs that bound them: one
//! Argon2id hash, one signature. One caller, one thread for hashes; over stores in memory, and over
//! SQLite, where every write is on the disk before it is answered. `cargo bench --bench issuance`.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::account::password::{Checked, HashConfig, Passwords};
use portcullis::account::{
    AccountStore, Client, ClientSecret, KeyDigest, Login, SqliteAccounts, User,
};
use portcullis::clock::{Clock, SystemClock};
use portcullis::issuer::audit::Audit;
use portcullis::issuer::caller::Caller;
use portcullis::issuer::issued::Issued;
use portcullis::issuer::login::{GrantParams, PasswordCheck};
use portcullis::issuer::metrics::IssuerMetrics;
use portcullis::issuer::policy::{IssuancePolicy, RefreshPolicy};
use portcullis::issuer::refresh::RefreshRequest;
use portcullis::issuer::rules::PolicyAccess;
use portcullis::issuer::self_service::SelfServiceConfig;
use portcullis::issuer::throttle::{Throttle, ThrottleConfig};
use portcullis::issuer::users::password_rules::PasswordRules;
use portcullis::issuer::{Dependencies, Issuance};
use portcullis::lease::Leases;
use portcullis::limit::Limits;
use portcullis::opaque::{MemoryTokenStore, OpaqueTokenStore, SqliteTokenStore, Tokens};
use portcullis::secret::{Random, Secret, SystemRandom};
use portcullis::session::{
    MemoryStore, SessionPolicy, SessionStore, Sessions, SqliteStore, UserId,
};
use portcullis::store::records::{MemoryRecordStore, RecordStore, Records, SqliteRecordStore};
use portcullis::store::sqlite::{Database, Options};
use portcullis::store::{StoreKind, StoreMetrics};
use portcullis::telemetry::audit::AuditLog;
use portcullis::token::{
    Algorithm, Issuer, KeyRing, SessionRule, SigningKey, SigningRing, Verifier, key,
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const ISS: &str = "bench";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Arc::new(Passwords::new(hash_config(), Arc::new(SystemRandom)).unwrap());
        let password = Secret::new("wonderland");
        let hash = passwords.hash(&password).await.unwrap();
        let check = async || {
            assert_eq!(passwords.check(&password, Some(&hash)).await.unwrap(), Checked::Right);
        };
        let argon = rate(check).await;
        println!("{:<44} {argon:>10.1} /s", "bare Argon2id (64 MiB, 3 passes, 4 lanes)");

        for store in ["memory", "sqlite"] {
            println!("over {store}:");
            let dependencies = dependencies(folder.path(), store, &passwords, &hash).await;
            Box::pin(measure(&dependencies, argon)).await;
        }
    });
}

async fn measure(dependencies: &Dependencies, argon: f64) {
    let issuance = Issuance::new(dependencies);
    let caller = Caller::default();
    let client = dependencies.accounts.client("demo").await.unwrap().unwrap();
    let params = || GrantParams { client: Some(&client), ..GrantParams::default() };
    let password = Secret::new("wonderland");
    let log_in =
        async || issuance.login.password("alice", &password, params(), &caller).await.unwrap();

    let issued = log_in().await;
    let token = text(&issued.access_token);
    let claims = dependencies.verifier.verify(&token).unwrap().claims;
    let signer = issuance.signers.signing(issuance.clock.now()).unwrap();
    let signing = rate(async || drop(black_box(signer.sign(&claims.to_map()).unwrap()))).await;
    println!("  {:<42} {signing:>10.1} /s", "bare signature (ES256)");

    let logins = rate(async || drop(log_in().await)).await;
    report("password grant", logins, "bare Argon2id", argon);

    let programs = rate(async || {
        drop(issuance.login.client_credentials(&client, params(), &caller).await.unwrap());
    });
    report("client credentials", programs.await, "bare signature", signing);

    let mut last: Issued = log_in().await;
    let refreshes = rate(async || {
        let token = text(last.refresh_token.as_ref().unwrap());
        let client = Some(&client);
        let request =
            RefreshRequest { token: &token, client, scopes: None, audiences: &[], caller: &caller };
        last = issuance.refresh.refresh(request).await.unwrap();
    });
    report("refresh, rotating", refreshes.await, "bare signature", signing);

    // The first login's session has made room for later ones.
    let token = text(&last.access_token);
    let introspected = rate(async || {
        assert!(issuance.introspection.introspect(&token).await.unwrap().is_some());
    });
    report("introspection of a JWT", introspected.await, "bare signature", signing);
}

fn report(what: &str, rate: f64, bare: &str, bare_rate: f64) {
    println!("  {what:<42} {rate:>10.1} /s   {:.3} of {bare}", rate / bare_rate);
}

fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

/// The median of some rounds, in calls a second.
async fn rate(mut call: impl AsyncFnMut()) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (started, mut calls) = (Instant::now(), 0_u32);
        while started.elapsed() < ROUND {
            call().await;
            calls += 1;
        }
        rounds.push(f64::from(calls) / started.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn hash_config() -> HashConfig {
    HashConfig { threads: 1, ..HashConfig::default() }
}

async fn dependencies(
    folder: &Path,
    store: &str,
    passwords: &Arc<Passwords>,
    hash: &Secret,
) -> Dependencies {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let file = folder.join(format!("{store}.db"));
    let database = Database::open(&file, Options::default()).await.unwrap();
    let (sessions, opaque, records): (
        Arc<dyn SessionStore>,
        Arc<dyn OpaqueTokenStore>,
        Arc<dyn RecordStore>,
    ) = match store {
        "memory" => (
            Arc::new(MemoryStore::new()),
            Arc::new(MemoryTokenStore::new()),
            Arc::new(MemoryRecordStore::new()),
        ),
        _ => (
            Arc::new(SqliteStore::new(database.clone())),
            Arc::new(SqliteTokenStore::new(database.clone())),
            Arc::new(SqliteRecordStore::new(database.clone())),
        ),
    };
    let metrics = StoreMetrics::unregistered;
    let policy = SessionPolicy { timeout: TIMEOUT, ..SessionPolicy::default() };
    let sessions = Sessions::new(sessions, policy, clock.clone(), metrics(StoreKind::Sessions));
    let tokens = Tokens::new(opaque, TIMEOUT, clock.clone(), metrics(StoreKind::Tokens));
    let records = Records::new(records, TIMEOUT, clock.clone(), metrics(StoreKind::Limits));
    let pem = key::generate(Algorithm::ES256, random.as_ref()).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::ES256, &pem).unwrap();
    let issuer = Issuer {
        name: ISS.into(),
        iss: Some(ISS.to_owned()),
        audiences: vec![ISS.to_owned()],
        sessions: SessionRule::Required,
        keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
        ..Issuer::default()
    };
    let throttle = ThrottleConfig {
        enabled: true,
        per_minute: 1_000_000,
        lock_tries: 10,
        lock_time: Duration::from_secs(900),
    };
    Dependencies {
        policy: Arc::new(issuance_policy()),
        rules: PolicyAccess::unused(Arc::new(SqliteAccounts::new(database.clone(), TIMEOUT))),
        accounts: accounts(database, hash, clock.as_ref()).await,
        passwords: Arc::clone(passwords),
        password_rules: PasswordRules::default(),
        self_service: SelfServiceConfig::default(),
        mailer: None,
        password_check: PasswordCheck::Accounts,
        tokens: Arc::new(tokens),
        throttle: Throttle::new(Limits::new(records.clone()), throttle, clock.clone()),
        leases: Leases::new(records.clone()),
        records,
        sessions: Arc::new(sessions),
        signers: Arc::new(SigningRing::fixed(signer)),
        verifier: Arc::new(Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone())),
        permissions: Arc::default(),
        audit: Audit::new(AuditLog::off(), clock.clone()),
        metrics: IssuerMetrics::default(),
        clock,
        random,
    }
}

fn issuance_policy() -> IssuancePolicy {
    IssuancePolicy {
        iss: ISS.to_owned(),
        audiences: vec![ISS.to_owned()],
        access_lifetime: Duration::from_secs(900),
        refresh_lifetime: Duration::from_secs(604_800),
        key_lifetime: Duration::ZERO,
        refresh_policy: RefreshPolicy::Rotate,
        refresh_window: Duration::from_secs(120),
        grace: Duration::ZERO,
        lease: Duration::from_secs(5),
        opaque: false,
        scopes: None,
        max_sessions: 10,
        max_key_sessions: 10,
        replaces_device_sessions: false,
        ticket_lifetime: Duration::from_secs(10),
        sessions_scope: None,
        own_urls: Vec::new(),
    }
}

async fn accounts(database: Database, hash: &Secret, clock: &dyn Clock) -> Arc<dyn AccountStore> {
    let accounts = SqliteAccounts::new(database, TIMEOUT);
    let (now, scopes) = (clock.now(), vec!["user:read".to_owned()]);
    let user = User {
        scopes: scopes.clone(),
        password: Some(hash.clone()),
        ..User::new(UserId::parse("alice").unwrap(), Login::parse("alice").unwrap(), now)
    };
    accounts.add_user(&user).await.unwrap();
    let digest = KeyDigest::of(&Secret::new("demo-secret"));
    let grants = ["password", "client_credentials", "refresh_token"].map(str::to_owned).to_vec();
    let client = Client {
        id: "demo".to_owned(),
        label: None,
        secrets: vec![ClientSecret { digest, expires: None }],
        jwks: None,
        grants,
        scopes,
        audiences: Vec::new(),
        introspects: true,
        created: now,
    };
    accounts.add_client(&client).await.unwrap();
    Arc::new(accounts)
}

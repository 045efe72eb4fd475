//! Issuance as a library: no network, a clock that stands still, stores that can be made to fail.

use std::{path::PathBuf, sync::Arc, time::Duration};

use portcullis::{
    account::{
        AccountStore as _, ApiKey, Client, ClientSecret, KeyDigest, Login, SqliteAccounts, User,
        UserKind,
        password::{HashConfig, Passwords},
    },
    clock::{ManualClock, UnixTime},
    issuer::{
        Dependencies, Issuance,
        audit::Audit,
        caller::Caller,
        error::IssueError,
        issue::Issued,
        login::{GrantParams, PasswordCheck},
        metrics::IssuerMetrics,
        policy::IssuancePolicy,
        refresh::RefreshRequest,
        throttle::{Throttle, ThrottleConfig},
    },
    lease::Leases,
    limit::Limits,
    opaque::{MemoryTokenStore, Tokens},
    secret::{Secret, SystemRandom},
    session::{Filter, MemoryStore, Session, SessionPolicy, SessionStore as _, Sessions, UserId},
    store::records::{MemoryRecordStore, Records},
    store::sqlite,
    store::{StoreKind, StoreMetrics},
    telemetry::audit::{AuditLog, AuditTarget, AuditWriter},
    token::{Algorithm, SigningKey, SigningRing, key},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    faulty_store::{FaultInjector, FaultyStore},
    issuance::{usual_policy, verifier},
};

/// The moment at which everything begins.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);
/// The user of most tests and her password.
pub const ALICE: (&str, &str) = ("alice", "wonderland");
/// The client of most tests and its secret.
pub const DEMO: (&str, &str) = ("demo", "demo-secret");
/// A program's API key.
pub const API_KEY: &str = "the api key of a robot";
/// The issuer's name.
pub const ISS: &str = "https://issuer.test";
/// How much hashing is enough where nobody measures it.
pub const CHEAP: HashConfig =
    HashConfig { memory_kib: 16, passes: 1, lanes: 1, threads: 1, queue: 64 };

/// What is different from the usual issuer.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What is decided about tokens.
    pub policy: IssuancePolicy,
    /// How passwords are hashed.
    pub hashing: HashConfig,
    /// How alice's was hashed, where that was otherwise.
    pub hashed: Option<HashConfig>,
    /// Whether guessing is limited.
    pub throttled: bool,
}

impl Setup {
    /// The usual issuer under another policy.
    pub fn with(change: impl FnOnce(&mut IssuancePolicy)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.policy);
        setup
    }
}

impl Default for Setup {
    fn default() -> Self {
        let policy = usual_policy(ISS, Duration::from_secs(5));
        Self { policy, hashing: CHEAP, hashed: None, throttled: true }
    }
}

/// An issuer, and the stores behind it.
pub struct Fixture {
    /// What is tested.
    pub issuance: Arc<Issuance>,
    /// What it is built of.
    pub dependencies: Dependencies,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// The injector of faults into its stores.
    pub faults: Arc<FaultInjector>,
    /// Users, keys, clients.
    pub accounts: Arc<FaultyStore<SqliteAccounts>>,
    /// Sessions.
    pub sessions: Arc<FaultyStore<MemoryStore>>,
    /// Refresh tokens and handles.
    pub tokens: Arc<FaultyStore<MemoryTokenStore>>,
    /// The client demo.
    pub demo: Client,
    /// The key by which demo signs assertions.
    pub demo_key: SigningKey,
    /// Who asks.
    pub caller: Caller,
    audit: AuditWriter,
    folder: TempDir,
}

impl Fixture {
    /// The usual issuer.
    pub async fn new() -> Self {
        Self::of(Setup::default()).await
    }

    /// An issuer with alice, a robot with an API key, and the client demo.
    pub async fn of(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(START));
        let faults = Arc::new(FaultInjector::default());
        let options = sqlite::Options { max_connections: 1, ..super::patient_sqlite() };
        let file = folder.path().join("accounts.db");
        let accounts = SqliteAccounts::open(&file, options).await.expect("accounts");
        let accounts = Arc::new(FaultyStore::new(accounts, &faults));
        let sessions = Arc::new(FaultyStore::new(MemoryStore::new(), &faults));
        let tokens = Arc::new(FaultyStore::new(MemoryTokenStore::new(), &faults));
        let records = Arc::new(FaultyStore::new(MemoryRecordStore::new(), &faults));
        let timeout = Duration::from_secs(20);
        let records = Records::new(
            records,
            timeout,
            clock.clone(),
            StoreMetrics::unregistered(StoreKind::Limits),
        );
        let throttle = ThrottleConfig {
            enabled: setup.throttled,
            per_minute: 60,
            lock_tries: 10,
            lock_time: Duration::from_secs(900),
        };
        let pem = key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
        let signer = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).expect("a key");
        let target = AuditTarget::File(audit_file(&folder));
        let (log, audit) = AuditLog::start(&target).expect("an audit log");
        let session_policy = SessionPolicy { timeout, ..SessionPolicy::default() };
        let dependencies = Dependencies {
            policy: Arc::new(setup.policy),
            accounts: accounts.clone(),
            passwords: Arc::new(
                Passwords::new(setup.hashing, Arc::new(SystemRandom)).expect("valid parameters"),
            ),
            password_check: PasswordCheck::Accounts,
            tokens: Arc::new(Tokens::new(
                tokens.clone(),
                timeout,
                clock.clone(),
                StoreMetrics::unregistered(StoreKind::Tokens),
            )),
            throttle: Throttle::new(Limits::new(records.clone()), throttle, clock.clone()),
            leases: Leases::new(records.clone()),
            records,
            sessions: Arc::new(Sessions::new(
                sessions.clone(),
                session_policy,
                clock.clone(),
                StoreMetrics::default(),
            )),
            verifier: Arc::new(verifier(ISS, &signer, Duration::ZERO, clock.clone())),
            signers: Arc::new(SigningRing::fixed(signer)),
            audit: Audit::new(log, clock.clone()),
            metrics: IssuerMetrics::default(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        };
        let pem = key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
        let demo_key = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).expect("a key");
        let demo = demo(&demo_key);
        let caller = Caller { address: Some([192, 0, 2, 1].into()), user_agent: None };
        let issuance = Arc::new(Issuance::new(&dependencies));
        let fixture = Self {
            issuance,
            dependencies,
            clock,
            faults,
            accounts,
            sessions,
            tokens,
            demo,
            demo_key,
            caller,
            audit,
            folder,
        };
        fixture.populate(setup.hashed.unwrap_or(setup.hashing)).await;
        fixture
    }

    async fn populate(&self, hashing: HashConfig) {
        let passwords = Passwords::new(hashing, Arc::new(SystemRandom)).expect("valid parameters");
        let hash = passwords.hash(&Secret::new(ALICE.1)).await.expect("a hash");
        let accounts = &self.accounts.inner;
        accounts.add_user(&user(ALICE.0, UserKind::Person, Some(hash))).await.expect("alice");
        accounts.add_user(&user("robot", UserKind::Service, None)).await.expect("robot");
        let key = ApiKey {
            id: "key-of-robot".to_owned(),
            user: id("robot"),
            digest: KeyDigest::of(&Secret::new(API_KEY)),
            label: None,
            scopes: Vec::new(),
            created: START,
            expires: None,
            last_used: None,
        };
        accounts.add_key(&key).await.expect("a key");
        accounts.add_client(&self.demo).await.expect("a client");
    }

    /// Alice logs in with her password, by no client.
    pub async fn log_in(&self) -> Result<Issued, IssueError> {
        self.log_in_as(ALICE.0, ALICE.1).await
    }

    /// Somebody logs in with a password, by no client.
    pub async fn log_in_as(&self, login: &str, password: &str) -> Result<Issued, IssueError> {
        let password = Secret::new(password);
        self.issuance.login.password(login, &password, GrantParams::default(), &self.caller).await
    }

    /// The refresh of what a login gave.
    pub async fn refresh(&self, token: &Secret) -> Result<Issued, IssueError> {
        let token = shown(token);
        let request = RefreshRequest {
            token,
            client: None,
            scopes: None,
            audiences: &[],
            caller: &self.caller,
        };
        self.issuance.refresh.refresh(request).await
    }

    /// The sessions that live, of whomever.
    pub async fn live(&self) -> Vec<Session> {
        let filter =
            Filter { user: None, live_at: Some(portcullis::clock::Clock::now(&*self.clock)) };
        let mut live = self.sessions.inner.list(&filter, 1000).await.expect("memory answers");
        live.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        live
    }

    /// Lets time pass.
    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The end: the events that were written to the audit log.
    pub fn audited(self) -> Vec<Value> {
        self.audit.finish();
        let text = std::fs::read_to_string(audit_file(&self.folder)).expect("the audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A token as a request shows it.
pub fn shown(token: &Secret) -> &str {
    token.expose_str().expect("tokens are text")
}

/// The id of a user who is called so.
pub fn id(name: &str) -> UserId {
    UserId::parse(name).expect("an id")
}

/// A user whose id is the name.
pub fn user(name: &str, kind: UserKind, password: Option<Secret>) -> User {
    User {
        kind,
        scopes: scopes(),
        password,
        ..User::new(id(name), Login::parse(name).expect("a name"), START)
    }
}

fn scopes() -> Vec<String> {
    ["user:read", "user:write"].map(str::to_owned).to_vec()
}

fn demo(key: &SigningKey) -> Client {
    let jwk = key.verifying().clone().named();
    let jwk = jwk.public().expect("a public key").jwk().clone();
    let grants =
        ["password", "refresh_token", "client_credentials", "urn:portcullis:grant-type:api-key"];
    Client {
        id: DEMO.0.to_owned(),
        label: None,
        secrets: vec![ClientSecret { digest: KeyDigest::of(&Secret::new(DEMO.1)), expires: None }],
        jwks: Some(json!({ "keys": [jwk] })),
        grants: grants.map(str::to_owned).to_vec(),
        scopes: scopes(),
        audiences: Vec::new(),
        introspects: true,
        created: START,
    }
}

fn audit_file(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

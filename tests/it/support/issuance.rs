//! Issuance without a server: over stores in memory that can be made to fail, and accounts in a file, on a clock that
//! moves when it is told to.

pub mod setup;

use std::{path::PathBuf, sync::Arc, time::Duration};

use portcullis::{
    account::{
        AccountStore as _, ApiKey, Client, ClientSecret, KeyDigest, Login, SqliteAccounts, User,
        UserKind,
        password::{HashConfig, Passwords},
    },
    clock::{Clock as _, ManualClock, UnixTime},
    issuer::{
        Dependencies, Issuance,
        audit::Audit,
        caller::Caller,
        error::IssueError,
        issued::Issued,
        login::{GrantParams, PasswordCheck},
        metrics::IssuerMetrics,
        refresh::RefreshRequest,
        rules::PolicyAccess,
        throttle::Throttle,
        users::password_rules::PasswordRules,
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

pub use setup::{Setup, verifier};

use super::faulty_store::{FaultInjector, FaultyStore};

/// The moment at which everything begins.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);
/// The issuer's name, and the audience of its tokens.
pub const ISS: &str = "https://issuer.test";
/// The user of most tests and her password.
pub const ALICE: (&str, &str) = ("alice", "wonderland");
/// Her id, unlike her name.
pub const ALICE_ID: &str = "alice-id";
/// The confidential client of most tests and its secret.
pub const DEMO: (&str, &str) = ("demo", "demo-secret");
/// A program's API key.
pub const API_KEY: &str = "the api key of a robot";
/// The scopes of all users and clients.
pub const SCOPES: [&str; 2] = ["user:read", "user:write"];
/// The cost of a hash where nobody measures it.
pub const CHEAP: HashConfig =
    HashConfig { memory_kib: 16, passes: 1, lanes: 1, threads: 1, queue: 64 };
/// The time that a store has for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An issuer with alice, a robot with an API key, and the client demo; and the stores behind it.
pub struct Fixture {
    /// The issuer.
    pub issuance: Arc<Issuance>,
    /// Its parts.
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
    /// The caller of all requests.
    pub caller: Caller,
    audit: AuditWriter,
    folder: TempDir,
}

impl Fixture {
    /// The usual issuer.
    pub async fn usual() -> Self {
        Self::of(Setup::default()).await
    }

    /// The usual issuer with something changed.
    pub async fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        Self::of(setup).await
    }

    /// An issuer with these parameters.
    pub async fn of(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(START));
        let faults = Arc::new(FaultInjector::default());
        let options = sqlite::Options { max_connections: 1, ..super::patient_sqlite() };
        let file = folder.path().join("accounts.db");
        let accounts = SqliteAccounts::open(&file, options).await.expect("accounts");
        let rules = Arc::new(SqliteAccounts::open(&file, options).await.expect("the same file"));
        let accounts = Arc::new(FaultyStore::new(accounts, &faults));
        let sessions = Arc::new(FaultyStore::new(MemoryStore::new(), &faults));
        let tokens = Arc::new(FaultyStore::new(MemoryTokenStore::new(), &faults));
        let target = AuditTarget::File(audit_file(&folder));
        let (log, audit) = AuditLog::start(&target).expect("an audit log");
        let signer = signing_key();
        let metrics = StoreMetrics::unregistered;
        let records = Arc::new(FaultyStore::new(MemoryRecordStore::new(), &faults));
        let records = Records::new(records, TIMEOUT, clock.clone(), metrics(StoreKind::Limits));
        let policy = SessionPolicy { timeout: TIMEOUT, ..SessionPolicy::default() };
        let kind = metrics(StoreKind::Sessions);
        let guarded_sessions = Sessions::new(sessions.clone(), policy, clock.clone(), kind);
        let kind = metrics(StoreKind::Tokens);
        let guarded_tokens = Tokens::new(tokens.clone(), TIMEOUT, clock.clone(), kind);
        let dependencies = Dependencies {
            policy: Arc::new(setup.policy),
            accounts: accounts.clone(),
            passwords: Arc::new(passwords(setup.hashing)),
            password_rules: PasswordRules::default(),
            self_service: setup.self_service,
            mailer: setup.mailer,
            password_check: PasswordCheck::Accounts,
            tokens: Arc::new(guarded_tokens),
            throttle: Throttle::new(Limits::new(records.clone()), setup.throttle, clock.clone()),
            leases: Leases::new(records.clone()),
            records,
            sessions: Arc::new(guarded_sessions),
            verifier: Arc::new(verifier(ISS, &signer, setup.leeway, clock.clone())),
            permissions: Arc::default(),
            rules: PolicyAccess::unused(rules),
            signers: Arc::new(SigningRing::fixed(signer)),
            audit: Audit::new(log, clock.clone()),
            metrics: IssuerMetrics::default(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        };
        let demo_key = signing_key();
        let fixture = Self {
            issuance: Arc::new(Issuance::new(&dependencies)),
            dependencies,
            clock,
            faults,
            accounts,
            sessions,
            tokens,
            demo: demo(&demo_key),
            demo_key,
            caller: Caller { address: Some([192, 0, 2, 1].into()), ..Caller::default() },
            audit,
            folder,
        };
        fixture.populate(setup.hashed).await;
        fixture
    }

    async fn populate(&self, hashed: Option<HashConfig>) {
        let old = match hashed {
            Some(config) => passwords(config).hash(&Secret::new(ALICE.1)).await.ok(),
            None => None,
        };
        self.add_user(ALICE, |alice| {
            alice.id = id(ALICE_ID);
            alice.password = old.or(alice.password.take());
        })
        .await;
        let robot = user("robot", UserKind::Service, None);
        self.accounts.inner.add_user(&robot).await.expect("a new user");
        self.add_key("robot", API_KEY).await;
        self.accounts.inner.add_client(&self.demo).await.expect("a new client");
    }

    /// Adds a user with a password, whose id is the name unless that is changed too.
    pub async fn add_user(&self, (name, password): (&str, &str), change: impl FnOnce(&mut User)) {
        let hash = self.dependencies.passwords.hash(&Secret::new(password)).await.expect("a hash");
        let mut user = user(name, UserKind::Person, Some(hash));
        change(&mut user);
        self.accounts.inner.add_user(&user).await.expect("a new user");
    }

    /// Adds an API key of the user with this id.
    pub async fn add_key(&self, user: &str, key: &str) {
        let digest = KeyDigest::of(&Secret::new(key));
        let key = ApiKey::new(digest.as_str().to_owned(), id(user), digest, START);
        self.accounts.inner.add_key(&key).await.expect("a new key");
    }

    /// Adds a confidential client.
    pub async fn add_client(&self, credentials: (&str, &str), grants: &[&str]) {
        let client = client(credentials, grants);
        self.accounts.inner.add_client(&client).await.expect("a new client");
    }

    /// Alice logs in with her password, by no client, and is let in.
    pub async fn login(&self) -> Issued {
        self.log_in().await.expect("alice logs in")
    }

    /// Alice logs in with her password, by no client.
    pub async fn log_in(&self) -> Result<Issued, IssueError> {
        self.log_in_as(ALICE.0, ALICE.1).await
    }

    /// Somebody logs in with a password, by no client.
    pub async fn log_in_as(&self, name: &str, password: &str) -> Result<Issued, IssueError> {
        let password = Secret::new(password);
        self.issuance.login.password(name, &password, GrantParams::default(), &self.caller).await
    }

    /// Alice logs in by the client demo, and is let in.
    pub async fn login_by_demo(&self) -> Issued {
        let params = GrantParams { client: Some(&self.demo), ..GrantParams::default() };
        let password = Secret::new(ALICE.1);
        let issued = self.issuance.login.password(ALICE.0, &password, params, &self.caller).await;
        issued.expect("alice logs in")
    }

    /// Somebody logs in with an API key, by no client.
    pub async fn log_in_by_key(&self, key: &str) -> Result<Issued, IssueError> {
        let key = Secret::new(key);
        self.issuance.login.api_key(&key, GrantParams::default(), &self.caller).await
    }

    /// The refresh of what a login gave.
    pub async fn refresh(&self, token: &Secret) -> Result<Issued, IssueError> {
        let (token, caller) = (shown(token), &self.caller);
        let request = RefreshRequest { token, client: None, scopes: None, audiences: &[], caller };
        self.issuance.refresh.refresh(request).await
    }

    /// The sessions that live, of whomever.
    pub async fn live(&self) -> Vec<Session> {
        let filter = Filter { user: None, live_at: Some(self.clock.now()) };
        let mut live = self.sessions.inner.list(&filter, 1000).await.expect("memory answers");
        live.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        live
    }

    /// Lets time pass.
    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The end: the events that were written to the audit log.
    pub fn into_events(self) -> Vec<Value> {
        self.audit.finish();
        let text = std::fs::read_to_string(audit_file(&self.folder)).expect("the audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A token as a request shows it.
pub fn shown(token: &Secret) -> &str {
    token.expose_str().expect("tokens are text")
}

/// The same, to be kept.
pub fn text(token: &Secret) -> String {
    shown(token).to_owned()
}

/// A user's id.
pub fn id(text: &str) -> UserId {
    UserId::parse(text).expect("an id")
}

/// A user whose id is the name.
pub fn user(name: &str, kind: UserKind, password: Option<Secret>) -> User {
    User {
        kind,
        scopes: SCOPES.map(str::to_owned).to_vec(),
        password,
        ..User::new(id(name), Login::parse(name).expect("a name"), START)
    }
}

fn client((id, secret): (&str, &str), grants: &[&str]) -> Client {
    let digest = KeyDigest::of(&Secret::new(secret));
    Client {
        id: id.to_owned(),
        label: None,
        secrets: vec![ClientSecret { digest, expires: None }],
        jwks: None,
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        scopes: SCOPES.map(str::to_owned).to_vec(),
        audiences: Vec::new(),
        introspects: true,
        created: START,
    }
}

fn demo(key: &SigningKey) -> Client {
    let jwk = key.verifying().clone().named();
    let jwk = jwk.public().expect("a public key").jwk().clone();
    let grants =
        ["password", "refresh_token", "client_credentials", "urn:portcullis:grant-type:api-key"];
    Client { jwks: Some(json!({ "keys": [jwk] })), ..client(DEMO, &grants) }
}

fn signing_key() -> SigningKey {
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
    SigningKey::from_private_pem(Algorithm::EdDSA, &pem).expect("a key")
}

fn passwords(config: HashConfig) -> Passwords {
    Passwords::new(config, Arc::new(SystemRandom)).expect("valid parameters")
}

fn audit_file(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

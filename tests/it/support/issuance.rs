//! Issuance without a server: over stores in memory and accounts in a file, on a clock that moves when it is told to.

use std::{path::PathBuf, sync::Arc, time::Duration};

use portcullis::{
    account::{
        Client, ClientSecret, KeyDigest, Login, SqliteAccounts, User,
        password::{HashConfig, Passwords},
    },
    clock::{Clock, ManualClock, UnixTime},
    issuer::{
        Dependencies, Issuance,
        audit::Audit,
        caller::Caller,
        issue::Issued,
        login::{GrantParams, PasswordCheck},
        metrics::IssuerMetrics,
        policy::{IssuancePolicy, RefreshPolicy},
        throttle::{Throttle, ThrottleConfig},
    },
    lease::Leases,
    limit::Limits,
    opaque::{MemoryTokenStore, OpaqueTokenStore, Tokens},
    secret::{Secret, SystemRandom},
    session::{MemoryStore, SessionPolicy, SessionStore, Sessions, UserId},
    store::records::{MemoryRecordStore, RecordStore, Records},
    store::sqlite,
    store::{StoreKind, StoreMetrics},
    telemetry::audit::{AuditLog, AuditTarget, AuditWriter},
    token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, SigningRing, Verifier},
};
use serde_json::Value;
use tempfile::TempDir;

/// The `iss`, and the audience, of its tokens.
pub const ISS: &str = "https://issuer.example";
/// The id of the user.
pub const ALICE: &str = "alice-id";
/// Who logs in, and his password.
pub const LOGIN: (&str, &str) = ("alice", "wonderland");
/// What he may be granted.
pub const SCOPES: [&str; 2] = ["user:read", "user:write"];
/// The confidential client, and its secret.
pub const CLIENT: (&str, &str) = ("demo", "demo-secret");
/// What the clock says at first.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// The usual defaults of the settings, for an issuer of that name.
pub fn usual_policy(iss: &str, lease: Duration) -> IssuancePolicy {
    IssuancePolicy {
        iss: iss.to_owned(),
        audiences: vec![iss.to_owned()],
        access_lifetime: Duration::from_secs(900),
        refresh_lifetime: Duration::from_secs(604_800),
        key_lifetime: Duration::from_secs(172_800),
        refresh_policy: RefreshPolicy::Rotate,
        refresh_window: Duration::from_secs(120),
        grace: Duration::ZERO,
        lease,
        opaque: false,
        scopes: None,
        max_sessions: 10,
        max_key_sessions: 10,
        sessions_scope: None,
        own_urls: vec![iss.to_owned()],
    }
}

/// What a test may have otherwise.
pub struct Setup {
    /// The usual defaults of the settings.
    pub policy: IssuancePolicy,
    /// By how much the clocks of others may differ.
    pub leeway: Duration,
    /// 600 a minute, so that only a test of the limits meets them.
    pub throttle: ThrottleConfig,
    /// In memory.
    pub sessions: Arc<dyn SessionStore>,
    /// In memory.
    pub opaque: Arc<dyn OpaqueTokenStore>,
    /// In memory.
    pub records: Arc<dyn RecordStore>,
}

impl Setup {
    fn usual() -> Self {
        let policy = usual_policy(ISS, Duration::from_secs(30));
        let throttle = ThrottleConfig {
            enabled: true,
            per_minute: 600,
            lock_tries: 10,
            lock_time: Duration::from_secs(900),
        };
        Self {
            policy,
            leeway: Duration::ZERO,
            throttle,
            sessions: Arc::new(MemoryStore::new()),
            opaque: Arc::new(MemoryTokenStore::new()),
            records: Arc::new(MemoryRecordStore::new()),
        }
    }
}

/// Issuance with one user and one client.
pub struct Fixture {
    /// What issues.
    pub issuance: Arc<Issuance>,
    /// What it is built of.
    pub dependencies: Dependencies,
    /// Its time.
    pub clock: Arc<ManualClock>,
    audit: AuditWriter,
    folder: TempDir,
}

impl Fixture {
    /// Under the usual policy.
    pub async fn usual() -> Self {
        Self::new(|_| {}).await
    }

    /// On other ones.
    pub async fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::usual();
        change(&mut setup);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let manual = Arc::new(ManualClock::at(START));
        let clock: Arc<dyn Clock> = manual.clone();
        let random = Arc::new(SystemRandom);
        let file = folder.path().join("portcullis.db");
        let accounts = SqliteAccounts::open(&file, sqlite::Options::default()).await;
        let cheap = HashConfig { memory_kib: 64, passes: 1, lanes: 1, threads: 1, queue: 64 };
        let passwords = Passwords::new(cheap, random.clone()).expect("threads");
        let timeout = Duration::from_secs(5);
        let sessions = SessionPolicy { timeout, ..SessionPolicy::default() };
        let unseen = StoreMetrics::unregistered;
        let (kept, metrics) = (setup.records, unseen(StoreKind::Limits));
        let records = Records::new(kept, timeout, clock.clone(), metrics);
        let (log, audit) =
            AuditLog::start(&AuditTarget::File(audit_file(&folder))).expect("an audit log");
        let key = Secret::new("a secret that is long enough for HS256");
        let key = SigningKey::from_secret(Algorithm::HS256, &key).expect("a key");
        let dependencies = Dependencies {
            policy: Arc::new(setup.policy),
            accounts: Arc::new(accounts.expect("accounts")),
            passwords: Arc::new(passwords),
            password_check: PasswordCheck::Accounts,
            tokens: Arc::new(Tokens::new(
                setup.opaque,
                timeout,
                clock.clone(),
                unseen(StoreKind::Tokens),
            )),
            throttle: Throttle::new(Limits::new(records.clone()), setup.throttle, clock.clone()),
            leases: Leases::new(records.clone()),
            records,
            sessions: Arc::new(Sessions::new(
                setup.sessions,
                sessions,
                clock.clone(),
                unseen(StoreKind::Sessions),
            )),
            verifier: Arc::new(verifier(ISS, &key, setup.leeway, clock.clone())),
            signers: Arc::new(SigningRing::fixed(key)),
            audit: Audit::new(log, clock.clone()),
            metrics: IssuerMetrics::default(),
            clock,
            random,
        };
        let issuance = Arc::new(Issuance::new(&dependencies));
        let fixture = Self { issuance, dependencies, clock: manual, audit, folder };
        fixture.add_user(ALICE, LOGIN).await;
        fixture.add_client(CLIENT, &["password", "client_credentials", "refresh_token"]).await;
        fixture
    }

    /// One more user, with the scopes of all.
    pub async fn add_user(&self, id: &str, (name, password): (&str, &str)) {
        let hash = self.dependencies.passwords.hash(&Secret::new(password)).await.expect("a hash");
        let user = User {
            scopes: SCOPES.map(str::to_owned).to_vec(),
            password: Some(hash),
            ..User::new(
                UserId::parse(id).expect("an id"),
                Login::parse(name).expect("a name"),
                START,
            )
        };
        self.dependencies.accounts.add_user(&user).await.expect("a new user");
    }

    /// One more confidential client, with the scopes of all.
    pub async fn add_client(&self, (id, secret): (&str, &str), grants: &[&str]) {
        let digest = KeyDigest::of(&Secret::new(secret));
        let client = Client {
            id: id.to_owned(),
            label: None,
            secrets: vec![ClientSecret { digest, expires: None }],
            jwks: None,
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            audiences: Vec::new(),
            introspects: true,
            created: START,
        };
        self.dependencies.accounts.add_client(&client).await.expect("a new client");
    }

    /// Alice logs in by herself.
    pub async fn login(&self) -> Issued {
        self.login_as(LOGIN, None).await
    }

    /// Somebody logs in, by a client or by himself.
    pub async fn login_as(&self, (name, password): (&str, &str), client: Option<&str>) -> Issued {
        let client = match client {
            Some(id) => self.dependencies.accounts.client(id).await.expect("an answer"),
            None => None,
        };
        let params = GrantParams { client: client.as_ref(), ..GrantParams::default() };
        let password = Secret::new(password);
        let caller = Caller::default();
        self.issuance.login.password(name, &password, params, &caller).await.expect("tokens")
    }

    /// Ends it; what the audit log says.
    pub fn into_events(self) -> Vec<Value> {
        self.audit.finish();
        let text = std::fs::read_to_string(audit_file(&self.folder)).expect("the audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A token as text.
pub fn text(secret: &Secret) -> String {
    secret.expose_str().expect("a token is text").to_owned()
}

fn audit_file(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

/// Accepts the tokens that an issuer of that name signs by this key, for itself.
pub fn verifier(iss: &str, key: &SigningKey, leeway: Duration, clock: Arc<dyn Clock>) -> Verifier {
    let issuer = Issuer {
        name: "own".into(),
        iss: Some(iss.to_owned()),
        audiences: vec![iss.to_owned()],
        leeway,
        sessions: SessionRule::Required,
        keys: Arc::new(KeyRing::fixed(vec![key.verifying().clone()])),
        ..Issuer::default()
    };
    Verifier::new(vec![Arc::new(issuer)], 8192, clock)
}

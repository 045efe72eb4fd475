//! A process: the real gate, over the real caches and marks, with the real way to hear of news; and where it issues, the
//! real issuance. Only its stores, its clock, its chance and its source of news are simulated.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, LazyLock},
    task::Poll,
    time::Duration,
};

use portcullis::{
    account::password::{HashTerms, Passwords},
    clock::Clock,
    gate::{
        admission::{Admissions, CacheTerms},
        handle::Handles,
        identity::IdentityHeaders,
        metrics::GateMetrics,
    },
    issuer::{
        Issuance, Parts,
        audit::Audit,
        login::PasswordCheck,
        metrics::IssuerMetrics,
        terms::{IssuanceTerms, RefreshPolicy},
        throttle::{Throttle, ThrottleTerms},
    },
    opaque::Tokens,
    restrict::Restrictions,
    secret::{Secret, SystemRandom},
    session::{CHANGE_TIMEOUT, SessionId, Sessions, Since, StoreKind, StoreMetrics, Terms, UserId},
    storage::news::{Heard, Hears, Means, NewsSource as _, NewsState},
    telemetry::audit::AuditLog,
    token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, SigningRing, Verifier},
};
use tokio::time::sleep_until;

use super::{
    accounts::NoAccounts,
    judge::{Answer, Credential},
    mutation::Mutation,
    news::Source,
    store::Link,
    weather::Lane,
    world::World,
};

/// The issuer, and the audience, of all tokens.
pub const ISS: &str = "https://issuer.test";
/// How long the gate waits for the store, as configured by default.
const TIMEOUT: Duration = Duration::from_millis(150);

/// The key of all tokens.
pub static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let secret = Secret::new("a secret that is long enough for HS256");
    SigningKey::from_secret(Algorithm::HS256, &secret).expect("a key")
});
static PASSWORDS: LazyLock<Arc<Passwords>> = LazyLock::new(|| {
    let cheap = HashTerms { memory_kib: 16, passes: 1, lanes: 1, threads: 1, queue: 1 };
    Arc::new(Passwords::new(cheap, Arc::new(SystemRandom)).expect("a thread"))
});
static GATE_METRICS: LazyLock<GateMetrics> = LazyLock::new(GateMetrics::default);
static ISSUER_METRICS: LazyLock<IssuerMetrics> = LazyLock::new(IssuerMetrics::default);
static STORE_METRICS: LazyLock<[StoreMetrics; 3]> = LazyLock::new(|| {
    [StoreKind::Sessions, StoreKind::Tokens, StoreKind::Restrictions].map(StoreMetrics::unseen)
});

/// What a gate promises, and what it is made to do.
#[derive(Clone, Copy, Debug)]
pub struct GateTerms {
    pub staleness: Duration,
    pub when_down: Duration,
}

/// One process.
#[derive(Debug)]
pub struct Process {
    pub number: usize,
    pub world: Arc<World>,
    pub sessions: Arc<Sessions>,
    pub tokens: Arc<Tokens>,
    pub admissions: Admissions,
}

impl Process {
    /// A process with an empty cache, which follows the news from now on.
    ///
    /// Sessions and users of these names share no counter of the process' freshness: which do is up to a hash that is
    /// different in each process and each run, and this run must be able to happen again.
    pub fn start(
        world: &Arc<World>,
        number: usize,
        terms: GateTerms,
        names: &[String],
    ) -> Arc<Self> {
        let link = Link { process: number, world: Arc::clone(world) };
        let clock: Arc<dyn Clock> = world.clock.clone();
        let [of_sessions, of_tokens, _] = &*STORE_METRICS;
        let doubts_when_down =
            world.mutation != Mutation::DownIsNoDoubt && terms.when_down < terms.staleness;
        let session_terms =
            Terms { timeout: TIMEOUT, notes_use: true, doubts_when_down, ..Terms::default() };
        let sessions = loop {
            let (link, clock) = (Arc::new(link.clone()), Arc::clone(&clock));
            let sessions = Sessions::new(link, session_terms, clock, of_sessions.clone());
            if tells_apart(&sessions, names) {
                break Arc::new(sessions);
            }
        };
        let tokens = Tokens::new(Arc::new(link), TIMEOUT, Arc::clone(&clock), of_tokens.clone());
        let tokens = Arc::new(tokens.doubting_when_down(doubts_when_down));
        let admissions = Admissions::new(
            Arc::new(verifier(&clock)),
            Arc::clone(&sessions),
            IdentityHeaders::default(),
            cache_terms(terms, world.mutation),
            clock,
            GATE_METRICS.clone(),
        )
        .with_handles(Handles::new(Arc::clone(&tokens)));
        let world = Arc::clone(world);
        let process = Arc::new(Self { number, world, sessions, tokens, admissions });
        process.follow();
        process
    }

    /// Follows the news.
    fn follow(self: &Arc<Self>) {
        let process = Arc::clone(self);
        tokio::spawn(async move {
            let source = Source { process: process.number, world: Arc::clone(&process.world) };
            let state = NewsState::new(Means::Bound);
            process.awake(source.follow(&*process, &state)).await;
        });
    }

    /// Does something whenever the process does not stand still.
    pub async fn awake<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut nap = None;
        poll_fn(move |cx| {
            while let Some(until) = self.world.weather.stalled_until(self.number) {
                let nap = nap.insert(Box::pin(sleep_until(until)));
                if nap.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Asks the gate, and has the answer judged. Says whether it was a yes.
    pub async fn ask(&self, credential: &Credential, is_settled: bool) -> bool {
        self.awake(self.ask_awake(credential, is_settled)).await
    }

    async fn ask_awake(&self, credential: &Credential, is_settled: bool) -> bool {
        let (world, process) = (&self.world, self.number);
        let name = world.judge.session(credential.session).name;
        world.note(process, "is asked", &name);
        let (asked, asked_wall) = (world.stamp(), world.clock.now());
        let down = self.down_since(credential);
        let is_open = self.is_open(credential);
        let outcome = self.admissions.admit(&credential.text).await;
        let denied = outcome.err().map(|code| code.as_str());
        world.note(process, denied.unwrap_or("says yes"), &name);
        let answer = Answer {
            process,
            asked,
            asked_wall,
            answered_wall: world.clock.now(),
            denied,
            calm_since: world.weather.calm_since(process),
            down_since: down.filter(|_| self.down_since(credential) == down),
            is_open,
            is_settled,
        };
        world.judge.answered(credential, &answer);
        denied.is_none()
    }

    fn lanes(credential: &Credential) -> &'static [Lane] {
        match credential.handle {
            Some(_) => &[Lane::Sessions, Lane::Tokens],
            None => &[Lane::Sessions],
        }
    }

    /// Since when the store has given no answer to what this credential needs, where it counts as down.
    fn down_since(&self, credential: &Credential) -> Option<Duration> {
        let reads = |lane: &Lane| self.world.weather.reads(self.number, *lane);
        let is_down = |lane: &&Lane| reads(lane).failed >= super::judge::DOWN;
        Self::lanes(credential).iter().filter(is_down).map(|lane| reads(lane).since).min()
    }

    /// Whether each lane that this credential needs was heard of since something last went wrong.
    fn is_open(&self, credential: &Credential) -> bool {
        let Some(calm) = self.world.weather.calm_since(self.number) else { return false };
        let answered = |lane: &Lane| self.world.weather.reads(self.number, *lane).answered;
        let is_open = |lane: &Lane| answered(lane).is_some_and(|answered| answered > calm);
        calm.is_zero() || Self::lanes(credential).iter().all(is_open)
    }

    /// Something that issues in this process.
    pub fn issuance(&self, lease: Duration, grace: Duration) -> Issuance {
        let clock: Arc<dyn Clock> = self.world.clock.clone();
        let link = Link { process: self.number, world: Arc::clone(&self.world) };
        let metrics = STORE_METRICS[2].clone();
        let restrictions =
            Restrictions::new(Arc::new(link), CHANGE_TIMEOUT, Arc::clone(&clock), metrics);
        let restrictions = Arc::new(restrictions);
        let parts = Parts {
            accounts: Arc::new(NoAccounts),
            passwords: Arc::clone(&PASSWORDS),
            password_check: PasswordCheck::Accounts,
            tokens: Arc::clone(&self.tokens),
            throttle: Throttle::new(Arc::clone(&restrictions), UNLIMITED, Arc::clone(&clock)),
            restrictions,
            sessions: Arc::clone(&self.sessions),
            signers: Arc::new(SigningRing::fixed(KEY.clone())),
            verifier: Arc::new(verifier(&clock)),
            audit: Audit::new(AuditLog::off(), Arc::clone(&clock)),
            metrics: ISSUER_METRICS.clone(),
            clock,
            random: self.world.chance.clone(),
        };
        Issuance::new(parts, issuance_terms(lease, grace))
    }
}

impl Hears for Process {
    fn hear(&self, heard: Heard<'_>) {
        let (world, process, now) = (&self.world, self.number, self.world.stamp());
        let is_swallowed = match heard {
            Heard::Missed => {
                world.note(process, "is warned", "");
                world.judge.missed(process, now);
                world.mutation == Mutation::MissedIsSwallowed
            }
            Heard::Changed(key) => {
                let key = String::from_utf8_lossy(key);
                world.note(process, "hears of", &key);
                world.judge.stirred(&key, process, now);
                world.mutation == Mutation::ChangeIsSwallowed && world.chance.percent(20)
            }
        };
        if !is_swallowed {
            self.sessions.hear(heard);
            self.tokens.hear(heard);
        }
    }
}

fn cache_terms(terms: GateTerms, mutation: Mutation) -> CacheTerms {
    let for_ever = Duration::from_secs(86_400);
    let is = |broken| mutation == broken;
    CacheTerms {
        staleness: if is(Mutation::AgeIsUnchecked) { for_ever } else { terms.staleness },
        when_down: if is(Mutation::AgeIsUncheckedWhenDown) { for_ever } else { terms.when_down },
        patience: TIMEOUT.mul_f64(1.2),
        bytes: 64 << 20,
    }
}

/// Whether a change of one of these concerns none of the others.
fn tells_apart(sessions: &Sessions, names: &[String]) -> bool {
    let user = UserId::parse("nobody").expect("a name");
    let marks: Vec<_> = names
        .iter()
        .map(|name| sessions.mark(&user, &SessionId::parse(name).expect("a name")))
        .chain(names.iter().map(|name| {
            sessions.mark(
                &UserId::parse(name).expect("a name"),
                &SessionId::parse("none").expect("one"),
            )
        }))
        .collect();
    let mut changed = 0;
    names
        .iter()
        .map(|name| format!("session:{name}"))
        .chain(names.iter().map(|name| format!("user:{name}")))
        .all(|key| {
            sessions.hear(Heard::Changed(key.as_bytes()));
            changed += 1;
            let outdated = marks.iter().filter(|mark| sessions.since(mark) == Since::Change);
            outdated.count() == changed
        })
}

fn verifier(clock: &Arc<dyn Clock>) -> Verifier {
    let issuer = Issuer {
        name: "own".into(),
        iss: Some(ISS.to_owned()),
        audiences: vec![ISS.to_owned()],
        default_audience: None,
        at_jwt_only: false,
        user_prefix: String::new(),
        leeway: Duration::ZERO,
        sessions: SessionRule::Required,
        keys: Arc::new(KeyRing::fixed(vec![KEY.verifying().clone()])),
    };
    Verifier::new(vec![Arc::new(issuer)], 8192, Arc::clone(clock))
}

const UNLIMITED: ThrottleTerms =
    ThrottleTerms { enabled: false, per_minute: 0, lock_tries: 0, lock_time: Duration::ZERO };

fn issuance_terms(lease: Duration, grace: Duration) -> IssuanceTerms {
    IssuanceTerms {
        iss: ISS.to_owned(),
        audiences: vec![ISS.to_owned()],
        access_lifetime: Duration::from_secs(900),
        refresh_lifetime: Duration::from_secs(604_800),
        key_lifetime: Duration::from_secs(172_800),
        policy: RefreshPolicy::Rotate,
        restrict: Duration::from_secs(120),
        grace,
        lease,
        opaque: false,
        scopes: None,
        max_sessions: 10,
        max_key_sessions: 10,
        sessions_scope: None,
        own_urls: vec![ISS.to_owned()],
    }
}

//! Issuers, while many show one refresh token: one wins, nobody is given what another was, and nothing is lost for good.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis::{
    clock::Clock as _,
    issuer::{Issuance, error::IssueError, issue::Issued, refresh::RefreshRequest, terms::Caller},
    opaque::{OpaqueStore as _, OpaqueToken, TokenDigest, TokenKind, generate},
    secret::Secret,
    session::{Device, Session, SessionId, SessionStore as _, UserId},
};
use serde_json::{Map, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    campaign::{Report, Run},
    chance::Chance,
    judge::{Credential, Judge, Promise, Rule},
    mutation::Mutation,
    process::{GateTerms, Process},
    storms,
    time::START,
    trace::NOBODY,
    weather::{Climate, Ill, Sky},
    world::World,
};

const USER: &str = "ann";
const SESSION: &str = "s0";
/// How long the gates believe what they read.
const STALENESS: Duration = Duration::from_millis(1_000);
/// The lease that follows from the deadlines of the stores, as the configuration has it.
pub const LEASE: Duration = Duration::from_secs(7);

/// What may go wrong. News do not matter to issuers.
const ILLS: [&[Ill]; 7] = [
    &[],
    &[Ill::Store],
    &[Ill::Way],
    &[Ill::Way],
    &[Ill::Stall],
    &[Ill::Store, Ill::Way],
    &[Ill::Store, Ill::Way, Ill::Stall],
];

/// What a run is about.
struct Plan {
    issuers: usize,
    grace: Duration,
    lease: Duration,
    /// How many show each token.
    rivals: usize,
    /// Within which time.
    within: Duration,
    /// Of a hundred so many are cut off in the middle, as a process is that ends.
    crashes: u64,
    /// Of a hundred so many go away in the middle; what they began goes on.
    departures: u64,
    generations: usize,
    climate: Climate,
    /// Whether the store takes for each change nearly as long as it may, all the time.
    is_crawling: bool,
}

impl Plan {
    fn draw(chance: &Chance) -> Self {
        let climate = storms::climate(chance, Duration::from_secs(2));
        let ills = chance.pick(&ILLS).to_vec();
        let within = chance.pick(&[0, 20, 200, 1_500, 4_000]);
        Self {
            issuers: chance.pick(&[2, 2, 3]),
            grace: Duration::from_secs(chance.pick(&[0, 60])),
            lease: chance.pick(&[Duration::from_millis(300), Duration::from_secs(1), LEASE]),
            rivals: chance.index(5) + 2,
            within: Duration::from_millis(within),
            crashes: chance.pick(&[0, 0, 20, 60]),
            departures: chance.pick(&[0, 30, 80]),
            generations: chance.pick(&[1, 1, 2]),
            climate: Climate { ills, ..climate },
            is_crawling: false,
        }
        .or_crawling(chance)
    }

    /// Now and then: nothing goes wrong, and everything takes as long as it just may.
    fn or_crawling(self, chance: &Chance) -> Self {
        if !chance.percent(5) {
            return self;
        }
        let grace = Duration::from_secs(60);
        let climate = Climate { ills: Vec::new(), lost: 0, busy: 1_500..=1_990, ..self.climate };
        Self { grace, lease: LEASE, crashes: 0, climate, is_crawling: true, ..self }
    }

    /// Whether no rotation outlives its lease but by being told of late, which is noticed.
    fn is_orderly(&self) -> bool {
        self.lease >= LEASE && self.crashes == 0 && !self.climate.ills.contains(&Ill::Stall)
    }
}

/// How a refresh ended.
#[derive(Debug)]
enum End {
    Issued(Box<Issued>),
    Refused,
    /// The store failed, as far as was said.
    Failed,
    /// Another is about it; to be asked again in so long.
    ComeAgain(Duration),
    /// Whoever asked went away.
    CutOff,
}

/// A run under way.
struct Scene {
    world: Arc<World>,
    processes: Vec<Arc<Process>>,
    issuers: Vec<Issuance>,
    plan: Plan,
    /// How many refreshes were begun that no crash cuts off, and how many of them ended.
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Runs one seed, to be polled on a runtime whose time is paused.
pub async fn run(run: Run) -> Report {
    let chance = Arc::new(Chance::from_seed(run.seed));
    let plan = Plan::draw(&chance);
    let promise = Promise { staleness: STALENESS, when_down: STALENESS, push: None };
    let judge = Judge::new(promise, plan.issuers);
    let world =
        World::new(chance, plan.issuers, plan.climate.clone(), run.mutation, run.is_read, judge);
    let names = [USER, SESSION].map(str::to_owned);
    let terms = GateTerms { staleness: STALENESS, when_down: STALENESS };
    let processes: Vec<_> =
        (0..plan.issuers).map(|number| Process::start(&world, number, terms, &names)).collect();
    let issuers =
        processes.iter().map(|process| process.issuance(plan.lease, plan.grace)).collect();
    let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let scene = Arc::new(Scene { world, processes, issuers, plan, begun, ended });
    scene.note_plan();
    let token = scene.open().await;
    scene.play(token).await;
    Report::of(&scene.world)
}

fn text(secret: &Secret) -> String {
    secret.expose_str().expect("a token is text").to_owned()
}

fn user() -> UserId {
    UserId::parse(USER).expect("a name")
}

fn session() -> SessionId {
    SessionId::parse(SESSION).expect("a name")
}

impl Scene {
    fn note_plan(&self) {
        let Plan { issuers, grace, lease, rivals, within, .. } = &self.plan;
        let Plan { crashes, departures, climate, .. } = &self.plan;
        let plan = format!(
            "{issuers} issuers, grace {grace:?}, lease {lease:?}, {rivals} rivals within {within:?}, \
             {crashes} % cut off, {departures} % gone, {climate:?}"
        );
        self.world.note(NOBODY, "plan:", &plan);
    }

    /// A session, and its first refresh token.
    async fn open(&self) -> String {
        let created = START.before(Duration::from_secs(60));
        let expires = START.after(Duration::from_secs(86_400));
        let session = Session {
            id: session(),
            user: user(),
            created,
            last_seen: created,
            expires,
            device: Device::default(),
            claims: Map::new(),
            not_before: portcullis::clock::UnixTime::EPOCH,
        };
        self.world.judge.add_session(SESSION, USER, created, expires);
        self.world.judge.session_opened(0, self.world.stamp());
        self.world.kept.sessions.put(&session).await.expect("memory answers");
        let token = text(&generate(&*self.world.chance).expect("chance"));
        let subject = json!({"user": USER, "scopes": null, "claims": {}, "is_person": true});
        let lineage = json!({
            "origin": {"from": "hook", "subject": subject}, "scopes": [], "audiences": []
        });
        let record = OpaqueToken {
            digest: TokenDigest::of(&token),
            kind: TokenKind::Refresh,
            session: session.id,
            user: session.user,
            client: None,
            claims: lineage.as_object().expect("an object").clone(),
            issued: created,
            expires,
            used: None,
        };
        self.world.kept.tokens.put(&[record]).await.expect("memory answers");
        token
    }

    async fn play(self: &Arc<Self>, first: String) {
        let lasts = self.plan.within + Duration::from_secs(6);
        let (world, issuers) = (Arc::clone(&self.world), self.issuers.len());
        let is_crawling = self.plan.is_crawling;
        let storms = tokio::spawn(async move {
            match is_crawling {
                true => storms::cloud(&world, 0..issuers, Sky::Busy, lasts * 2).await,
                false => storms::rage(world, issuers, lasts).await,
            }
        });
        let mut token = first;
        let mut access = None;
        for _ in 0..self.plan.generations {
            let issued = self.generation(&token).await;
            let Some(issued) = issued else { break };
            access = Some(issued.access_token.clone());
            token = text(issued.refresh_token.as_ref().expect("a successor"));
        }
        storms.await.expect("nobody panics");
        self.world.weather.settle();
        // Long enough for whoever holds a claim to have lost it, and for all that was sent to have arrived.
        sleep(self.plan.lease + Duration::from_secs(6)).await;
        self.epilogue(&token).await;
        if let Some(access) = access {
            self.ask_gates(&text(&access)).await;
        }
    }

    /// Many show one token; what one of them got, if anybody did.
    async fn generation(self: &Arc<Self>, token: &str) -> Option<Issued> {
        let mut rivals = JoinSet::new();
        for _ in 0..self.plan.rivals {
            let (scene, token) = (Arc::clone(self), token.to_owned());
            rivals.spawn(async move { scene.rival(&token).await });
        }
        let mut ends = Vec::new();
        while let Some(end) = rivals.join_next().await {
            ends.push(end.expect("nobody panics"));
        }
        // Whoever is told of nothing is not waited for by those who come next, but what he began is.
        self.finish().await;
        self.judge(&ends);
        ends.into_iter().find_map(|end| match end {
            End::Issued(issued) => Some(*issued),
            _ => None,
        })
    }

    /// Waits until what was begun has ended; then all of it has.
    async fn finish(&self) {
        for issuer in &self.issuers {
            issuer.tasks().ended().await;
        }
        let [begun, ended] = [&self.begun, &self.ended].map(|count| count.load(Relaxed));
        if begun != ended {
            let what = format!("{begun} refreshes were begun, {ended} of them ended");
            self.world.judge.broken(Rule::Finished, what);
        }
    }

    /// Somebody shows the token at some moment. The process may end before he is told, or he goes away; who is told to come
    /// again does.
    async fn rival(self: &Arc<Self>, token: &str) -> End {
        let chance = &self.world.chance;
        let within = u64::try_from(self.plan.within.as_millis()).expect("a short time");
        let issuer = chance.index(self.issuers.len());
        let crash = chance.percent(self.plan.crashes).then(|| match chance.percent(70) {
            true => chance.millis(0..=100),
            false => chance.millis(0..=6_000),
        });
        let departure = chance.percent(self.plan.departures).then(|| chance.below(16));
        self.world.travel(chance.millis(0..=within)).await;
        if let Some(crash) = crash {
            let refreshed = self.processes[issuer].awake(self.refresh(issuer, token));
            return timeout(crash, refreshed).await.unwrap_or_else(|_| self.cut_off(issuer));
        }
        let mut end = match departure {
            Some(steps) => tokio::select! {
                biased;
                () = self.world.after_steps(issuer, steps) => self.cut_off(issuer),
                end = self.ask(issuer, token) => end,
            },
            None => self.ask(issuer, token).await,
        };
        for _ in 0..3 {
            let End::ComeAgain(wait) = end else { break };
            sleep(wait).await;
            end = self.ask(issuer, token).await;
        }
        end
    }

    fn cut_off(&self, issuer: usize) -> End {
        self.world.note(issuer, "is cut off", "");
        self.world.judge.count("cut off");
        End::CutOff
    }

    /// A refresh as a server has it made: in a task of its own.
    async fn ask(self: &Arc<Self>, issuer: usize, token: &str) -> End {
        let (scene, token) = (Arc::clone(self), token.to_owned());
        let work = async move {
            scene.begun.fetch_add(1, Relaxed);
            let end = scene.processes[issuer].awake(scene.refresh(issuer, &token)).await;
            scene.ended.fetch_add(1, Relaxed);
            end
        };
        if self.world.mutation == Mutation::CallerStopsWork {
            return work.await;
        }
        self.issuers[issuer].tasks().run(work).await.expect("there is a place")
    }

    async fn refresh(&self, issuer: usize, token: &str) -> End {
        let world = &self.world;
        let (caller, digest) = (Caller::default(), TokenDigest::of(token));
        let request =
            RefreshRequest { token, client: None, scopes: None, audiences: &[], caller: &caller };
        world.note(issuer, "is shown", &digest.name());
        match self.issuers[issuer].refresh(request).await {
            Ok(issued) => {
                world.judge.count("issued");
                world.note(issuer, "issues", "");
                End::Issued(Box::new(issued))
            }
            Err(IssueError::InvalidGrant) => {
                world.note(issuer, "refuses", "");
                world.judge.count("refused");
                if self.family_lives().await {
                    let what = format!("issuer {issuer} refused a token of a family that lives");
                    world.judge.broken(Rule::Reuse, what);
                }
                End::Refused
            }
            Err(IssueError::UnderWay(wait)) => {
                world.note(issuer, "says: come again", "");
                world.judge.count("come again");
                End::ComeAgain(wait)
            }
            Err(error) => {
                world.note(issuer, "fails:", error.code());
                world.judge.count("failed");
                if !matches!(error, IssueError::Unavailable) {
                    world.judge.broken(Rule::Errors, format!("issuer {issuer} said {error:?}"));
                }
                End::Failed
            }
        }
    }

    async fn family_lives(&self) -> bool {
        let found = self.world.kept.sessions.get(&user(), &session()).await;
        found.expect("memory answers").is_some()
    }

    fn judge(&self, ends: &[End]) {
        let judge = &self.world.judge;
        let won: Vec<_> = ends
            .iter()
            .filter_map(|end| match end {
                End::Issued(issued) => Some(issued),
                _ => None,
            })
            .map(|issued| (text(&issued.access_token), issued.refresh_token.as_ref().map(text)))
            .collect();
        let distinct = won.iter().collect::<BTreeSet<_>>().len();
        let most = if self.plan.grace.is_zero() { won.len() } else { distinct };
        if most > 1 {
            let what = format!("{} won with one token, {distinct} different pairs", won.len());
            judge.broken(Rule::OneWins, what);
        }
        let refused = ends.iter().filter(|end| matches!(end, End::Refused)).count();
        let is_one_answer = !self.plan.grace.is_zero() && self.plan.is_orderly();
        if refused > 0 && is_one_answer && !judge.is_overdue() {
            let what = format!("{refused} were refused within the grace, {} won", won.len());
            judge.broken(Rule::SameAnswer, what);
        }
    }

    /// All is well again, and somebody shows the token that the last one to be told was given.
    async fn epilogue(&self, token: &str) {
        let judge = &self.world.judge;
        let digest = TokenDigest::of(token);
        let was_alive = self.family_lives().await;
        let kept = self.world.kept.tokens.get(&digest).await.expect("memory answers");
        let is_used = kept.expect("it is kept").used.is_some();
        let refreshed = self.processes[0].awake(self.refresh(0, token));
        // Nobody holds a claim any more, so nothing is waited for.
        let end = timeout(Duration::from_secs(2), refreshed).await.unwrap_or(End::CutOff);
        let is_issued = matches!(end, End::Issued(_));
        let has_grace = !self.plan.grace.is_zero();
        let lives_on = self.family_lives().await;
        match (was_alive, is_used) {
            (true, false) if !is_issued => {
                judge.broken(Rule::NothingLost, format!("a token that nobody used gets {end:?}"));
            }
            (true, true) if has_grace && self.plan.is_orderly() && !judge.is_overdue() => {
                let successors = judge.successors(&digest);
                let is_same = match &end {
                    End::Issued(issued) => successors.iter().any(|successor| {
                        let given = issued.refresh_token.as_ref().map(text).unwrap_or_default();
                        successor.digest == TokenDigest::of(&given)
                    }),
                    _ => false,
                };
                if !is_same {
                    judge.broken(Rule::SameAnswer, format!("within the grace one gets {end:?}"));
                }
            }
            (true, true) if !has_grace && (is_issued || lives_on) => {
                judge.broken(Rule::Reuse, format!("a used token gets {end:?}"));
            }
            (false, _) if is_issued => {
                judge.broken(Rule::Reuse, format!("a family that has ended gets {end:?}"));
            }
            _ => {}
        }
    }

    /// What the gates say of the last access token, when all who ended its session were told so long ago.
    async fn ask_gates(&self, access: &str) {
        sleep(STALENESS + Duration::from_secs(2)).await;
        let world = &self.world;
        let is_alive = self.family_lives().await;
        let expires = world.clock.now().after(Duration::from_secs(86_400));
        let credential = Credential { text: access.to_owned(), session: 0, handle: None, expires };
        for gate in &self.processes {
            let said = gate.awake(gate.admissions.admit(&credential.text)).await;
            world.note(gate.number, "says", if said.is_ok() { "yes" } else { "no" });
            if said.is_ok() != is_alive {
                let rule = if is_alive { Rule::Liveness } else { Rule::Bound };
                world.judge.broken(rule, format!("gate {} says {:?}", gate.number, said.err()));
            }
        }
    }
}

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
    issuer::{Issuance, caller::Caller, error::IssueError, issue::Issued, refresh::RefreshRequest},
    opaque::{OpaqueToken, OpaqueTokenStore as _, TokenDigest, TokenKind, generate},
    secret::Secret,
    session::{Session, SessionId, SessionStore as _, UserId},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    campaign::{Report, Run},
    cluster::ClusterState,
    fault_injection::{Fault, FaultPlan, LinkState},
    fault_schedule,
    mutation::Mutation,
    oracle::{Credential, Oracle, Rule, StalenessBounds},
    process::{GateConfig, Process},
    rng::SeededRng,
    time::START,
    trace::NO_PROCESS,
};

const USER: &str = "ann";
const SESSION: &str = "s0";
/// The staleness bound of the gates.
const STALENESS: Duration = Duration::from_millis(1_000);
/// The lease that follows from the deadlines of the stores, as the configuration has it.
pub const LEASE: Duration = Duration::from_secs(7);

/// The faults of a run. Invalidations do not matter to issuers.
const FAULTS: [&[Fault]; 7] = [
    &[],
    &[Fault::StoreDegraded],
    &[Fault::LinkDegraded],
    &[Fault::LinkDegraded],
    &[Fault::ProcessStalled],
    &[Fault::StoreDegraded, Fault::LinkDegraded],
    &[Fault::StoreDegraded, Fault::LinkDegraded, Fault::ProcessStalled],
];

/// The parameters of a run.
struct Plan {
    issuers: usize,
    grace: Duration,
    lease: Duration,
    /// The number of clients that show each token.
    contenders: usize,
    /// The time within which they show it.
    within: Duration,
    /// Of a hundred so many are cut off in the middle, as a process is that ends.
    crashes: u64,
    /// Of a hundred so many go away in the middle; what they began goes on.
    departures: u64,
    generations: usize,
    fault_plan: FaultPlan,
    /// Tells whether the store takes for each change nearly as long as it may, all the time.
    is_slow: bool,
}

impl Plan {
    fn draw(rng: &SeededRng) -> Self {
        let fault_plan = fault_schedule::draw_plan(rng, Duration::from_secs(2));
        let faults = rng.pick(&FAULTS).to_vec();
        let within = rng.pick(&[0, 20, 200, 1_500, 4_000]);
        Self {
            issuers: rng.pick(&[2, 2, 3]),
            grace: Duration::from_secs(rng.pick(&[0, 60])),
            lease: rng.pick(&[Duration::from_millis(300), Duration::from_secs(1), LEASE]),
            contenders: rng.index(5) + 2,
            within: Duration::from_millis(within),
            crashes: rng.pick(&[0, 0, 20, 60]),
            departures: rng.pick(&[0, 30, 80]),
            generations: rng.pick(&[1, 1, 2]),
            fault_plan: FaultPlan { faults, ..fault_plan },
            is_slow: false,
        }
        .or_slow(rng)
    }

    /// Makes one run in twenty slow: nothing goes wrong, and everything takes as long as it just may.
    fn or_slow(self, rng: &SeededRng) -> Self {
        if !rng.percent(5) {
            return self;
        }
        let grace = Duration::from_secs(60);
        let fault_plan = FaultPlan {
            faults: Vec::new(),
            loss_percent: 0,
            // With the reads before and after it, that of a lease still comes within two seconds.
            slow_write_latency: 1_500..=1_850,
            ..self.fault_plan
        };
        Self { grace, lease: LEASE, crashes: 0, fault_plan, is_slow: true, ..self }
    }

    /// Tells whether no rotation outlives its lease, except by an answer that comes late, which is noticed.
    fn keeps_leases(&self) -> bool {
        self.lease >= LEASE
            && self.crashes == 0
            && !self.fault_plan.faults.contains(&Fault::ProcessStalled)
    }
}

/// The outcome of a refresh.
#[derive(Debug)]
enum Outcome {
    Issued(Box<Issued>),
    Refused,
    /// The store failed, as far as the answer says.
    Failed,
    /// Another refresh of the token is under way; to be asked again after so long.
    RetryAfter(Duration),
    /// The caller went away.
    Cancelled,
}

/// A run under way.
struct Scenario {
    cluster: Arc<ClusterState>,
    processes: Vec<Arc<Process>>,
    issuers: Vec<Issuance>,
    plan: Plan,
    /// The number of refreshes that were begun and that no crash cuts off, and of those that ended.
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Runs one seed, to be polled on a runtime whose time is paused.
pub async fn run(run: Run) -> Report {
    let rng = Arc::new(SeededRng::from_seed(run.seed));
    let plan = Plan::draw(&rng);
    let bounds = StalenessBounds { staleness: STALENESS, stale_if_error: STALENESS, push: None };
    let oracle = Oracle::new(bounds, plan.issuers);
    let cluster = ClusterState::new(
        rng,
        plan.issuers,
        plan.fault_plan.clone(),
        run.mutation,
        run.with_text,
        oracle,
    );
    let names = [USER, SESSION].map(str::to_owned);
    let config = GateConfig { staleness: STALENESS, stale_if_error: STALENESS };
    let processes: Vec<_> =
        (0..plan.issuers).map(|number| Process::start(&cluster, number, config, &names)).collect();
    let issuers =
        processes.iter().map(|process| process.issuance(plan.lease, plan.grace)).collect();
    let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let scenario = Arc::new(Scenario { cluster, processes, issuers, plan, begun, ended });
    scenario.record_plan();
    let token = scenario.open().await;
    scenario.run_generations(token).await;
    Report::of(&scenario.cluster)
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

impl Scenario {
    fn record_plan(&self) {
        let Plan { issuers, grace, lease, contenders, within, .. } = &self.plan;
        let Plan { crashes, departures, fault_plan, .. } = &self.plan;
        let plan = format!(
            "{issuers} issuers, grace {grace:?}, lease {lease:?}, {contenders} contenders within {within:?}, \
             {crashes} % cut off, {departures} % gone, {fault_plan:?}"
        );
        self.cluster.record(NO_PROCESS, "plan:", &plan);
    }

    /// A session, and its first refresh token.
    async fn open(&self) -> String {
        let created = START.before(Duration::from_secs(60));
        let expires = START.after(Duration::from_secs(86_400));
        let session = Session::new(session(), user(), created, expires);
        self.cluster.oracle.add_session(SESSION, USER, created, expires);
        self.cluster.oracle.session_opened(0, self.cluster.stamp());
        self.cluster.store.sessions.put(&session).await.expect("memory answers");
        let token = text(&generate(&*self.cluster.rng).expect("random bytes"));
        let subject = json!({"user": USER, "scopes": null, "claims": {}, "is_person": true});
        let context = json!({
            "origin": {"from": "hook", "subject": subject}, "scopes": [], "audiences": []
        });
        let record = OpaqueToken {
            digest: TokenDigest::of(&token),
            kind: TokenKind::Refresh,
            session: session.id,
            user: session.user,
            client: None,
            claims: context.as_object().expect("an object").clone(),
            issued: created,
            expires,
            used: None,
        };
        self.cluster.store.tokens.put(&[record]).await.expect("memory answers");
        token
    }

    async fn run_generations(self: &Arc<Self>, first: String) {
        let duration = self.plan.within + Duration::from_secs(6);
        let (cluster, issuers) = (Arc::clone(&self.cluster), self.issuers.len());
        let is_slow = self.plan.is_slow;
        let faults = tokio::spawn(async move {
            match is_slow {
                true => {
                    fault_schedule::degrade(
                        &cluster,
                        0..issuers,
                        LinkState::SlowWrites,
                        duration * 2,
                    )
                    .await
                }
                false => fault_schedule::inject_faults(cluster, issuers, duration).await,
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
        faults.await.expect("nobody panics");
        self.cluster.injector.stop_losing();
        // Long enough for whoever holds a lease to have lost it, and for all that was sent to have arrived.
        sleep(self.plan.lease + Duration::from_secs(6)).await;
        self.final_refresh(&token).await;
        if let Some(access) = access {
            self.ask_gates(&text(&access)).await;
        }
    }

    /// Shows one token many times; returns what one of them got, if any did.
    async fn generation(self: &Arc<Self>, token: &str) -> Option<Issued> {
        let mut contenders = JoinSet::new();
        for _ in 0..self.plan.contenders {
            let (scenario, token) = (Arc::clone(self), token.to_owned());
            contenders.spawn(async move { scenario.contender(&token).await });
        }
        let mut ends = Vec::new();
        while let Some(end) = contenders.join_next().await {
            ends.push(end.expect("nobody panics"));
        }
        // The next generation does not wait for callers that left, but for the work that they began.
        self.finish().await;
        self.check_generation(&ends);
        ends.into_iter().find_map(|end| match end {
            Outcome::Issued(issued) => Some(*issued),
            _ => None,
        })
    }

    /// Waits until all work that was begun has ended.
    async fn finish(&self) {
        for issuer in &self.issuers {
            issuer.tasks().ended().await;
        }
        let [begun, ended] = [&self.begun, &self.ended].map(|count| count.load(Relaxed));
        if begun != ended {
            let what = format!("{begun} refreshes were begun, {ended} of them ended");
            self.cluster.oracle.broken(Rule::Finished, what);
        }
    }

    /// Shows the token at some moment. The process may end before the answer, or the caller goes away; a caller that is
    /// told to try again does.
    async fn contender(self: &Arc<Self>, token: &str) -> Outcome {
        let rng = &self.cluster.rng;
        let within = u64::try_from(self.plan.within.as_millis()).expect("a short time");
        let issuer = rng.index(self.issuers.len());
        let crash = rng.percent(self.plan.crashes).then(|| match rng.percent(70) {
            true => rng.millis(0..=100),
            false => rng.millis(0..=6_000),
        });
        let departure = rng.percent(self.plan.departures).then(|| rng.below(16));
        self.cluster.travel(rng.millis(0..=within)).await;
        if let Some(crash) = crash {
            let refreshed = self.processes[issuer].while_running(self.refresh(issuer, token));
            return timeout(crash, refreshed).await.unwrap_or_else(|_| self.cancelled(issuer));
        }
        let mut end = match departure {
            Some(steps) => tokio::select! {
                biased;
                () = self.cluster.after_steps(issuer, steps) => self.cancelled(issuer),
                end = self.ask(issuer, token) => end,
            },
            None => self.ask(issuer, token).await,
        };
        for _ in 0..3 {
            let Outcome::RetryAfter(wait) = end else { break };
            sleep(wait).await;
            end = self.ask(issuer, token).await;
        }
        end
    }

    fn cancelled(&self, issuer: usize) -> Outcome {
        self.cluster.record(issuer, "is cut off", "");
        self.cluster.oracle.count("cut off");
        Outcome::Cancelled
    }

    /// A refresh as a server has it made: in a task of its own.
    async fn ask(self: &Arc<Self>, issuer: usize, token: &str) -> Outcome {
        let (scenario, token) = (Arc::clone(self), token.to_owned());
        let work = async move {
            scenario.begun.fetch_add(1, Relaxed);
            let end =
                scenario.processes[issuer].while_running(scenario.refresh(issuer, &token)).await;
            scenario.ended.fetch_add(1, Relaxed);
            end
        };
        if self.cluster.mutation == Mutation::CancelledWithCaller {
            return work.await;
        }
        self.issuers[issuer].tasks().run(work).await.expect("there is a place")
    }

    async fn refresh(&self, issuer: usize, token: &str) -> Outcome {
        let cluster = &self.cluster;
        let (caller, digest) = (Caller::default(), TokenDigest::of(token));
        let request =
            RefreshRequest { token, client: None, scopes: None, audiences: &[], caller: &caller };
        cluster.record(issuer, "is shown", &digest.name());
        match self.issuers[issuer].refresh.refresh(request).await {
            Ok(issued) => {
                cluster.oracle.count("issued");
                cluster.record(issuer, "issues", "");
                Outcome::Issued(Box::new(issued))
            }
            Err(IssueError::InvalidGrant) => {
                cluster.record(issuer, "refuses", "");
                cluster.oracle.count("refused");
                if self.family_lives().await {
                    let what = format!("issuer {issuer} refused a token of a family that lives");
                    cluster.oracle.broken(Rule::Reuse, what);
                }
                Outcome::Refused
            }
            Err(IssueError::InProgress(wait)) => {
                cluster.record(issuer, "says: come again", "");
                cluster.oracle.count("come again");
                Outcome::RetryAfter(wait)
            }
            Err(error) => {
                cluster.record(issuer, "fails:", error.code());
                cluster.oracle.count("failed");
                if !matches!(error, IssueError::Unavailable(_)) {
                    cluster.oracle.broken(Rule::Errors, format!("issuer {issuer} said {error:?}"));
                }
                Outcome::Failed
            }
        }
    }

    async fn family_lives(&self) -> bool {
        let found = self.cluster.store.sessions.get(&user(), &session()).await;
        found.expect("memory answers").is_some()
    }

    fn check_generation(&self, ends: &[Outcome]) {
        let oracle = &self.cluster.oracle;
        let won: Vec<_> = ends
            .iter()
            .filter_map(|end| match end {
                Outcome::Issued(issued) => Some(issued),
                _ => None,
            })
            .map(|issued| (text(&issued.access_token), issued.refresh_token.as_ref().map(text)))
            .collect();
        let distinct = won.iter().collect::<BTreeSet<_>>().len();
        let most = if self.plan.grace.is_zero() { won.len() } else { distinct };
        if most > 1 {
            let what = format!("{} won with one token, {distinct} different pairs", won.len());
            oracle.broken(Rule::SingleWinner, what);
        }
        let refused = ends.iter().filter(|end| matches!(end, Outcome::Refused)).count();
        let is_one_answer = !self.plan.grace.is_zero() && self.plan.keeps_leases();
        if refused > 0 && is_one_answer && !oracle.is_overdue() {
            let what = format!("{refused} were refused within the grace, {} won", won.len());
            oracle.broken(Rule::SameAnswer, what);
        }
    }

    /// Shows the last token that anybody was given, when all is well again.
    async fn final_refresh(&self, token: &str) {
        let oracle = &self.cluster.oracle;
        let digest = TokenDigest::of(token);
        let was_alive = self.family_lives().await;
        let kept = self.cluster.store.tokens.get(&digest).await.expect("memory answers");
        let is_used = kept.expect("it is kept").used.is_some();
        let refreshed = self.processes[0].while_running(self.refresh(0, token));
        // Nobody holds a lease any more, so nothing is waited for.
        let end = timeout(Duration::from_secs(2), refreshed).await.unwrap_or(Outcome::Cancelled);
        let is_issued = matches!(end, Outcome::Issued(_));
        let has_grace = !self.plan.grace.is_zero();
        let lives_on = self.family_lives().await;
        match (was_alive, is_used) {
            (true, false) if !is_issued => {
                oracle.broken(Rule::NothingLost, format!("a token that nobody used gets {end:?}"));
            }
            (true, true) if has_grace && self.plan.keeps_leases() && !oracle.is_overdue() => {
                let successors = oracle.successors(&digest);
                let is_same = match &end {
                    Outcome::Issued(issued) => successors.iter().any(|successor| {
                        let given = issued.refresh_token.as_ref().map(text).unwrap_or_default();
                        successor.digest == TokenDigest::of(&given)
                    }),
                    _ => false,
                };
                if !is_same {
                    oracle.broken(Rule::SameAnswer, format!("within the grace one gets {end:?}"));
                }
            }
            (true, true) if !has_grace && (is_issued || lives_on) => {
                oracle.broken(Rule::Reuse, format!("a used token gets {end:?}"));
            }
            (false, _) if is_issued => {
                oracle.broken(Rule::Reuse, format!("a family that has ended gets {end:?}"));
            }
            _ => {}
        }
    }

    /// Asks the gates about the last access token, long after all ends of its session were acknowledged.
    async fn ask_gates(&self, access: &str) {
        sleep(STALENESS + Duration::from_secs(2)).await;
        let cluster = &self.cluster;
        let is_alive = self.family_lives().await;
        let expires = cluster.clock.now().after(Duration::from_secs(86_400));
        let credential = Credential { text: access.to_owned(), session: 0, handle: None, expires };
        for gate in &self.processes {
            let said = gate.while_running(gate.decisions.decide(&credential.text)).await;
            cluster.record(gate.number, "says", if said.is_ok() { "yes" } else { "no" });
            if said.is_ok() != is_alive {
                let rule = if is_alive { Rule::Liveness } else { Rule::Bound };
                cluster.oracle.broken(rule, format!("gate {} says {:?}", gate.number, said.err()));
            }
        }
    }
}

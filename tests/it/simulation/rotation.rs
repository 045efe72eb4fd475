//! Issuers, while many show one refresh token: one wins, nobody is given what another was, and nothing is lost for good.

mod checks;
mod plan;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis::{
    issuer::{
        Issuance, caller::Caller, error::IssueError, issued::Issued, refresh::RefreshRequest,
    },
    opaque::{OpaqueToken, OpaqueTokenStore as _, TokenDigest, TokenKind, generate},
    secret::Secret,
    session::{Session, SessionId, SessionStore as _, UserId},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use plan::Plan;

use super::{
    campaign::{Report, Run},
    cluster::ClusterState,
    fault_injection::LinkState,
    fault_schedule,
    mutation::Mutation,
    oracle::{Oracle, Rule, StalenessBounds},
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
}

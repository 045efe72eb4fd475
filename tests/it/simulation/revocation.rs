//! Gates, while sessions and handles begin, go on and end: no yes that is late, no no that is wrong.

mod credentials;
mod operations;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    campaign::{Report, Run},
    cluster::ClusterState,
    fault_injection::FaultPlan,
    fault_schedule,
    oracle::{Credential, Oracle, StalenessBounds},
    process::{GateConfig, Process},
    rng::SeededRng,
    trace::NO_PROCESS,
};

/// Sessions that are there at the start, and at the end at most.
const SESSIONS: (usize, usize) = (4, 8);
const USERS: [&str; 2] = ["ann", "bob"];
/// The number of requests to each gate beside those of the operations.
const CHECKS_PER_GATE: u32 = 30;
/// The number of operations: something begins, is renewed, or ends.
const OPERATIONS: u32 = 9;

/// The parameters of a run.
struct Plan {
    gates: usize,
    config: GateConfig,
    fault_plan: FaultPlan,
    /// Tells whether handles alone are shown.
    only_handles: bool,
}

impl Plan {
    fn draw(rng: &SeededRng) -> Self {
        let staleness = Duration::from_millis(rng.pick(&[0, 400, 1_000, 2_000, 5_000]));
        let stale_if_error = match rng.below(4) {
            0 | 1 => staleness,
            2 => Duration::ZERO,
            _ => rng.pick(&[staleness / 2, staleness * 2, Duration::from_secs(8)]),
        };
        let bound = staleness.max(stale_if_error);
        Self {
            gates: rng.pick(&[2, 2, 3]),
            config: GateConfig { staleness, stale_if_error },
            fault_plan: fault_schedule::draw_plan(rng, bound),
            only_handles: rng.percent(10),
        }
    }

    fn bound(&self) -> Duration {
        self.config.staleness.max(self.config.stale_if_error)
    }

    fn bounds(&self) -> StalenessBounds {
        let is_faultless = self.fault_plan.faults.is_empty() && self.fault_plan.loss_percent == 0;
        let GateConfig { staleness, stale_if_error } = self.config;
        let push = is_faultless
            .then(|| Duration::from_millis(*self.fault_plan.invalidation_latency.end()));
        StalenessBounds { staleness, stale_if_error, push }
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(2) + self.bound() * 4
    }
}

/// A run under way.
struct Scenario {
    cluster: Arc<ClusterState>,
    gates: Vec<Arc<Process>>,
    credentials: Mutex<Vec<Credential>>,
    plan: Plan,
    end: Instant,
    /// Requests and operations under way.
    under_way: Mutex<JoinSet<()>>,
}

/// Runs one seed, to be polled on a runtime whose time is paused.
pub async fn run(run: Run) -> Report {
    let rng = Arc::new(SeededRng::from_seed(run.seed));
    let plan = Plan::draw(&rng);
    let oracle = Oracle::new(plan.bounds(), plan.gates);
    let cluster = ClusterState::new(
        rng,
        plan.gates,
        plan.fault_plan.clone(),
        run.mutation,
        run.with_text,
        oracle,
    );
    let names: Vec<String> =
        (0..SESSIONS.1).map(session_name).chain(USERS.map(str::to_owned)).collect();
    let gates = (0..plan.gates)
        .map(|number| Process::start(&cluster, number, plan.config, &names))
        .collect();
    // Everybody subscribes before the first operation.
    sleep(Duration::from_millis(100)).await;
    let end = Instant::now() + plan.duration();
    let (credentials, under_way) = (Mutex::default(), Mutex::default());
    let scenario = Arc::new(Scenario { cluster, gates, credentials, plan, end, under_way });
    scenario.record_plan();
    scenario.open_initial_sessions().await;
    scenario.run_operations().await;
    scenario.settle().await;
    Report::of(&scenario.cluster)
}

fn session_name(number: usize) -> String {
    format!("s{number}")
}

impl Scenario {
    fn record_plan(&self) {
        let Plan { gates, config, fault_plan, only_handles } = &self.plan;
        let plan =
            format!("{gates} gates, {config:?}, only handles: {only_handles}, {fault_plan:?}");
        self.cluster.record(NO_PROCESS, "plan:", &plan);
    }

    /// Runs the operations, the requests beside them, and the faults.
    async fn run_operations(self: &Arc<Self>) {
        let (cluster, gates) = (Arc::clone(&self.cluster), self.gates.len());
        self.spawn(fault_schedule::inject_faults(cluster, gates, self.plan.duration()));
        for gate in 0..gates {
            let scenario = Arc::clone(self);
            self.spawn(async move { scenario.keep_checking(gate).await });
        }
        let between = self.plan.duration() / OPERATIONS;
        for _ in 0..OPERATIONS {
            sleep(self.up_to(between)).await;
            let scenario = Arc::clone(self);
            self.spawn(async move { scenario.run_operation().await });
        }
        while let Some(done) = self.next_done().await {
            done.expect("nobody panics");
        }
    }

    async fn next_done(&self) -> Option<Result<(), tokio::task::JoinError>> {
        std::future::poll_fn(|cx| self.under_way.lock().expect("never poisoned").poll_join_next(cx))
            .await
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.under_way.lock().expect("never poisoned").spawn(task);
    }

    fn up_to(&self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).expect("a short run");
        self.cluster.rng.millis(0..=longest)
    }

    fn any_gate(&self) -> &Arc<Process> {
        &self.gates[self.cluster.rng.index(self.gates.len())]
    }

    fn any_credential(&self) -> Credential {
        self.cluster.rng.pick(&self.credentials.lock().expect("never poisoned"))
    }

    /// Mostly one that nobody has ended.
    fn any_live_credential(&self) -> Credential {
        let lives =
            self.of(|credential| self.cluster.oracle.session(credential.session).ended.is_none());
        match lives.is_empty() || self.cluster.rng.percent(30) {
            true => self.any_credential(),
            false => self.cluster.rng.pick(&lives),
        }
    }

    async fn keep_checking(&self, gate: usize) {
        let between = self.plan.duration() * 2 / CHECKS_PER_GATE;
        while Instant::now() < self.end {
            let gate = &self.gates[gate];
            gate.ask(&self.any_live_credential(), false).await;
            // Now and then many ask at once, for the same and for others.
            let pause = if self.cluster.rng.percent(25) { Duration::ZERO } else { between };
            self.cluster.travel(self.up_to(pause)).await;
        }
    }

    async fn run_operation(self: &Arc<Self>) {
        match self.cluster.rng.below(23) {
            20.. => self.burst().await,
            0..=6 => self.end_session().await,
            7..=9 => self.end_user().await,
            10..=12 => self.log_in(self.any_user()).await,
            13..=15 => self.renew().await,
            _ => self.change_handle().await,
        }
    }

    /// Asks one gate for everything, again and again.
    async fn burst(self: &Arc<Self>) {
        let gate = Arc::clone(self.any_gate());
        for _ in 0..8 {
            for credential in self.of(|_| true) {
                let gate = Arc::clone(&gate);
                self.spawn(async move {
                    gate.ask(&credential, false).await;
                });
            }
            self.cluster.travel(self.up_to(Duration::from_millis(150))).await;
        }
    }

    fn any_user(&self) -> &'static str {
        self.cluster.rng.pick(&USERS)
    }

    /// Asks the gates, so that most of them remember what is about to change.
    async fn warm_caches(self: &Arc<Self>, credentials: &[Credential]) {
        for credential in credentials {
            for gate in self.gates.iter().filter(|_| self.cluster.rng.percent(80)) {
                let (gate, credential) = (Arc::clone(gate), credential.clone());
                self.spawn(async move {
                    gate.ask(&credential, false).await;
                });
            }
        }
        let pause = if self.cluster.rng.percent(70) { 60 } else { 1_000 };
        self.cluster.travel(self.up_to(Duration::from_millis(pause))).await;
    }

    /// Asks the gates again after an acknowledged end: soon, somewhere on the way, and around the bounds.
    fn probe(self: &Arc<Self>, credentials: &[Credential]) {
        let (tick, now) = (Duration::from_millis(1), Instant::now());
        let Plan { config, fault_plan, .. } = &self.plan;
        let push = Duration::from_millis(*fault_plan.invalidation_latency.end());
        let bounds = [config.staleness, self.plan.bound(), push + tick];
        let around = bounds
            .into_iter()
            .flat_map(|bound| [bound.saturating_sub(tick * 2), bound, bound + tick]);
        let somewhere = (0..4).map(|_| self.up_to(self.plan.bound() * 2));
        let times: Vec<_> = around.chain(somewhere).chain([Duration::ZERO, tick]).collect();
        for credential in credentials {
            for (gate, after) in
                self.gates.iter().flat_map(|gate| times.iter().map(move |t| (gate, *t)))
            {
                if self.cluster.rng.percent(50) {
                    continue;
                }
                let (gate, credential) = (Arc::clone(gate), credential.clone());
                self.spawn(async move {
                    sleep_until(now + after).await;
                    gate.ask(&credential, false).await;
                });
            }
        }
    }

    fn of(&self, is_of: impl Fn(&Credential) -> bool) -> Vec<Credential> {
        let credentials = self.credentials.lock().expect("never poisoned");
        credentials.iter().filter(|credential| is_of(credential)).cloned().collect()
    }

    /// All is well again; after the bound every gate gives the right answer to everything.
    async fn settle(&self) {
        self.cluster.injector.stop_losing();
        sleep(self.plan.bound() + Duration::from_secs(5)).await;
        for gate in &self.gates {
            for credential in self.of(|_| true) {
                gate.ask(&credential, true).await;
            }
        }
    }
}

//! Gates, while sessions and handles begin, go on and end: no yes that is late, no no that is wrong.

mod deeds;
mod opening;

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
    chance::Chance,
    judge::{Credential, Judge, Promise},
    process::{GateTerms, Process},
    storms,
    trace::NOBODY,
    weather::Climate,
    world::World,
};

/// Sessions that are there at the start, and at the end at most.
const SESSIONS: (usize, usize) = (4, 8);
const USERS: [&str; 2] = ["ann", "bob"];
/// How often somebody asks each gate of his own accord.
const ASKED: u32 = 30;
/// How many times something is begun, moved or ended.
const DEEDS: u32 = 9;

/// What a run is about.
struct Plan {
    gates: usize,
    terms: GateTerms,
    climate: Climate,
    /// Whether handles alone are shown.
    only_handles: bool,
}

impl Plan {
    fn draw(chance: &Chance) -> Self {
        let staleness = Duration::from_millis(chance.pick(&[0, 400, 1_000, 2_000, 5_000]));
        let when_down = match chance.below(4) {
            0 | 1 => staleness,
            2 => Duration::ZERO,
            _ => chance.pick(&[staleness / 2, staleness * 2, Duration::from_secs(8)]),
        };
        let bound = staleness.max(when_down);
        Self {
            gates: chance.pick(&[2, 2, 3]),
            terms: GateTerms { staleness, when_down },
            climate: storms::climate(chance, bound),
            only_handles: chance.percent(10),
        }
    }

    fn bound(&self) -> Duration {
        self.terms.staleness.max(self.terms.when_down)
    }

    fn promise(&self) -> Promise {
        let is_calm = self.climate.ills.is_empty() && self.climate.lost == 0;
        let GateTerms { staleness, when_down } = self.terms;
        let push = is_calm.then(|| Duration::from_millis(*self.climate.news.end()));
        Promise { staleness, when_down, push }
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs(2) + self.bound() * 4
    }
}

/// A run under way.
struct Scene {
    world: Arc<World>,
    gates: Vec<Arc<Process>>,
    credentials: Mutex<Vec<Credential>>,
    plan: Plan,
    end: Instant,
    /// Requests and deeds under way.
    under_way: Mutex<JoinSet<()>>,
}

/// Runs one seed, to be polled on a runtime whose time is paused.
pub async fn run(run: Run) -> Report {
    let chance = Arc::new(Chance::from_seed(run.seed));
    let plan = Plan::draw(&chance);
    let judge = Judge::new(plan.promise(), plan.gates);
    let world =
        World::new(chance, plan.gates, plan.climate.clone(), run.mutation, run.is_read, judge);
    let names: Vec<String> =
        (0..SESSIONS.1).map(session_name).chain(USERS.map(str::to_owned)).collect();
    let gates =
        (0..plan.gates).map(|number| Process::start(&world, number, plan.terms, &names)).collect();
    // Everybody subscribes before the first deed.
    sleep(Duration::from_millis(100)).await;
    let end = Instant::now() + plan.lasts();
    let (credentials, under_way) = (Mutex::default(), Mutex::default());
    let scene = Arc::new(Scene { world, gates, credentials, plan, end, under_way });
    scene.note_plan();
    scene.open_first().await;
    scene.play().await;
    scene.settle().await;
    Report::of(&scene.world)
}

fn session_name(number: usize) -> String {
    format!("s{number}")
}

impl Scene {
    fn note_plan(&self) {
        let Plan { gates, terms, climate, only_handles } = &self.plan;
        let plan = format!("{gates} gates, {terms:?}, only handles: {only_handles}, {climate:?}");
        self.world.note(NOBODY, "plan:", &plan);
    }

    /// Everything that happens of its own accord.
    async fn play(self: &Arc<Self>) {
        let (world, gates) = (Arc::clone(&self.world), self.gates.len());
        self.spawn(storms::rage(world, gates, self.plan.lasts()));
        for gate in 0..gates {
            let scene = Arc::clone(self);
            self.spawn(async move { scene.keep_asking(gate).await });
        }
        let between = self.plan.lasts() / DEEDS;
        for _ in 0..DEEDS {
            sleep(self.up_to(between)).await;
            let scene = Arc::clone(self);
            self.spawn(async move { scene.do_something().await });
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
        self.world.chance.millis(0..=longest)
    }

    fn any_gate(&self) -> &Arc<Process> {
        &self.gates[self.world.chance.index(self.gates.len())]
    }

    fn any_credential(&self) -> Credential {
        self.world.chance.pick(&self.credentials.lock().expect("never poisoned"))
    }

    /// Mostly one that nobody has ended.
    fn any_that_lives(&self) -> Credential {
        let lives =
            self.of(|credential| self.world.judge.session(credential.session).gone.is_none());
        match lives.is_empty() || self.world.chance.percent(30) {
            true => self.any_credential(),
            false => self.world.chance.pick(&lives),
        }
    }

    async fn keep_asking(&self, gate: usize) {
        let between = self.plan.lasts() * 2 / ASKED;
        while Instant::now() < self.end {
            let gate = &self.gates[gate];
            gate.ask(&self.any_that_lives(), false).await;
            // Now and then many ask at once, for the same and for others.
            let pause = if self.world.chance.percent(25) { Duration::ZERO } else { between };
            self.world.travel(self.up_to(pause)).await;
        }
    }

    async fn do_something(self: &Arc<Self>) {
        match self.world.chance.below(23) {
            20.. => self.crowd().await,
            0..=6 => self.end_session().await,
            7..=9 => self.end_user().await,
            10..=12 => self.begin(self.any_user()).await,
            13..=15 => self.renew().await,
            _ => self.change_handle().await,
        }
    }

    /// Everything is asked of one gate, again and again.
    async fn crowd(self: &Arc<Self>) {
        let gate = Arc::clone(self.any_gate());
        for _ in 0..8 {
            for credential in self.of(|_| true) {
                let gate = Arc::clone(&gate);
                self.spawn(async move {
                    gate.ask(&credential, false).await;
                });
            }
            self.world.travel(self.up_to(Duration::from_millis(150))).await;
        }
    }

    fn any_user(&self) -> &'static str {
        self.world.chance.pick(&USERS)
    }

    /// Asks the gates, so that most of them remember what is about to change.
    async fn warm(self: &Arc<Self>, credentials: &[Credential]) {
        for credential in credentials {
            for gate in self.gates.iter().filter(|_| self.world.chance.percent(80)) {
                let (gate, credential) = (Arc::clone(gate), credential.clone());
                self.spawn(async move {
                    gate.ask(&credential, false).await;
                });
            }
        }
        let pause = if self.world.chance.percent(70) { 60 } else { 1_000 };
        self.world.travel(self.up_to(Duration::from_millis(pause))).await;
    }

    /// Asks the gates again after an acknowledged end: soon, somewhere on the way, and around the bounds.
    fn probe(self: &Arc<Self>, credentials: &[Credential]) {
        let (tick, now) = (Duration::from_millis(1), Instant::now());
        let Plan { terms, climate, .. } = &self.plan;
        let news = Duration::from_millis(*climate.news.end());
        let bounds = [terms.staleness, self.plan.bound(), news + tick];
        let around = bounds
            .into_iter()
            .flat_map(|bound| [bound.saturating_sub(tick * 2), bound, bound + tick]);
        let somewhere = (0..4).map(|_| self.up_to(self.plan.bound() * 2));
        let times: Vec<_> = around.chain(somewhere).chain([Duration::ZERO, tick]).collect();
        for credential in credentials {
            for (gate, after) in
                self.gates.iter().flat_map(|gate| times.iter().map(move |t| (gate, *t)))
            {
                if self.world.chance.percent(50) {
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
        self.world.weather.settle();
        sleep(self.plan.bound() + Duration::from_secs(5)).await;
        for gate in &self.gates {
            for credential in self.of(|_| true) {
                gate.ask(&credential, true).await;
            }
        }
    }
}

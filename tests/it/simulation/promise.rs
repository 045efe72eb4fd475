//! Gates, while sessions and handles begin, go on and end: no yes that is late, no no that is wrong.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis::{
    clock::{Clock as _, UnixTime},
    opaque::{self, OpaqueStore as _, OpaqueToken, TokenDigest, TokenKind},
    session::{Device, Session, SessionId, SessionStore as _, UserId},
};
use serde_json::{Map, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    campaign::{Report, Run},
    chance::Chance,
    judge::{Credential, Judge, Promise},
    process::{GateTerms, ISS, KEY, Process},
    storms,
    time::START,
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
/// How often somebody tries again what failed.
const TRIES: usize = 4;

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

    async fn end_session(self: &Arc<Self>) {
        let number = self.any_that_lives().session;
        if self.world.judge.session(number).opened.is_none() {
            return;
        }
        let of_session = self.of(|credential| credential.session == number);
        self.warm(&of_session).await;
        let process = Arc::clone(self.any_gate());
        let judge = &self.world.judge;
        let id = SessionId::parse(&session_name(number)).expect("a name");
        judge.threaten_session(number);
        for _ in 0..TRIES {
            let revoked = process.awake(process.sessions.revoke(&id)).await;
            let now = self.world.stamp();
            judge.stirred(&format!("session:{id}"), process.number, now);
            if revoked.is_ok() {
                self.world.note(process.number, "has ended", id.as_str());
                judge.session_over(number, process.number, now);
                return self.probe(&of_session);
            }
        }
    }

    async fn end_user(self: &Arc<Self>) {
        let user = self.any_user();
        let (judge, is_of) = (&self.world.judge, |credential: &Credential| {
            self.world.judge.session(credential.session).user == user
        });
        self.warm(&self.of(is_of)).await;
        let process = Arc::clone(self.any_gate());
        judge.threaten_user(user);
        if self.world.chance.percent(60) {
            // Somebody logs in meanwhile.
            let scene = Arc::clone(self);
            self.spawn(async move { scene.begin(user).await });
            self.world.travel(self.up_to(Duration::from_millis(3))).await;
        }
        let owner = UserId::parse(user).expect("a name");
        for _ in 0..TRIES {
            judge.threaten_user(user);
            let since = self.world.clock.now();
            let ended = process.awake(process.sessions.revoke_user(&owner)).await;
            let now = self.world.stamp();
            judge.stirred(&format!("user:{user}"), process.number, now);
            if ended.is_ok() {
                self.world.note(process.number, "has ended all of", user);
                judge.user_over(user, since, process.number, now);
                return self.probe(&self.of(is_of));
            }
        }
    }

    /// A session is opened, perhaps by a host whose clock is ahead, and shown before it is known to be.
    async fn begin(self: &Arc<Self>, user: &str) {
        let world = &self.world;
        let ahead = world.chance.pick(&[0, 0, 0, 40]);
        let created = world.clock.now().after(Duration::from_millis(ahead));
        let Some((number, session)) = self.new_session(user, created) else { return };
        let process = Arc::clone(self.any_gate());
        let put = process.awake(process.sessions.put(&session)).await;
        if put.is_ok() {
            world.judge.session_opened(number, world.stamp());
        }
        self.warm(&self.of(|credential| credential.session == number)).await;
    }

    async fn renew(&self) {
        let number = self.any_that_lives().session;
        let life = self.world.judge.session(number);
        let process = self.any_gate();
        let id = SessionId::parse(&life.name).expect("a name");
        let expires = life.expires.max(self.world.clock.now()).after(self.plan.bound());
        let renewed = process.sessions.renew(&id, expires);
        // Whoever renews has asked before whether it lives.
        if life.expires > self.world.clock.now() {
            let _ = process.awake(renewed).await;
        }
    }

    async fn change_handle(self: &Arc<Self>) {
        let handles = self.of(|credential| credential.handle.is_some());
        let Some(handle) = handles.get(self.world.chance.index(handles.len().max(1))) else {
            return;
        };
        let number = handle.handle.expect("it is one");
        let process = Arc::clone(self.any_gate());
        let (world, judge) = (&self.world, &self.world.judge);
        let digest = TokenDigest::of(&handle.text);
        if world.chance.percent(30) {
            let expires = world.clock.now().after(self.plan.lasts() * 2);
            if judge.handle(number).expires > world.clock.now() {
                let _ = process.awake(process.tokens.extend(&digest, expires, None)).await;
            }
            return;
        }
        self.warm(std::slice::from_ref(handle)).await;
        judge.threaten_handle(number);
        let is_exchanged = world.chance.percent(50);
        for _ in 0..TRIES {
            let is_over = if is_exchanged {
                let exchanged = process.tokens.exchange(&digest, world.clock.now(), &[]);
                process.awake(exchanged).await.is_ok()
            } else {
                process.awake(process.tokens.remove(&digest)).await.is_ok()
            };
            let now = world.stamp();
            judge.stirred(&format!("token:{}", digest.name()), process.number, now);
            if is_over {
                world.note(process.number, "has ended the handle", &digest.name());
                judge.handle_over(number, process.number, now);
                return self.probe(std::slice::from_ref(handle));
            }
        }
    }

    /// A session that nobody has opened yet, and what is shown for it.
    fn new_session(&self, user: &str, created: UnixTime) -> Option<(usize, Session)> {
        let chance = &self.world.chance;
        let lasts = self.plan.lasts();
        // Some end within the run.
        let lives = if chance.percent(30) { self.up_to(lasts) } else { lasts * 4 };
        let expires = created.after(lives + Duration::from_millis(1));
        let mut credentials = self.credentials.lock().expect("never poisoned");
        let number = credentials.last().map_or(0, |last| last.session + 1);
        if number >= SESSIONS.1 {
            return None;
        }
        let id = session_name(number);
        self.world.judge.add_session(&id, user, created, expires);
        let exp = if chance.percent(10) { lasts / 2 } else { lasts * 6 };
        let exp = UnixTime::from_secs(self.world.clock.now().after(exp).as_secs());
        let claims = json!({"iss": ISS, "aud": ISS, "sub": user, "sid": id, "exp": exp.as_secs()});
        let text = KEY.sign(&claims).expect("a token");
        credentials.push(Credential { text, session: number, handle: None, expires: exp });
        let session = Session {
            id: SessionId::parse(&id).expect("a name"),
            user: UserId::parse(user).expect("a name"),
            created,
            last_seen: created.before(Duration::from_secs(90)),
            expires,
            device: Device::default(),
            claims: Map::new(),
            not_before: UnixTime::EPOCH,
        };
        Some((number, session))
    }

    /// What is there at the start: sessions with a token each, most of them with a handle beside it.
    async fn open_first(&self) {
        for number in 0..SESSIONS.0 {
            let user = USERS[number % USERS.len()];
            let created = START.before(Duration::from_secs(60));
            let Some((number, session)) = self.new_session(user, created) else { return };
            let expires = self.world.clock.now().after(self.plan.lasts() * 4);
            // Those that end within the run do so within its time.
            let session =
                Session { expires: session.expires.after(Duration::from_secs(60)), ..session };
            self.world.judge.session_renewed(&session.id, session.expires);
            self.world.kept.sessions.put(&session).await.expect("memory answers");
            self.world.judge.session_opened(number, self.world.stamp());
            if self.plan.only_handles || self.world.chance.percent(60) {
                self.add_handle(&session, number, expires).await;
            }
        }
        if self.plan.only_handles {
            self.credentials.lock().expect("never poisoned").retain(|c| c.handle.is_some());
        }
    }

    /// A new handle: half of them of those few that are believed until the very bound.
    fn handle_text(&self) -> String {
        let is_long = self.world.chance.percent(50);
        loop {
            let text = opaque::generate(&*self.world.chance).expect("chance");
            let text = text.expose_str().expect("text").to_owned();
            if !is_long || TokenDigest::of(&text).as_bytes()[0] < 4 {
                return text;
            }
        }
    }

    async fn add_handle(&self, session: &Session, number: usize, expires: UnixTime) {
        let text = self.handle_text();
        let digest = TokenDigest::of(&text);
        let claims = json!({"iss": ISS, "aud": ISS});
        let record = OpaqueToken {
            digest,
            kind: TokenKind::Handle,
            session: session.id.clone(),
            user: session.user.clone(),
            client: None,
            claims: claims.as_object().expect("an object").clone(),
            issued: START,
            expires,
            used: None,
        };
        self.world.kept.tokens.put(&[record]).await.expect("memory answers");
        let handle = self.world.judge.add_handle(digest, session.user.as_str(), expires);
        let expires = UnixTime::from_secs(u64::MAX);
        let handle = Credential { text, session: number, handle: Some(handle), expires };
        self.credentials.lock().expect("never poisoned").push(handle);
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

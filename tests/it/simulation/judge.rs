//! The rules, and what is true: what every gate says is held against what the store was told and who was told so.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Mutex,
    time::Duration,
};

use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, TokenDigest},
    session::{SessionId, UserId},
};

use super::time::Stamp;

/// For how long all must have been well for a gate to owe the answer of a gate that is well: longer than a lane rests, and
/// than a question may take that was asked before.
const WELL: Duration = Duration::from_millis(1_200);
/// How old a no may be at most: who asks while others have asked already gets their answer. Nobody is shown what was not
/// opened or renewed before, so it does no harm that a no is older than its question.
const PATIENCE: Duration = Duration::from_millis(200);
/// After how many reads in a row that got no answer the store counts as down: then half of the last sixteen failed.
pub const DOWN: u32 = 8;

/// What was promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// How long a yes may be late.
    pub staleness: Duration,
    /// How long it may while the store is down.
    pub when_down: Duration,
    /// How long news take at most, where none is ever lost nor a process ever stands still.
    pub push: Option<Duration>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// No yes later than the bound after an acknowledged revocation.
    Bound,
    /// No yes at the end or after.
    Expiry,
    /// No yes once the gate heard of the end, or made it.
    Heard,
    /// No yes, without asking, once the gate heard that it may have missed the end.
    Missed,
    /// No yes later than news take.
    Push,
    /// No yes while the store is down, beyond what is believed then.
    Down,
    /// What has not ended is answered yes.
    Liveness,
    /// Who is told that all sessions of a user ended is not told so too early.
    Acknowledged,
    /// Of all refreshes of a token one wins.
    OneWins,
    /// Where a refresh token was used twice its family has ended.
    Reuse,
    /// With a grace all who refresh at the same time get one answer.
    SameAnswer,
    /// A refresh that came to nothing costs nothing.
    NothingLost,
    /// No other errors than those that say that the store failed.
    Errors,
}

/// What was broken, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// What a credential's goodness hangs on: a session, or a handle.
#[derive(Clone, Debug)]
pub struct Life {
    pub name: String,
    pub user: String,
    pub created: UnixTime,
    /// The latest end that the store was told.
    pub expires: UnixTime,
    /// When its opening was acknowledged.
    pub opened: Option<Stamp>,
    /// When somebody first began to end it.
    pub threatened: bool,
    /// When its end took effect.
    pub gone: Option<Stamp>,
    /// When its end was acknowledged.
    pub over: Option<Stamp>,
    /// By process: when it learnt of the end.
    learnt: Vec<Option<Stamp>>,
    /// By process: when it last learnt of any change.
    stirred: Vec<Option<Stamp>>,
}

/// Something that a gate is shown.
#[derive(Clone, Debug)]
pub struct Credential {
    pub text: String,
    pub session: usize,
    /// Where it is one.
    pub handle: Option<usize>,
    /// Where it has an end of its own.
    pub expires: UnixTime,
}

/// One answer of a gate.
#[derive(Clone, Debug)]
pub struct Answer {
    pub process: usize,
    pub asked: Stamp,
    pub asked_wall: UnixTime,
    pub answered_wall: UnixTime,
    /// The code of a denial.
    pub denied: Option<&'static str>,
    /// Since when nothing was wrong between the gate and its store; `None`: something is.
    pub calm_since: Option<Stamp>,
    /// Since when the store has given no answer at all, where it counts as down and no read was answered meanwhile.
    pub down_since: Option<Stamp>,
    /// Whether the gate's lanes are known to be open.
    pub is_open: bool,
    /// Whether all is over and everybody had time to recover.
    pub is_settled: bool,
}

/// What a run saw, counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
    /// The latest yes after an acknowledged end, in thousandths of the bound.
    latest: u64,
}

/// Who watches a run.
#[derive(Debug)]
pub struct Judge(Mutex<State>);

#[derive(Debug)]
struct State {
    promise: Promise,
    processes: usize,
    sessions: Vec<Life>,
    handles: Vec<Life>,
    digests: HashMap<String, TokenDigest>,
    not_before: HashMap<String, UnixTime>,
    /// By process: all moments at which it was warned.
    missed: Vec<Vec<Stamp>>,
    exchanged: HashMap<TokenDigest, Vec<OpaqueToken>>,
    is_overdue: bool,
    violations: Vec<Violation>,
    tally: Tally,
}

impl Judge {
    /// Of so many processes that promised this.
    pub fn new(promise: Promise, processes: usize) -> Self {
        Self(Mutex::new(State {
            promise,
            processes,
            sessions: Vec::new(),
            handles: Vec::new(),
            digests: HashMap::new(),
            not_before: HashMap::new(),
            missed: vec![Vec::new(); processes],
            exchanged: HashMap::new(),
            is_overdue: false,
            violations: Vec::new(),
            tally: Tally::default(),
        }))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("never poisoned"))
    }

    /// What was broken, and what was seen.
    pub fn verdict(&self) -> (Vec<Violation>, Tally) {
        self.with(|state| (state.violations.clone(), state.tally.clone()))
    }

    /// A rule was broken.
    pub fn broken(&self, rule: Rule, what: String) {
        self.with(|state| state.violations.push(Violation { rule, what }));
    }

    /// Something happened that is worth counting.
    pub fn count(&self, what: &'static str) {
        self.with(|state| *state.tally.counts.entry(what).or_default() += 1);
    }

    /// Something took effect after its time.
    pub fn overdue(&self) {
        self.with(|state| state.is_overdue = true);
    }

    /// Whether something did.
    pub fn is_overdue(&self) -> bool {
        self.with(|state| state.is_overdue)
    }

    /// A session that somebody is about to open.
    pub fn add_session(&self, id: &str, user: &str, created: UnixTime, expires: UnixTime) -> usize {
        self.with(|state| {
            let mut life = state.life(id, user, created, expires);
            // It may have ended before it is there.
            life.threatened = state.not_before.get(user).is_some_and(|end| created <= *end);
            state.sessions.push(life);
            state.sessions.len() - 1
        })
    }

    /// A handle that is kept already.
    pub fn add_handle(&self, digest: TokenDigest, user: &str, expires: UnixTime) -> usize {
        self.with(|state| {
            let life = state.life(&digest.name(), user, UnixTime::EPOCH, expires);
            state.digests.insert(digest.name(), digest);
            state.handles.push(Life { opened: Some(Stamp::ZERO), ..life });
            state.handles.len() - 1
        })
    }

    /// A token that others may be told of.
    pub fn digest_named(&self, name: &str) -> Option<TokenDigest> {
        self.with(|state| state.digests.get(name).copied())
    }

    /// The session with this number.
    pub fn session(&self, number: usize) -> Life {
        self.with(|state| state.sessions[number].clone())
    }

    /// The handle with this number.
    pub fn handle(&self, number: usize) -> Life {
        self.with(|state| state.handles[number].clone())
    }

    /// Somebody was told that it is open.
    pub fn session_opened(&self, number: usize, now: Stamp) {
        self.with(|state| state.sessions[number].opened = Some(now));
    }

    /// Somebody begins to end a session.
    pub fn threaten_session(&self, number: usize) {
        self.with(|state| state.sessions[number].threatened = true);
    }

    /// Somebody begins to end all sessions of a user.
    pub fn threaten_user(&self, user: &str) {
        self.with(|state| {
            state.of_user(user).for_each(|life| life.threatened = true);
        });
    }

    /// Somebody begins to end a handle.
    pub fn threaten_handle(&self, number: usize) {
        self.with(|state| state.handles[number].threatened = true);
    }

    /// A revocation took effect.
    pub fn session_revoked(&self, id: &SessionId, now: Stamp) {
        self.with(|state| {
            if let Some(life) = state.sessions.iter_mut().find(|life| life.name == id.as_str()) {
                life.gone.get_or_insert(now);
            }
        });
    }

    /// The end of all sessions of a user took effect.
    pub fn user_revoked(&self, user: &UserId, at: UnixTime, now: Stamp) {
        self.with(|state| {
            let end = state.not_before.entry(user.as_str().to_owned()).or_insert(at);
            *end = (*end).max(at);
            let end = *end;
            for life in state.of_user(user.as_str()).filter(|life| life.created <= end) {
                life.gone.get_or_insert(now);
            }
        });
    }

    /// A session's end was moved.
    pub fn session_renewed(&self, id: &SessionId, expires: UnixTime) {
        self.with(|state| {
            if let Some(life) = state.sessions.iter_mut().find(|life| life.name == id.as_str()) {
                life.expires = life.expires.max(expires);
            }
        });
    }

    /// A handle's end was moved.
    pub fn token_extended(&self, digest: &TokenDigest, expires: UnixTime) {
        self.with(|state| {
            if let Some(life) = state.handle(digest) {
                life.expires = life.expires.max(expires);
            }
        });
    }

    /// A token is gone.
    pub fn token_removed(&self, digest: &TokenDigest, now: Stamp) {
        self.with(|state| {
            if let Some(life) = state.handle(digest) {
                life.gone.get_or_insert(now);
            }
        });
    }

    /// A token was exchanged.
    pub fn token_used(&self, digest: &TokenDigest, successors: &[OpaqueToken], now: Stamp) {
        self.token_removed(digest, now);
        self.with(|state| {
            state.exchanged.entry(*digest).or_default().extend_from_slice(successors)
        });
    }

    /// What a token was exchanged for.
    pub fn successors(&self, digest: &TokenDigest) -> Vec<OpaqueToken> {
        self.with(|state| state.exchanged.get(digest).cloned().unwrap_or_default())
    }

    /// Somebody was told that a session has ended.
    pub fn session_over(&self, number: usize, process: usize, now: Stamp) {
        self.with(|state| {
            state.sessions[number].over.get_or_insert(now);
            state.sessions[number].learn(process, now);
        });
    }

    /// Somebody was told that all sessions of a user have ended, which he asked for `since`.
    pub fn user_over(&self, user: &str, since: UnixTime, process: usize, now: Stamp) {
        self.with(|state| {
            let mut broken = Vec::new();
            for life in state.of_user(user) {
                if life.gone.is_some() {
                    life.over.get_or_insert(now);
                    life.learn(process, now);
                } else if life.created <= since {
                    broken.push(format!("{} lives on after the end of all of {user}'s", life.name));
                }
            }
            let rule = Rule::Acknowledged;
            state.violations.extend(broken.into_iter().map(|what| Violation { rule, what }));
        });
    }

    /// Somebody was told that a handle has ended.
    pub fn handle_over(&self, number: usize, process: usize, now: Stamp) {
        self.with(|state| {
            state.handles[number].over.get_or_insert(now);
            state.handles[number].learn(process, now);
        });
    }

    /// A change that a process tried to make itself came to an end, whichever.
    pub fn stirred(&self, key: &str, process: usize, now: Stamp) {
        self.with(|state| state.concerned(key, |life| life.learn(process, now)));
    }

    /// A process is told that it may have missed something.
    pub fn missed(&self, process: usize, now: Stamp) {
        self.with(|state| state.missed[process].push(now));
    }

    /// A gate answered.
    pub fn answered(&self, credential: &Credential, answer: &Answer) {
        self.count(match answer.denied {
            None => "yes",
            Some("store_unavailable") => "unavailable",
            Some(_) => "no",
        });
        self.with(|state| match answer.denied {
            None => state.check_yes(credential, answer),
            Some(code) => state.check_no(credential, answer, code),
        });
    }
}

impl Life {
    fn learn(&mut self, process: usize, now: Stamp) {
        self.stirred[process] = Some(now);
        if self.gone.is_some() {
            self.learnt[process].get_or_insert(now);
        }
    }
}

impl Answer {
    /// Whether nothing was wrong between the gate and its store, for long enough before it was asked.
    fn is_well(&self) -> bool {
        self.calm_since.is_some_and(|since| since.is_zero() || since + WELL <= self.asked)
    }
}

impl State {
    fn life(&self, name: &str, user: &str, created: UnixTime, expires: UnixTime) -> Life {
        Life {
            name: name.to_owned(),
            user: user.to_owned(),
            created,
            expires,
            opened: None,
            threatened: false,
            gone: None,
            over: None,
            learnt: vec![None; self.processes],
            stirred: vec![None; self.processes],
        }
    }

    fn of_user(&mut self, user: &str) -> impl Iterator<Item = &mut Life> {
        self.sessions.iter_mut().filter(move |life| life.user == user)
    }

    fn handle(&mut self, digest: &TokenDigest) -> Option<&mut Life> {
        let name = digest.name();
        self.handles.iter_mut().find(|life| life.name == name)
    }

    /// Does something with all that a changed record is about.
    fn concerned(&mut self, key: &str, does: impl FnMut(&mut Life)) {
        let (kind, name) = key.split_once(':').unwrap_or_default();
        match kind {
            "session" => self.sessions.iter_mut().filter(|life| life.name == name).for_each(does),
            "user" => self.of_user(name).for_each(does),
            _ => self.handles.iter_mut().filter(|life| life.name == name).for_each(does),
        }
    }

    fn lives(&self, credential: &Credential) -> Vec<Life> {
        let handle = credential.handle.map(|number| self.handles[number].clone());
        [self.sessions[credential.session].clone()].into_iter().chain(handle).collect()
    }

    fn check_yes(&mut self, credential: &Credential, answer: &Answer) {
        let promise = self.promise;
        let (process, asked) = (answer.process, answer.asked);
        let mut broken = Vec::new();
        if answer.asked_wall >= credential.expires {
            broken.push((Rule::Expiry, "the token was over".to_owned()));
        }
        if let Some(since) = answer.down_since
            && promise.when_down < promise.staleness
            && asked >= since + promise.when_down
        {
            broken.push((Rule::Down, format!("no answer from the store since {since:?}")));
        }
        for life in self.lives(credential) {
            let name = &life.name;
            if answer.asked_wall >= life.expires {
                broken.push((Rule::Expiry, format!("{name} ended at {}", life.expires)));
            }
            if let Some(learnt) = life.learnt[process].filter(|learnt| *learnt <= asked) {
                broken.push((Rule::Heard, format!("it knew at {learnt:?} that {name} had ended")));
            }
            if let Some(over) = life.over.filter(|over| *over <= asked) {
                let bound = match answer.is_well() {
                    true => promise.staleness,
                    false => promise.staleness.max(promise.when_down),
                };
                self.tally.note_late(asked - over, bound);
                if asked >= over + bound {
                    let what = format!("{name} had ended at {over:?}, the bound is {bound:?}");
                    broken.push((Rule::Bound, what));
                }
            }
            let Some(gone) = life.gone else { continue };
            let warned = self.missed[process].iter().find(|missed| gone <= **missed);
            if let Some(missed) = warned.filter(|missed| **missed <= asked)
                && answer.is_well()
            {
                let what = format!("{name} ended at {gone:?}, and it was warned at {missed:?}");
                broken.push((Rule::Missed, what));
            }
            if let Some(push) = promise.push
                && asked > gone + push
            {
                broken.push((Rule::Push, format!("{name} had ended at {gone:?}")));
            }
        }
        for (rule, why) in broken {
            let what = format!("gate {process}, asked at {asked:?}, said yes: {why}");
            self.violations.push(Violation { rule, what });
        }
    }

    fn check_no(&mut self, credential: &Credential, answer: &Answer, code: &str) {
        let is_sure = |life: &Life| {
            let is_old = |at: Stamp| at + PATIENCE < answer.asked;
            let is_alone = life.stirred[answer.process].is_none_or(is_old);
            life.opened.is_some_and(is_old)
                && life.gone.is_none()
                && (answer.is_settled || (!life.threatened && is_alone))
                && answer.answered_wall < life.expires
        };
        let is_owed = answer.is_settled || (answer.is_well() && answer.is_open);
        let in_time = answer.answered_wall < credential.expires;
        if is_owed && in_time && self.lives(credential).iter().all(is_sure) {
            let (process, asked) = (answer.process, answer.asked);
            let name = &self.sessions[credential.session].name;
            let what = format!("gate {process}, asked at {asked:?}, said {code}: {name} lives");
            self.violations.push(Violation { rule: Rule::Liveness, what });
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&counts.join(", "))?;
        if self.latest > 0 {
            let percent = self.latest as f64 / 10.0;
            write!(f, "; the latest yes after the end at {percent} % of the bound")?;
        }
        Ok(())
    }
}

impl Tally {
    fn note_late(&mut self, by: Duration, bound: Duration) {
        *self.counts.entry("yes after the end").or_default() += 1;
        let share = by.as_micros() * 1_000 / bound.as_micros().max(1);
        self.latest = self.latest.max(u64::try_from(share).unwrap_or(u64::MAX));
    }

    /// Takes in what another run saw.
    pub fn add(&mut self, other: Self) {
        for (what, n) in other.counts {
            *self.counts.entry(what).or_default() += n;
        }
        self.latest = self.latest.max(other.latest);
    }
}

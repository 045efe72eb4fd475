//! What is true: what the store was told, who was told so, and which process could know of it. What every gate says is held
//! against it.

mod rules;
mod tally;

use std::{collections::HashMap, sync::Mutex};

use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, TokenDigest},
    session::{SessionId, UserId},
};

use super::time::Stamp;
pub use rules::{Answer, DOWN, Promise, Rule, Violation};
pub use tally::Tally;

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
        self.with(|state| state.tally.count(what));
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
}

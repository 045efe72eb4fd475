//! The test oracle: it knows the true state, who was told of it, and which process could know it. Every answer of a gate is
//! checked against it.

mod rules;
mod tally;

use std::{collections::HashMap, sync::Mutex};

use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, TokenDigest},
    session::{SessionId, UserId},
};

use super::time::Timestamp;
pub use rules::{Answer, DOWN, Rule, StalenessBounds, Violation};
pub use tally::Tally;

/// The lifetime of a session or of a handle.
#[derive(Clone, Debug)]
pub struct Lifetime {
    pub name: String,
    pub user: String,
    pub created: UnixTime,
    /// The latest expiry that the store was told.
    pub expires: UnixTime,
    /// The moment at which its opening was acknowledged.
    pub opened: Option<Timestamp>,
    /// True once somebody has begun to end it.
    pub is_ending: bool,
    /// The moment at which its end took effect.
    pub ended: Option<Timestamp>,
    /// The moment at which its end was acknowledged.
    pub acknowledged: Option<Timestamp>,
    /// By process: the moment at which it was notified of the end.
    notified: Vec<Option<Timestamp>>,
    /// By process: the moment at which it last saw any change.
    last_change: Vec<Option<Timestamp>>,
}

/// Something that a gate is shown.
#[derive(Clone, Debug)]
pub struct Credential {
    pub text: String,
    pub session: usize,
    /// The number of the handle, where it is one.
    pub handle: Option<usize>,
    /// Its own end, if it has one.
    pub expires: UnixTime,
}

/// The oracle of a run.
#[derive(Debug)]
pub struct Oracle(Mutex<State>);

#[derive(Debug)]
struct State {
    bounds: StalenessBounds,
    processes: usize,
    sessions: Vec<Lifetime>,
    handles: Vec<Lifetime>,
    digests: HashMap<String, TokenDigest>,
    not_before: HashMap<String, UnixTime>,
    /// By process: all moments at which it was told that invalidations may have been lost.
    losses: Vec<Vec<Timestamp>>,
    rotated: HashMap<TokenDigest, Vec<OpaqueToken>>,
    is_overdue: bool,
    violations: Vec<Violation>,
    tally: Tally,
}

impl Oracle {
    /// For so many processes with these bounds.
    pub fn new(bounds: StalenessBounds, processes: usize) -> Self {
        Self(Mutex::new(State {
            bounds,
            processes,
            sessions: Vec::new(),
            handles: Vec::new(),
            digests: HashMap::new(),
            not_before: HashMap::new(),
            losses: vec![Vec::new(); processes],
            rotated: HashMap::new(),
            is_overdue: false,
            violations: Vec::new(),
            tally: Tally::default(),
        }))
    }

    fn with<T>(&self, apply: impl FnOnce(&mut State) -> T) -> T {
        apply(&mut self.0.lock().expect("never poisoned"))
    }

    /// The violations, and the counts.
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

    /// True if something did.
    pub fn is_overdue(&self) -> bool {
        self.with(|state| state.is_overdue)
    }

    /// A session that somebody is about to open.
    pub fn add_session(&self, id: &str, user: &str, created: UnixTime, expires: UnixTime) -> usize {
        self.with(|state| {
            let mut lifetime = state.lifetime(id, user, created, expires);
            // It may have ended before it is there.
            lifetime.is_ending = state.not_before.get(user).is_some_and(|end| created <= *end);
            state.sessions.push(lifetime);
            state.sessions.len() - 1
        })
    }

    /// A handle that is kept already.
    pub fn add_handle(&self, digest: TokenDigest, user: &str, expires: UnixTime) -> usize {
        self.with(|state| {
            let lifetime = state.lifetime(&digest.name(), user, UnixTime::EPOCH, expires);
            state.digests.insert(digest.name(), digest);
            state.handles.push(Lifetime { opened: Some(Timestamp::ZERO), ..lifetime });
            state.handles.len() - 1
        })
    }

    /// The token of this name.
    pub fn digest_named(&self, name: &str) -> Option<TokenDigest> {
        self.with(|state| state.digests.get(name).copied())
    }

    /// The session with this number.
    pub fn session(&self, number: usize) -> Lifetime {
        self.with(|state| state.sessions[number].clone())
    }

    /// The handle with this number.
    pub fn handle(&self, number: usize) -> Lifetime {
        self.with(|state| state.handles[number].clone())
    }

    /// Notes that the opening of a session was acknowledged.
    pub fn session_opened(&self, number: usize, now: Timestamp) {
        self.with(|state| state.sessions[number].opened = Some(now));
    }

    /// Notes that somebody begins to end a session.
    pub fn session_ending(&self, number: usize) {
        self.with(|state| state.sessions[number].is_ending = true);
    }

    /// Notes that somebody begins to end all sessions of a user.
    pub fn user_ending(&self, user: &str) {
        self.with(|state| {
            state.of_user(user).for_each(|lifetime| lifetime.is_ending = true);
        });
    }

    /// Notes that somebody begins to end a handle.
    pub fn handle_ending(&self, number: usize) {
        self.with(|state| state.handles[number].is_ending = true);
    }

    /// A revocation took effect.
    pub fn session_revoked(&self, id: &SessionId, now: Timestamp) {
        self.with(|state| {
            if let Some(lifetime) =
                state.sessions.iter_mut().find(|lifetime| lifetime.name == id.as_str())
            {
                lifetime.ended.get_or_insert(now);
            }
        });
    }

    /// The end of all sessions of a user took effect.
    pub fn user_revoked(&self, user: &UserId, at: UnixTime, now: Timestamp) {
        self.with(|state| {
            let end = state.not_before.entry(user.as_str().to_owned()).or_insert(at);
            *end = (*end).max(at);
            let end = *end;
            for lifetime in state.of_user(user.as_str()).filter(|lifetime| lifetime.created <= end)
            {
                lifetime.ended.get_or_insert(now);
            }
        });
    }

    /// A session's end was moved.
    pub fn session_renewed(&self, id: &SessionId, expires: UnixTime) {
        self.with(|state| {
            if let Some(lifetime) =
                state.sessions.iter_mut().find(|lifetime| lifetime.name == id.as_str())
            {
                lifetime.expires = lifetime.expires.max(expires);
            }
        });
    }

    /// A handle's end was moved.
    pub fn token_extended(&self, digest: &TokenDigest, expires: UnixTime) {
        self.with(|state| {
            if let Some(lifetime) = state.handle(digest) {
                lifetime.expires = lifetime.expires.max(expires);
            }
        });
    }

    /// A token is gone.
    pub fn token_removed(&self, digest: &TokenDigest, now: Timestamp) {
        self.with(|state| {
            if let Some(lifetime) = state.handle(digest) {
                lifetime.ended.get_or_insert(now);
            }
        });
    }

    /// A token was rotated.
    pub fn token_used(&self, digest: &TokenDigest, successors: &[OpaqueToken], now: Timestamp) {
        self.token_removed(digest, now);
        self.with(|state| state.rotated.entry(*digest).or_default().extend_from_slice(successors));
    }

    /// The successors of a rotated token.
    pub fn successors(&self, digest: &TokenDigest) -> Vec<OpaqueToken> {
        self.with(|state| state.rotated.get(digest).cloned().unwrap_or_default())
    }

    /// Notes that the end of a session was acknowledged.
    pub fn session_end_acknowledged(&self, number: usize, process: usize, now: Timestamp) {
        self.with(|state| {
            state.sessions[number].acknowledged.get_or_insert(now);
            state.sessions[number].notify(process, now);
        });
    }

    /// Notes that the end of all sessions of a user was acknowledged, which was asked for `since`.
    pub fn user_end_acknowledged(
        &self,
        user: &str,
        since: UnixTime,
        process: usize,
        now: Timestamp,
    ) {
        self.with(|state| {
            let mut broken = Vec::new();
            for lifetime in state.of_user(user) {
                if lifetime.ended.is_some() {
                    lifetime.acknowledged.get_or_insert(now);
                    lifetime.notify(process, now);
                } else if lifetime.created <= since {
                    broken.push(format!(
                        "{} lives on after the end of all of {user}'s",
                        lifetime.name
                    ));
                }
            }
            let rule = Rule::Acknowledged;
            state.violations.extend(broken.into_iter().map(|what| Violation { rule, what }));
        });
    }

    /// Notes that the end of a handle was acknowledged.
    pub fn handle_end_acknowledged(&self, number: usize, process: usize, now: Timestamp) {
        self.with(|state| {
            state.handles[number].acknowledged.get_or_insert(now);
            state.handles[number].notify(process, now);
        });
    }

    /// Notes that a process saw a change, or that a change of its own came to an end.
    pub fn change_seen(&self, key: &str, process: usize, now: Timestamp) {
        self.with(|state| state.concerned(key, |lifetime| lifetime.notify(process, now)));
    }

    /// Notes that a process was told that invalidations may have been lost.
    pub fn loss_reported(&self, process: usize, now: Timestamp) {
        self.with(|state| state.losses[process].push(now));
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

impl Lifetime {
    fn notify(&mut self, process: usize, now: Timestamp) {
        self.last_change[process] = Some(now);
        if self.ended.is_some() {
            self.notified[process].get_or_insert(now);
        }
    }
}

impl State {
    fn lifetime(&self, name: &str, user: &str, created: UnixTime, expires: UnixTime) -> Lifetime {
        Lifetime {
            name: name.to_owned(),
            user: user.to_owned(),
            created,
            expires,
            opened: None,
            is_ending: false,
            ended: None,
            acknowledged: None,
            notified: vec![None; self.processes],
            last_change: vec![None; self.processes],
        }
    }

    fn of_user(&mut self, user: &str) -> impl Iterator<Item = &mut Lifetime> {
        self.sessions.iter_mut().filter(move |lifetime| lifetime.user == user)
    }

    fn handle(&mut self, digest: &TokenDigest) -> Option<&mut Lifetime> {
        let name = digest.name();
        self.handles.iter_mut().find(|lifetime| lifetime.name == name)
    }

    /// Does something with all that a changed record is about.
    fn concerned(&mut self, key: &str, does: impl FnMut(&mut Lifetime)) {
        let (kind, name) = key.split_once(':').unwrap_or_default();
        match kind {
            "session" => {
                self.sessions.iter_mut().filter(|lifetime| lifetime.name == name).for_each(does)
            }
            "user" => self.of_user(name).for_each(does),
            _ => self.handles.iter_mut().filter(|lifetime| lifetime.name == name).for_each(does),
        }
    }

    fn lifetimes(&self, credential: &Credential) -> Vec<Lifetime> {
        let handle = credential.handle.map(|number| self.handles[number].clone());
        [self.sessions[credential.session].clone()].into_iter().chain(handle).collect()
    }
}

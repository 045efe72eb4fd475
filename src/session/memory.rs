//! Sessions in memory: for tests and trials, gone with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Filter, FoundSession, Session, SessionId, SessionKey, SessionStore, UserId};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Session>,
    not_before: HashMap<UserId, UnixTime>,
}

impl State {
    fn not_before(&self, user: &UserId) -> UnixTime {
        self.not_before.get(user).copied().unwrap_or(UnixTime::EPOCH)
    }

    /// The session as a reader sees it.
    fn read(&self, session: &Session) -> Session {
        Session { not_before: self.not_before(&session.user), ..session.clone() }
    }

    /// Removes what does not satisfy `keep` and says how many that were.
    fn retain(&mut self, keep: impl Fn(&Session) -> bool) -> u64 {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| keep(session));
        (before - self.sessions.len()) as u64
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No caller's code runs under the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.sessions.contains_key(&session.id) {
            return Err(StoreError::Conflict(session.id.to_string()));
        }
        state.sessions.insert(session.id.clone(), session.clone());
        Ok(())
    }

    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        let state = self.state();
        let found = keys.iter().map(|(user, id)| {
            let found = state.sessions.get(id).filter(|session| session.user == *user);
            Ok(found.map(|session| state.read(session)))
        });
        Ok(found.collect())
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, at) in uses {
            if let Some(session) = state.sessions.get_mut(id) {
                session.last_seen = session.last_seen.max(*at);
            }
        }
        Ok(())
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let mut state = self.state();
        let found = state.sessions.get_mut(id);
        Ok(found.map(|session| session.expires = session.expires.max(expires)).is_some())
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        Ok(self.state().sessions.remove(id).map(|session| session.user))
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let mut state = self.state();
        let not_before = state.not_before(user).max(at);
        state.not_before.insert(user.clone(), not_before);
        Ok(state.retain(|session| session.user != *user || session.created > not_before))
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        let state = self.state();
        let mut found: Vec<Session> = state
            .sessions
            .values()
            .map(|session| state.read(session))
            .filter(|session| filter.admits(session))
            .collect();
        found.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        found.truncate(limit);
        Ok(found)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        Ok(self.state().retain(|session| session.expires > expired_before))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

//! What was learnt since: whether a session that was read earlier may still be believed.
//!
//! A reader takes a [`Mark`] before it asks the store; whoever ends a session moves the mark of
//! that session, or of that user, on. So one comparison of two numbers tells a cached answer
//! that it is outdated, also one whose read was under way when the session ended, and no
//! revocation has to look for what is cached.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{SessionId, UserId};

/// Sessions, and users, that share a counter: a revocation makes its neighbours read again too.
const SLOTS: usize = 1024;

/// The moment at which a session was read, in terms of what was revoked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    session: u64,
    user: u64,
    session_slot: u16,
    user_slot: u16,
}

/// The counters of this process.
#[derive(Debug)]
pub struct Freshness {
    sessions: Box<[AtomicU64]>,
    users: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Freshness {
    /// Counters at their start.
    pub fn new() -> Self {
        let counters = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { sessions: counters(), users: counters(), hasher: RandomState::new() }
    }

    /// The present mark of a session; to be taken before the store is asked.
    pub fn mark(&self, user: &UserId, id: &SessionId) -> Mark {
        let (session_slot, user_slot) = (self.slot(id.as_str()), self.slot(user.as_str()));
        Mark {
            session: self.sessions[usize::from(session_slot)].load(Ordering::Acquire),
            user: self.users[usize::from(user_slot)].load(Ordering::Acquire),
            session_slot,
            user_slot,
        }
    }

    /// Whether nothing has ended since `mark` that could be the session it was taken for.
    pub fn is_current(&self, mark: &Mark) -> bool {
        self.sessions[usize::from(mark.session_slot)].load(Ordering::Acquire) == mark.session
            && self.users[usize::from(mark.user_slot)].load(Ordering::Acquire) == mark.user
    }

    /// A session has ended.
    pub fn session_ended(&self, id: &SessionId) {
        self.sessions[usize::from(self.slot(id.as_str()))].fetch_add(1, Ordering::AcqRel);
    }

    /// Sessions of a user have ended.
    pub fn user_ended(&self, user: &UserId) {
        self.users[usize::from(self.slot(user.as_str()))].fetch_add(1, Ordering::AcqRel);
    }

    fn slot(&self, name: &str) -> u16 {
        // The modulus keeps it below 1024; the fallback cannot happen.
        u16::try_from(self.hasher.hash_one(name) % SLOTS as u64).unwrap_or_default()
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_outdated_by_its_session_and_by_its_user() {
        let freshness = Freshness::new();
        let (user, id) = (UserId::parse("u").unwrap(), SessionId::parse("s").unwrap());
        for end in
            [&(|| freshness.session_ended(&id)) as &dyn Fn(), &|| freshness.user_ended(&user)]
        {
            let mark = freshness.mark(&user, &id);
            assert!(freshness.is_current(&mark));
            end();
            assert!(!freshness.is_current(&mark));
        }
    }

    #[test]
    fn a_revocation_disturbs_few_others() {
        let freshness = Freshness::new();
        let user = UserId::parse("u").unwrap();
        let marks: Vec<_> = (0..1_000)
            .map(|n| freshness.mark(&user, &SessionId::parse(&format!("s{n}")).unwrap()))
            .collect();
        freshness.session_ended(&SessionId::parse("s0").unwrap());
        let outdated = marks.iter().filter(|mark| !freshness.is_current(mark)).count();
        assert!((1..20).contains(&outdated), "{outdated}");
    }
}

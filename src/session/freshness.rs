//! What was learnt since: whether a session that was read earlier may still be believed.
//!
//! A reader takes a [`Mark`] before it asks the store; whoever ends a session, or hears that
//! somebody else did, moves the mark of that session, or of that user, on. So one comparison of a
//! few numbers tells a cached answer that it is outdated, also one whose read was under way when
//! the session ended, and no revocation has to look for what is cached. Where it is not known what
//! was missed, a counter that all marks share is moved, which puts everything in doubt at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{SessionId, UserId};

/// Sessions, and users, that share a counter: a revocation makes its neighbours read again too.
/// As many as an index of two bytes can tell apart: ten thousand revocations at once make one of
/// seven others be read again, and the counters of both take 512 KiB.
const SLOTS: usize = 1 << 16;

/// The moment at which a session was read, in terms of what was revoked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    doubts: u64,
    session: u32,
    user: u32,
    session_slot: u16,
    user_slot: u16,
}

/// What is known of a record since its mark was taken; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// Nothing that concerns it.
    Nothing,
    /// Something may have been missed.
    Doubt,
    /// It, or one that shares its counter, was changed or has ended.
    Change,
}

/// The counters of this process. One that came all the way round between two looks would be taken
/// for one that did not move; that takes four thousand million changes of one slot.
#[derive(Debug)]
pub struct Freshness {
    sessions: Box<[AtomicU32]>,
    users: Box<[AtomicU32]>,
    doubts: AtomicU64,
    hasher: RandomState,
}

impl Freshness {
    /// Counters at their start.
    pub fn new() -> Self {
        let counters = || (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self {
            sessions: counters(),
            users: counters(),
            doubts: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The present mark of a session; to be taken before the store is asked.
    pub fn mark(&self, user: &UserId, id: &SessionId) -> Mark {
        let (session_slot, user_slot) = (self.slot(id.as_str()), self.slot(user.as_str()));
        Mark {
            doubts: self.doubts.load(Ordering::Acquire),
            session: self.sessions[usize::from(session_slot)].load(Ordering::Acquire),
            user: self.users[usize::from(user_slot)].load(Ordering::Acquire),
            session_slot,
            user_slot,
        }
    }

    /// What is known since `mark` of the session that it was taken for.
    pub fn since(&self, mark: &Mark) -> Since {
        let session = self.sessions[usize::from(mark.session_slot)].load(Ordering::Acquire);
        let user = self.users[usize::from(mark.user_slot)].load(Ordering::Acquire);
        if session != mark.session || user != mark.user {
            Since::Change
        } else if self.doubts.load(Ordering::Acquire) != mark.doubts {
            Since::Doubt
        } else {
            Since::Nothing
        }
    }

    /// A session has ended, or was changed.
    pub fn session_changed(&self, id: &SessionId) {
        self.sessions[usize::from(self.slot(id.as_str()))].fetch_add(1, Ordering::AcqRel);
    }

    /// Sessions of a user have ended.
    pub fn user_changed(&self, user: &UserId) {
        self.users[usize::from(self.slot(user.as_str()))].fetch_add(1, Ordering::AcqRel);
    }

    /// Something may have been missed.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    fn slot(&self, name: &str) -> u16 {
        // The modulus keeps it within two bytes; the fallback cannot happen.
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
    fn a_mark_is_outdated_by_its_session_by_its_user_and_by_doubt() {
        let freshness = Freshness::new();
        let (user, id) = (UserId::parse("u").unwrap(), SessionId::parse("s").unwrap());
        for (happens, expected) in [
            (&(|| freshness.session_changed(&id)) as &dyn Fn(), Since::Change),
            (&|| freshness.user_changed(&user), Since::Change),
            (&|| freshness.doubt(), Since::Doubt),
        ] {
            let mark = freshness.mark(&user, &id);
            assert_eq!(freshness.since(&mark), Since::Nothing);
            happens();
            assert_eq!(freshness.since(&mark), expected);
        }
    }

    #[test]
    fn what_is_known_to_have_changed_is_no_mere_doubt() {
        let freshness = Freshness::new();
        let (user, id) = (UserId::parse("u").unwrap(), SessionId::parse("s").unwrap());
        let mark = freshness.mark(&user, &id);
        freshness.session_changed(&id);
        freshness.doubt();
        assert_eq!(freshness.since(&mark), Since::Change);
    }

    #[test]
    fn a_revocation_disturbs_few_others() {
        let freshness = Freshness::new();
        let user = UserId::parse("u").unwrap();
        let marks: Vec<_> = (0..10_000)
            .map(|n| freshness.mark(&user, &SessionId::parse(&format!("s{n}")).unwrap()))
            .collect();
        freshness.session_changed(&SessionId::parse("s0").unwrap());
        let outdated = marks.iter().filter(|mark| freshness.since(mark) == Since::Change).count();
        assert!((1..10).contains(&outdated), "{outdated}");
    }
}

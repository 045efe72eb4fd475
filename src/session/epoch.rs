//! Epochs: the check whether a cached session is still current.
//!
//! A reader takes an [`Epoch`] before it asks the store. Whoever ends a session, or is told that
//! another process did, advances the epoch of that session, or of that user. So a comparison of a
//! few numbers shows that a cached answer is outdated, also one whose read was in flight when the
//! session ended, and no revocation has to search the cache. Where events may have been lost, a
//! generation that all epochs share is advanced, which makes every cached answer suspect at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{SessionId, UserId};

/// Sessions, and users, that share a counter: a revocation makes its neighbours read again too.
/// As many as an index of two bytes can tell apart: ten thousand revocations at once make one of
/// seven others be read again, and the counters of both take 512 KiB.
const SLOTS: usize = 1 << 16;

/// The epoch at which a session was read: the changes that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    generation: u64,
    session: u32,
    user: u32,
    session_slot: u16,
    user_slot: u16,
}

/// The status of a cached record, as far as events have come since its epoch; the worst is the
/// greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochStatus {
    /// No change of it is known.
    Current,
    /// Events may have been lost.
    Suspect,
    /// It, or one that shares its counter, was changed or has ended.
    Changed,
}

/// The epochs of this process, as counters. One that came all the way round between two looks
/// would be taken for one that did not move; that takes four thousand million changes of one slot.
#[derive(Debug)]
pub struct EpochTable {
    sessions: Box<[AtomicU32]>,
    users: Box<[AtomicU32]>,
    generation: AtomicU64,
    hasher: RandomState,
}

impl EpochTable {
    /// Counters at their start.
    pub fn new() -> Self {
        let counters = || (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self {
            sessions: counters(),
            users: counters(),
            generation: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The present epoch of a session; to be taken before the store is asked.
    pub fn epoch(&self, user: &UserId, id: &SessionId) -> Epoch {
        let (session_slot, user_slot) = (self.slot(id.as_str()), self.slot(user.as_str()));
        Epoch {
            generation: self.generation.load(Ordering::Acquire),
            session: self.sessions[usize::from(session_slot)].load(Ordering::Acquire),
            user: self.users[usize::from(user_slot)].load(Ordering::Acquire),
            session_slot,
            user_slot,
        }
    }

    /// The status of the session that this epoch was taken for.
    pub fn status(&self, epoch: &Epoch) -> EpochStatus {
        let session = self.sessions[usize::from(epoch.session_slot)].load(Ordering::Acquire);
        let user = self.users[usize::from(epoch.user_slot)].load(Ordering::Acquire);
        if session != epoch.session || user != epoch.user {
            EpochStatus::Changed
        } else if self.generation.load(Ordering::Acquire) != epoch.generation {
            EpochStatus::Suspect
        } else {
            EpochStatus::Current
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

    /// Events may have been lost: every session that was read before is suspect.
    pub fn suspect_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn slot(&self, name: &str) -> u16 {
        // The modulus keeps it within two bytes; the fallback cannot happen.
        u16::try_from(self.hasher.hash_one(name) % SLOTS as u64).unwrap_or_default()
    }
}

impl Default for EpochTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_outdated_by_its_session_by_its_user_and_by_lost_events() {
        let table = EpochTable::new();
        let (user, id) = (UserId::parse("u").unwrap(), SessionId::parse("s").unwrap());
        for (happens, expected) in [
            (&(|| table.session_changed(&id)) as &dyn Fn(), EpochStatus::Changed),
            (&|| table.user_changed(&user), EpochStatus::Changed),
            (&|| table.suspect_all(), EpochStatus::Suspect),
        ] {
            let epoch = table.epoch(&user, &id);
            assert_eq!(table.status(&epoch), EpochStatus::Current);
            happens();
            assert_eq!(table.status(&epoch), expected);
        }
    }

    #[test]
    fn what_is_known_to_have_changed_is_more_than_suspect() {
        let table = EpochTable::new();
        let (user, id) = (UserId::parse("u").unwrap(), SessionId::parse("s").unwrap());
        let epoch = table.epoch(&user, &id);
        table.session_changed(&id);
        table.suspect_all();
        assert_eq!(table.status(&epoch), EpochStatus::Changed);
    }

    #[test]
    fn a_revocation_disturbs_few_others() {
        let table = EpochTable::new();
        let user = UserId::parse("u").unwrap();
        let epochs: Vec<_> = (0..10_000)
            .map(|n| table.epoch(&user, &SessionId::parse(&format!("s{n}")).unwrap()))
            .collect();
        table.session_changed(&SessionId::parse("s0").unwrap());
        let outdated =
            epochs.iter().filter(|epoch| table.status(epoch) == EpochStatus::Changed).count();
        assert!((1..10).contains(&outdated), "{outdated}");
    }
}

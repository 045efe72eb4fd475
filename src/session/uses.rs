//! Sessions that were used and whose store does not know yet: one note for each, however often it
//! was used, written many at a time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::SessionId;
use crate::clock::UnixTime;

/// How many sessions may wait to be written down; a use that finds no room is noted again at the
/// session's next read.
const MOST: usize = 16_384;

/// The notes of this process.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<SessionId, UnixTime>>);

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is the first one: somebody has to see to it that it is written down.
    First,
    /// It goes with those before it.
    Beside,
    /// There is no room.
    Dropped,
}

impl Uses {
    /// Notes a use.
    pub(super) fn note(&self, id: &SessionId, at: UnixTime) -> Noted {
        let mut notes = self.lock();
        if let Some(noted) = notes.get_mut(id) {
            *noted = (*noted).max(at);
            return Noted::Beside;
        }
        if notes.len() >= MOST {
            return Noted::Dropped;
        }
        notes.insert(id.clone(), at);
        if notes.len() == 1 { Noted::First } else { Noted::Beside }
    }

    /// Takes all notes; the next one is a first again.
    pub(super) fn take(&self) -> Vec<(SessionId, UnixTime)> {
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, UnixTime>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_used_often_is_written_once_with_its_last_use() {
        let uses = Uses::default();
        let (one, other) = (SessionId::parse("a").unwrap(), SessionId::parse("b").unwrap());
        let at = UnixTime::from_millis;
        assert_eq!(uses.note(&one, at(5)), Noted::First);
        assert_eq!(uses.note(&one, at(9)), Noted::Beside);
        assert_eq!(uses.note(&one, at(7)), Noted::Beside);
        assert_eq!(uses.note(&other, at(1)), Noted::Beside);
        let mut taken = uses.take();
        taken.sort();
        assert_eq!(taken, [(one.clone(), at(9)), (other, at(1))]);
        assert_eq!(uses.note(&one, at(10)), Noted::First);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let uses = Uses::default();
        for n in 0..MOST {
            let id = SessionId::parse(&format!("s{n}")).unwrap();
            assert_ne!(uses.note(&id, UnixTime::EPOCH), Noted::Dropped);
        }
        let late = SessionId::parse("late").unwrap();
        assert_eq!(uses.note(&late, UnixTime::EPOCH), Noted::Dropped);
        let known = SessionId::parse("s0").unwrap();
        assert_eq!(uses.note(&known, UnixTime::EPOCH), Noted::Beside);
    }
}

//! Last-seen times that are not in the store yet: one for each session, however often it was used,
//! written in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{SessionId, SessionStore};
use crate::clock::UnixTime;
use crate::store::{CHANGE_TIMEOUT, GuardedStore, Operation};

/// At most this many sessions wait to be written. A use without room is recorded again at the
/// session's next read.
const CAPACITY: usize = 16_384;

/// At most this many last-seen times are in one call to the store.
const MAX_IN_CALL: usize = 200;

/// The batch of this process.
#[derive(Debug, Default)]
pub(super) struct LastSeenBatch(Mutex<HashMap<SessionId, UnixTime>>);

/// The outcome of recording a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is the first of a batch; the caller has to make sure that the batch is written.
    First,
    /// It joined the batch.
    Joined,
    /// There is no room.
    Dropped,
}

impl LastSeenBatch {
    /// Records a use.
    pub(super) fn record(&self, id: &SessionId, at: UnixTime) -> Recorded {
        let mut times = self.lock();
        if let Some(last_seen) = times.get_mut(id) {
            *last_seen = (*last_seen).max(at);
            return Recorded::Joined;
        }
        if times.len() >= CAPACITY {
            return Recorded::Dropped;
        }
        times.insert(id.clone(), at);
        if times.len() == 1 { Recorded::First } else { Recorded::Joined }
    }

    /// Takes the batch; the next use begins another one.
    pub(super) fn take(&self) -> Vec<(SessionId, UnixTime)> {
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, UnixTime>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all last-seen times. Where the store fails the rest is dropped: a use that was not
/// written is recorded at the session's next read, and a failing store gets no further calls.
pub(super) async fn flush(
    store: &Arc<dyn SessionStore>,
    guard: &GuardedStore,
    last_seen: &LastSeenBatch,
) {
    let times = last_seen.take();
    for (at, batch) in times.chunks(MAX_IN_CALL).enumerate() {
        let touched = store.touch(batch);
        if guard.with_timeout(CHANGE_TIMEOUT, Operation::Touch, touched).await.is_err() {
            let dropped = times.len() - at * MAX_IN_CALL;
            return guard.metrics().last_seen_dropped(dropped as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_used_often_is_written_once_with_its_last_use() {
        let batch = LastSeenBatch::default();
        let (one, other) = (SessionId::parse("a").unwrap(), SessionId::parse("b").unwrap());
        let at = UnixTime::from_millis;
        assert_eq!(batch.record(&one, at(5)), Recorded::First);
        assert_eq!(batch.record(&one, at(9)), Recorded::Joined);
        assert_eq!(batch.record(&one, at(7)), Recorded::Joined);
        assert_eq!(batch.record(&other, at(1)), Recorded::Joined);
        let mut taken = batch.take();
        taken.sort();
        assert_eq!(taken, [(one.clone(), at(9)), (other, at(1))]);
        assert_eq!(batch.record(&one, at(10)), Recorded::First);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let batch = LastSeenBatch::default();
        for n in 0..CAPACITY {
            let id = SessionId::parse(&format!("s{n}")).unwrap();
            assert_ne!(batch.record(&id, UnixTime::EPOCH), Recorded::Dropped);
        }
        let late = SessionId::parse("late").unwrap();
        assert_eq!(batch.record(&late, UnixTime::EPOCH), Recorded::Dropped);
        let known = SessionId::parse("s0").unwrap();
        assert_eq!(batch.record(&known, UnixTime::EPOCH), Recorded::Joined);
    }
}

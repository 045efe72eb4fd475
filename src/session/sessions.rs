//! The sessions as the rest of the program uses them: a guarded store, judged by the clock. A
//! session that ends through this process is refused here at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::batch_loader::BatchLoader;
use super::last_seen::{self, LastSeenBatch, Recorded};
use super::{
    Ended, Filter, InvalidatedRecord, Session, SessionBinding, SessionId, SessionStore, UserId,
};
use crate::clock::{Clock, Moment, UnixTime};
use crate::store::invalidation::{Completeness, InvalidationEvent, InvalidationListener};
use crate::store::{
    CHANGE_TIMEOUT, Epoch, EpochStatus, EpochTable, GuardedStore, Operation, StoreError,
    StoreMetrics,
};

/// Slots for the epochs of sessions and users, four megabytes: after ten thousand revocations at
/// once, one of fifty other sessions is read again.
const EPOCH_SLOTS: u32 = 1 << 20;
/// The time for which last-seen times are gathered before they are written together.
const LAST_SEEN_INTERVAL: Duration = Duration::from_millis(500);
/// The number of a user's sessions that are ended one by one between two looks at the rest.
const AHEAD_AT_ONCE: usize = 100;
/// The precision of `last_seen` where no inactivity limit asks for more.
const USUAL_TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// The most looks, so that a user who opens sessions all the time cannot keep the end of them going
/// for ever.
const MAX_ROUNDS: usize = 100;

/// Rules for reading sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionPolicy {
    /// The time that a session may be unused; `None`: as long as it lives.
    pub inactivity: Option<Duration>,
    /// The time that the store has to answer; then it counts as down.
    pub timeout: Duration,
    /// True if reading a session is a use of it, which the store records: at the gate, but not in
    /// commands that only look.
    pub records_use: bool,
    /// The binding of sessions.
    pub binding: SessionBinding,
    /// True if all earlier readings become suspect as soon as the store is found to be down;
    /// otherwise they are believed as if nothing had happened.
    pub suspect_when_down: bool,
}

impl Default for SessionPolicy {
    /// No limit for inactivity, 150 ms to answer, no record of uses, bound to nothing.
    fn default() -> Self {
        Self {
            inactivity: None,
            timeout: Duration::from_millis(150),
            records_use: false,
            binding: SessionBinding::default(),
            suspect_when_down: false,
        }
    }
}

/// The reason why there is no live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLive {
    /// There is none of that id, or it is another user's. A revoked session looks the same.
    Unknown,
    /// It is over.
    Ended(Ended),
    /// The store cannot say; this is never a yes.
    Store(StoreError),
}

/// The epoch of a session and of its user.
pub type SessionEpoch = Epoch<2>;

/// Sessions, in any store.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    guard: GuardedStore,
    loader: Arc<BatchLoader>,
    policy: SessionPolicy,
    epochs: EpochTable,
    last_seen: Arc<LastSeenBatch>,
    /// The number of times that the circuit breaker had opened at the last look.
    opens_seen: AtomicU64,
    completeness: Completeness,
    /// True where the store gave no answer when it was asked for a session last.
    is_silent: AtomicBool,
}

impl Sessions {
    /// Sessions in `store`, read under this policy.
    pub fn new(
        store: Arc<dyn SessionStore>,
        policy: SessionPolicy,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let guard = GuardedStore::new(store.describe(), Arc::clone(&clock), metrics);
        let (to_read, guarding) = (Arc::clone(&store), guard.clone());
        let loader = Arc::new(BatchLoader::new(to_read, guarding, policy.timeout));
        let (epochs, last_seen) = (EpochTable::with_slots(EPOCH_SLOTS), Arc::default());
        Self {
            store,
            clock,
            guard,
            loader,
            policy,
            epochs,
            last_seen,
            opens_seen: AtomicU64::new(0),
            completeness: Completeness::default(),
            is_silent: AtomicBool::new(false),
        }
    }

    /// The present epoch of a session; to be taken before [`Sessions::live`].
    pub fn epoch(&self, user: &UserId, id: &SessionId) -> SessionEpoch {
        self.epochs.epoch([of_session(id), of_user(user)])
    }

    /// The status of the session that this epoch was taken for, as far as this process knows.
    pub fn status(&self, epoch: &SessionEpoch) -> EpochStatus {
        self.epochs.status(epoch)
    }

    /// The moment before which every change in the store was told of. To be taken before the [`status`](Self::status) of
    /// an epoch: where that is current then, what was read with it was still so at this moment. `None` as well while the
    /// store gives no answer about sessions: then nothing goes on for longer than it would without a source.
    pub fn complete_until(&self) -> Option<Moment> {
        self.completeness.until().filter(|_| !self.is_silent.load(Ordering::Relaxed))
    }

    /// Notes that a session was found to have changed, of which no event told.
    pub fn note_change(&self, id: &SessionId) {
        self.epochs.advance(of_session(id));
    }

    /// The user's session of that id, if it lives. Records that it is in use, not more often than a
    /// sixtieth of the inactivity limit needs.
    ///
    /// # Errors
    /// [`NotLive`]; an error of the store is one of them.
    pub async fn live(&self, user: &UserId, id: &SessionId) -> Result<Session, NotLive> {
        let found = self.loader.load(user, id).await;
        // A record that cannot be read is an answer.
        let is_answered = matches!(found, Ok(_) | Err(StoreError::Corrupt { .. }));
        self.is_silent.store(!is_answered, Ordering::Relaxed);
        if self.policy.suspect_when_down && self.guard.opened_since(&self.opens_seen) {
            self.epochs.suspect_all();
        }
        let session = found.map_err(NotLive::Store)?.ok_or(NotLive::Unknown)?;
        let now = self.clock.now();
        if let Some(ended) = session.ended(now, self.policy.inactivity) {
            return Err(NotLive::Ended(ended));
        }
        if self.policy.records_use && now.since(session.last_seen) >= self.touch_interval() {
            self.record_use(id, now);
        }
        Ok(session)
    }

    /// The binding of sessions.
    pub fn binding(&self) -> SessionBinding {
        self.policy.binding
    }

    /// Adds a session.
    pub async fn put(&self, session: &Session) -> Result<(), StoreError> {
        self.timed(Operation::Put, self.store.put(session)).await
    }

    /// Moves the end of a session forward, never back; returns whether it is there. Cached
    /// decisions about it stay good, since a longer life takes nothing away. To be called after
    /// [`Sessions::live`], since a session that has just expired would live on.
    pub async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        self.timed(Operation::Renew, self.store.renew(id, expires)).await
    }

    /// Ends a session; the next request of this process is refused. Returns its user.
    pub async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let _change = self.epochs.advance_on_drop(of_session(id));
        self.timed(Operation::Revoke, self.store.revoke(id)).await
    }

    /// Ends all sessions that a user has now; the next request of this process is refused. Returns
    /// their number; 1 for any number, where the store cannot list.
    ///
    /// # Errors
    /// An error may come after some have ended; asking again ends the rest.
    pub async fn revoke_user(&self, user: &UserId) -> Result<u64, StoreError> {
        let _change = self.epochs.advance_on_drop(of_user(user));
        let until_now = self.store.revoke_user(user, self.clock.now());
        let mut ended = self.timed(Operation::Revoke, until_now).await?;
        if !self.lists() {
            // Then all have ended.
            return Ok(ended);
        }
        // A host whose clock is ahead of ours may have opened sessions in our future.
        let of_user = Filter { user: Some(user.clone()), live_at: None };
        for _ in 0..MAX_ROUNDS {
            let ahead = self.list(&of_user, AHEAD_AT_ONCE).await?;
            for session in &ahead {
                ended += u64::from(self.revoke(&session.id).await?.is_some());
            }
            if ahead.len() < AHEAD_AT_ONCE {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends all sessions of a user but one; returns their number.
    ///
    /// # Errors
    /// [`StoreError::CannotList`], always, where it does not [`list`](Self::lists). Another may come
    /// after some have ended; asking again ends the rest.
    pub async fn revoke_others(&self, user: &UserId, keep: &SessionId) -> Result<u64, StoreError> {
        let of_user = Filter { user: Some(user.clone()), live_at: None };
        let mut ended = 0;
        for _ in 0..MAX_ROUNDS {
            let listed = self.list(&of_user, AHEAD_AT_ONCE).await?;
            for session in listed.iter().filter(|session| session.id != *keep) {
                ended += u64::from(self.revoke(&session.id).await?.is_some());
            }
            if listed.len() < AHEAD_AT_ONCE {
                break;
            }
        }
        Ok(ended)
    }

    /// Returns whether the store can list sessions.
    pub fn lists(&self) -> bool {
        self.store.lists()
    }

    /// At most `limit` sessions.
    ///
    /// # Errors
    /// [`StoreError::CannotList`], always, where it does not [`list`](Self::lists).
    pub async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        if !self.lists() {
            return Err(StoreError::CannotList);
        }
        self.timed(Operation::List, self.store.list(filter, limit)).await
    }

    /// Deletes sessions that expired earlier than `before` ago.
    pub async fn purge(&self, before: Duration) -> Result<u64, StoreError> {
        let expired_before: UnixTime = self.clock.now().before(before);
        let purged = self.store.purge(expired_before);
        self.guard.purge(purged).await
    }

    /// Checks whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Checks whether the store takes writes, without which no user can log in.
    pub async fn probe_write(&self) -> Result<(), StoreError> {
        let timeout = self.policy.timeout.max(CHANGE_TIMEOUT);
        self.guard.with_timeout(timeout, Operation::Ping, self.store.probe_write()).await
    }

    /// Closes the store at the end of the process, if that takes less than a second; last-seen
    /// times that were not yet written are written.
    pub async fn close(&self) {
        let closed = async {
            last_seen::flush(&self.store, &self.guard, &self.last_seen).await;
            self.store.close().await;
        };
        self.guard.close(closed).await;
    }

    /// The age that an answer of the store may have when it comes.
    pub fn lag(&self) -> Duration {
        self.store.lag()
    }

    /// The kind and the place of the store, without credentials.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// Asks the store, within the deadline of requests. A change gets more time: a login or a
    /// revocation is not a gateway's subrequest, and after a failure it has to be done again.
    async fn timed<T>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timeout = match operation {
            Operation::Ping => self.policy.timeout,
            _ => self.policy.timeout.max(CHANGE_TIMEOUT),
        };
        self.guard.with_timeout(timeout, operation, asked).await
    }

    /// The time between two notes of a session's use, each of which takes a reading of it.
    pub fn touch_interval(&self) -> Duration {
        let needed = self.policy.inactivity.map(|limit| limit / 60);
        needed.map_or(USUAL_TOUCH_INTERVAL, |needed| needed.min(USUAL_TOUCH_INTERVAL))
    }

    /// Records that a session is in use. The store gets it a little later, in a batch; the request
    /// does not wait for it.
    fn record_use(&self, id: &SessionId, now: UnixTime) {
        match self.last_seen.record(id, now) {
            Recorded::Joined => {}
            Recorded::Dropped => self.guard.metrics().last_seen_dropped(1),
            Recorded::First => {
                let (store, last_seen) = (Arc::clone(&self.store), Arc::clone(&self.last_seen));
                let guard = self.guard.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(LAST_SEEN_INTERVAL).await;
                    last_seen::flush(&store, &guard, &last_seen).await;
                });
            }
        }
    }
}

impl InvalidationListener for Sessions {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        match event {
            InvalidationEvent::Lost => self.epochs.suspect_all(),
            InvalidationEvent::Asked => self.completeness.ask(Moment::now(&*self.clock)),
            InvalidationEvent::Complete => self.completeness.complete(),
            InvalidationEvent::Changed(key) => match self.store.invalidated_record(key) {
                Some(InvalidatedRecord::Session(id)) => self.epochs.advance(of_session(&id)),
                Some(InvalidatedRecord::User(user)) => {
                    self.epochs.advance(of_user(&user));
                }
                None => {}
            },
        }
    }
}

/// The record that epochs know a session by; a user of the same name is another one.
fn of_session(id: &SessionId) -> (u8, &str) {
    (b's', id.as_str())
}

fn of_user(user: &UserId) -> (u8, &str) {
    (b'u', user.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::session::MemoryStore;

    #[tokio::test]
    async fn a_renewed_session_lives_longer_and_what_is_known_of_it_stays_good() {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
        let timeout = Duration::from_secs(5);
        let policy = SessionPolicy { timeout, ..SessionPolicy::default() };
        let store = Arc::new(MemoryStore::new());
        let sessions = Sessions::new(store, policy, clock.clone(), StoreMetrics::default());
        let session = Session::new(
            SessionId::parse("s").expect("id"),
            UserId::parse("alice").expect("user"),
            clock.now(),
            clock.now().after(Duration::from_secs(60)),
        );
        let (user, id) = (&session.user, &session.id);
        assert_eq!(sessions.renew(id, session.expires).await, Ok(false));
        sessions.put(&session).await.expect("put");
        let epoch = sessions.epoch(user, id);
        let later = session.expires.after(Duration::from_secs(60));
        assert_eq!(sessions.renew(id, later).await, Ok(true));
        assert_eq!(sessions.status(&epoch), EpochStatus::Current);
        clock.advance(Duration::from_secs(90));
        assert_eq!(sessions.live(user, id).await.map(|found| found.expires), Ok(later));
        sessions.revoke(id).await.expect("revoke");
        assert_eq!(sessions.status(&epoch), EpochStatus::Changed);
        assert_eq!(sessions.renew(id, later).await, Ok(false));
    }
}

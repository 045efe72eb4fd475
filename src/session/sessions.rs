//! The sessions as the rest of the program uses them: a store under a deadline, judged by the
//! clock, with whatever ends through this process known to it at once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::freshness::{Freshness, Mark, Since};
use super::lane::Priority;
use super::metrics::{Operation, StoreMetrics};
use super::uses::{Noted, Uses};
use super::watched::Watched;
use super::{Concern, Ended, Filter, Session, SessionId, SessionStore, StoreError, UserId};
use crate::clock::{Clock, UnixTime};
use crate::storage::news::{Heard, Hears};

/// How long notes of use are gathered before they are written down together.
const GATHER_USES: Duration = Duration::from_millis(500);
/// How many notes of use one question to the store carries.
const USES_AT_ONCE: usize = 200;
/// How many sessions of a user are ended one by one between two looks at what is left.
const AHEAD_AT_ONCE: usize = 100;
/// How long changing the store, or listing what is in it, may take at least.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How exactly `last_seen` is kept where no inactivity limit asks for more.
const USUAL_TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// How many such looks there are at most, so that somebody who opens sessions all the time cannot
/// keep the end of them going for ever.
const MOST_ROUNDS: usize = 100;

/// On what terms sessions are read.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a session may rest; `None`: as long as it lives.
    pub inactivity: Option<Duration>,
    /// How long the store may take to answer; then it counts as down.
    pub timeout: Duration,
    /// Whether reading a session is a use of it, which the store is told. It is at the gate, and
    /// is not where somebody only looks.
    pub notes_use: bool,
    /// Whether everything that was read is in doubt from the moment on at which the store is found
    /// to be down; otherwise it is believed for as long as if nothing had happened.
    pub doubts_when_down: bool,
}

impl Default for Terms {
    /// No limit to rest, 150 ms to answer, looking without a trace.
    fn default() -> Self {
        Self {
            inactivity: None,
            timeout: Duration::from_millis(150),
            notes_use: false,
            doubts_when_down: false,
        }
    }
}

/// Why there is no live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLive {
    /// There is none of that id, or it is another user's. Revoked sessions look like this too.
    Unknown,
    /// It is over.
    Ended(Ended),
    /// The store cannot say; this is never a yes.
    Store(StoreError),
}

/// Sessions, wherever they are kept.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    watched: Watched,
    terms: Terms,
    freshness: Freshness,
    uses: Arc<Uses>,
    /// How often the store had been found to be down when that was looked at last.
    downs_seen: AtomicU64,
}

impl Sessions {
    /// Sessions in `store`, read on these terms.
    pub fn new(
        store: Arc<dyn SessionStore>,
        terms: Terms,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let watched = Watched::new(store.describe(), Arc::clone(&clock), metrics);
        let (freshness, uses) = (Freshness::new(), Arc::default());
        let downs_seen = AtomicU64::new(0);
        Self { store, clock, watched, terms, freshness, uses, downs_seen }
    }

    /// The present mark of a session; to be taken before [`Sessions::live`].
    pub fn mark(&self, user: &UserId, id: &SessionId) -> Mark {
        self.freshness.mark(user, id)
    }

    /// What this process has learnt since `mark` of the session that it was taken for.
    pub fn since(&self, mark: &Mark) -> Since {
        self.freshness.since(mark)
    }

    /// The user's session of that id, if it lives. Notes that it is in use, not more often than
    /// a sixtieth of the inactivity limit needs.
    ///
    /// # Errors
    /// [`NotLive`]; an error of the store is one of them.
    pub async fn live(&self, user: &UserId, id: &SessionId) -> Result<Session, NotLive> {
        let asked = self.store.get(user, id);
        // Whoever names a session has shown a signed token, or a handle that exists.
        let (timeout, known) = (self.terms.timeout, Priority::Known);
        let found = self.watched.asking(timeout, known, Operation::Get, asked).await;
        if self.terms.doubts_when_down && self.watched.was_down_since(&self.downs_seen) {
            self.freshness.doubt();
        }
        let session = found.map_err(NotLive::Store)?.ok_or(NotLive::Unknown)?;
        let now = self.clock.now();
        if let Some(ended) = session.ended(now, self.terms.inactivity) {
            return Err(NotLive::Ended(ended));
        }
        if self.terms.notes_use && now.since(session.last_seen) >= self.touch_interval() {
            self.note_use(id, now);
        }
        Ok(session)
    }

    /// Adds a session.
    pub async fn put(&self, session: &Session) -> Result<(), StoreError> {
        self.timed(Operation::Put, self.store.put(session)).await
    }

    /// Moves the end of a session forward, never back; says whether it is there. What is known of
    /// it stays good: nobody loses anything by living longer. To be asked after
    /// [`Sessions::live`], since one that has just expired would live on.
    pub async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        self.timed(Operation::Renew, self.store.renew(id, expires)).await
    }

    /// Ends a session; the next request of this process is refused. Says whose it was.
    pub async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let _told = OnLeaving(|| self.freshness.session_changed(id));
        self.timed(Operation::Revoke, self.store.revoke(id)).await
    }

    /// Ends all sessions that a user has now; the next request of this process is refused. Says
    /// how many there were; 1 for any number, where the store cannot list.
    ///
    /// # Errors
    /// An error may come after some have ended; asking again ends the rest.
    pub async fn revoke_user(&self, user: &UserId) -> Result<u64, StoreError> {
        let _told = OnLeaving(|| self.freshness.user_changed(user));
        let until_now = self.store.revoke_user(user, self.clock.now());
        let mut ended = self.timed(Operation::Revoke, until_now).await?;
        if !self.lists() {
            // Then all have ended.
            return Ok(ended);
        }
        // A host whose clock is ahead of ours has opened sessions in what we take for the future.
        let of_user = Filter { user: Some(user.clone()), live_at: None };
        for _ in 0..MOST_ROUNDS {
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

    /// Whether the store can say which sessions there are.
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

    /// Makes room: forgets what has expired `before` now.
    pub async fn purge(&self, before: Duration) -> Result<u64, StoreError> {
        let expired_before: UnixTime = self.clock.now().before(before);
        let purged = self.store.purge(expired_before);
        self.watched.purging(purged).await
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Whether the store takes writes, without which nobody can log in.
    pub async fn prove(&self) -> Result<(), StoreError> {
        let timeout = self.terms.timeout.max(CHANGE_TIMEOUT);
        self.watched.within(timeout, Operation::Ping, self.store.prove()).await
    }

    /// Leaves the store tidy at the end of the process, if that takes less than a second: uses
    /// that were not yet noted are.
    pub async fn close(&self) {
        let closed = async {
            write_uses(&self.store, &self.watched, &self.uses).await;
            self.store.close().await;
        };
        self.watched.closing(closed).await;
    }

    /// How old what the store says may be at the moment at which it is said.
    pub fn lag(&self) -> Duration {
        self.store.lag()
    }

    /// What and where the store is, without credentials.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// Asks the store, within the deadline of requests; what changes it is given more time, since
    /// a login or a revocation is not a gateway's subrequest, and who is told that it failed has
    /// to do it again.
    async fn timed<T>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timeout = match operation {
            Operation::Ping => self.terms.timeout,
            _ => self.terms.timeout.max(CHANGE_TIMEOUT),
        };
        self.watched.within(timeout, operation, asked).await
    }

    fn touch_interval(&self) -> Duration {
        let needed = self.terms.inactivity.map(|limit| limit / 60);
        needed.map_or(USUAL_TOUCH_INTERVAL, |needed| needed.min(USUAL_TOUCH_INTERVAL))
    }

    /// Tells the store that a session is in use, with others and a little later; the request does
    /// not wait for it.
    fn note_use(&self, id: &SessionId, now: UnixTime) {
        match self.uses.note(id, now) {
            Noted::Beside => {}
            Noted::Dropped => self.watched.metrics().uses_dropped(1),
            Noted::First => {
                let (store, uses) = (Arc::clone(&self.store), Arc::clone(&self.uses));
                let watched = self.watched.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(GATHER_USES).await;
                    write_uses(&store, &watched, &uses).await;
                });
            }
        }
    }
}

impl Hears for Sessions {
    fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Missed => self.freshness.doubt(),
            Heard::Changed(key) => match self.store.concern(key) {
                Some(Concern::Session(id)) => self.freshness.session_changed(&id),
                Some(Concern::User(user)) => self.freshness.user_changed(&user),
                None => {}
            },
        }
    }
}

/// Writes all notes of use down. Where the store fails the rest is dropped: a use that was not
/// noted is noted at the session's next read, and a store in trouble is not asked for less.
async fn write_uses(store: &Arc<dyn SessionStore>, watched: &Watched, uses: &Uses) {
    let noted = uses.take();
    for (at, batch) in noted.chunks(USES_AT_ONCE).enumerate() {
        let touched = store.touch(batch);
        if watched.within(CHANGE_TIMEOUT, Operation::Touch, touched).await.is_err() {
            let dropped = noted.len() - at * USES_AT_ONCE;
            return watched.metrics().uses_dropped(dropped as u64);
        }
    }
}

/// Does something when it goes, however that comes about: also after an error, and when the
/// caller was cancelled, the store may have done what it was asked.
struct OnLeaving<F: Fn()>(F);

impl<F: Fn()> Drop for OnLeaving<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::session::{Device, MemoryStore};

    #[tokio::test]
    async fn a_renewed_session_lives_longer_and_what_is_known_of_it_stays_good() {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
        let timeout = Duration::from_secs(5);
        let terms = Terms { timeout, ..Terms::default() };
        let store = Arc::new(MemoryStore::new());
        let sessions = Sessions::new(store, terms, clock.clone(), StoreMetrics::default());
        let session = Session {
            id: SessionId::parse("s").expect("id"),
            user: UserId::parse("alice").expect("user"),
            created: clock.now(),
            last_seen: clock.now(),
            expires: clock.now().after(Duration::from_secs(60)),
            device: Device::default(),
            claims: serde_json::Map::new(),
            not_before: UnixTime::EPOCH,
        };
        let (user, id) = (&session.user, &session.id);
        assert_eq!(sessions.renew(id, session.expires).await, Ok(false));
        sessions.put(&session).await.expect("put");
        let mark = sessions.mark(user, id);
        let later = session.expires.after(Duration::from_secs(60));
        assert_eq!(sessions.renew(id, later).await, Ok(true));
        assert_eq!(sessions.since(&mark), Since::Nothing);
        clock.advance(Duration::from_secs(90));
        assert_eq!(sessions.live(user, id).await.map(|found| found.expires), Ok(later));
        sessions.revoke(id).await.expect("revoke");
        assert_eq!(sessions.since(&mark), Since::Change);
        assert_eq!(sessions.renew(id, later).await, Ok(false));
    }
}

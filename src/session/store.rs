//! The trait that every store of sessions implements.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use super::{Session, SessionId, UserId};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// The usual most sessions in one question, so that none of them waits long for the others.
pub(super) const MAX_BATCH: usize = 256;

/// A user, and the id of one of his sessions.
pub type SessionKey = (UserId, SessionId);

/// A session that was looked for: `None` where there is none of that id, or it is another user's.
///
/// [`StoreError::Corrupt`] where it is there but cannot be read.
pub type FoundSession = Result<Option<Session>, StoreError>;

/// A store of sessions.
///
/// A store remembers and never judges: it hands out sessions that are over, and the caller asks
/// [`Session::ended`]. What `put`, `revoke` and `revoke_user` acknowledged is durable as far as
/// the store itself is (SQLite: on the disk; Redis: as its persistence is configured).
#[async_trait]
pub trait SessionStore: Send + Sync + Debug {
    /// Adds a session. An id is used once: where it is taken, by whomever, nothing is written,
    /// so that no caller can move a session to another user or stretch its life by chance.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id is taken.
    async fn put(&self, session: &Session) -> Result<(), StoreError>;

    /// The sessions with these keys, in the same order, by one question to the store or a few.
    ///
    /// # Errors
    /// An error of the whole where the store gave no answer. What is wrong with one session is in its place.
    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError>;

    /// The session with this id.
    ///
    /// # Errors
    /// As of [`FoundSession`].
    async fn get(&self, user: &UserId, id: &SessionId) -> FoundSession {
        let found = self.get_many(&[(user.clone(), id.clone())]).await?;
        found.into_iter().next().unwrap_or(Ok(None))
    }

    /// The most sessions in one question. One, where they are in several servers: a server that hangs does not
    /// keep the answers of others.
    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    /// Records when sessions were last used, many at a time. No time ever moves back, and no
    /// session comes back that is gone. It invalidates nothing. After an error some may be
    /// recorded.
    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError>;

    /// Moves the end of the session forward, never back, and never brings a session back that is
    /// gone. Says whether it is there. One that is over and still there lives on if its end was
    /// all that was over: whoever renews has asked first whether it lives.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its end cannot be read; a store need not look.
    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError>;

    /// Ends one session and says whose it was; `None` where there was none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its owner cannot be read; it is ended all the same.
    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError>;

    /// Ends all sessions of the user that were created at or before `at`, also those whose `put`
    /// is still under way, and says how many were there. The user's not-before moves to `at`,
    /// never back. Sessions created later live on.
    ///
    /// A store that cannot list ends those created later too, which nobody could name to it, and
    /// says 1 where there may have been any.
    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError>;

    /// At most `limit` sessions that pass the filter. One user's come newest first; those of all
    /// users in an order that the store finds cheap. A record that cannot be read is left out
    /// and named in the log, so that one bad record does not hide the others.
    ///
    /// # Errors
    /// [`StoreError::CannotList`], always, of a store that does not [`list`](Self::lists).
    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError>;

    /// Returns whether it can list the sessions that it holds.
    fn lists(&self) -> bool {
        true
    }

    /// Forgets the sessions that expired at or before `expired_before`, and says how many. It
    /// only makes room: what is over is over without it.
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError>;

    /// Checks that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Checks that it also takes writes, by making one: a full disk or memory shows at nothing less.
    async fn probe_write(&self) -> Result<(), StoreError> {
        self.ping().await
    }

    /// Leaves the store tidy at the end of the process. Without it nothing is lost.
    async fn close(&self) {}

    /// The kind and the place of this store, for logs; no credentials.
    fn describe(&self) -> String;

    /// The age that an answer may have when it is given: so much earlier the store must be asked again
    /// for a bound to hold. Zero where an answer is never old.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }

    /// The record of a key that an event of
    /// [its source](crate::store::invalidation::InvalidationSource) named, where it is one of
    /// this store's. A store that others cannot change knows none.
    fn invalidated_record(&self, _key: &[u8]) -> Option<InvalidatedRecord> {
        None
    }
}

/// The sessions that a changed record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidatedRecord {
    /// This one.
    Session(SessionId),
    /// All of this user's.
    User(UserId),
}

/// A choice of the sessions to list. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this user's.
    pub user: Option<UserId>,
    /// Only those that are neither expired nor revoked at this moment. Inactivity is a rule of
    /// the reader, unknown to the store, and not considered.
    pub live_at: Option<UnixTime>,
}

impl Filter {
    /// Returns whether the session passes.
    pub(crate) fn admits(&self, session: &Session) -> bool {
        let of_user = self.user.as_ref().is_none_or(|user| *user == session.user);
        of_user && self.live_at.is_none_or(|now| session.ended(now, None).is_none())
    }
}

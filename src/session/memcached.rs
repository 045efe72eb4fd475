//! Sessions in memcached, shared by the processes of many hosts, until it forgets them.
//!
//! | key | what |
//! |---|---|
//! | `portcullis:session:<id>` | the session, with its user's generation when it was opened |
//! | `portcullis:seen:<id>` | when it was last used; apart, so that a use and a renewal do not race |
//! | `portcullis:user:<SHA-256>` | the user's present generation, and his not-before |
//!
//! Memcached may forget any of these at any time, and what is gone must only refuse. So a session
//! lives only where its user's record is there and names the session's generation. Ending all of a
//! user's sessions takes the generation away; the next login begins another one, of random bits. A
//! user's record that is lost has ended all of his sessions, and none comes back with the next
//! record. A lost session is over. A lost note of use makes a session seem idle for longer than it
//! was.
//!
//! What is lost with the record beside its sessions is the not-before, which ends those whose `put`
//! is still under way: forgotten in the moments between, such a login goes on.
//!
//! Nothing can be listed, so there is no index. A server that was taken out of the list may know
//! sessions that were ended since: flush it before it comes back.

mod record;

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Filter, FoundSession, MAX_BATCH, Session, SessionId, SessionKey, SessionStore, UserId,
};
use crate::clock::UnixTime;
use crate::secret::Random;
use crate::store::StoreError;
use crate::store::memcached::{Change, Found, Lifetime, Memcached, to_json};
use record::{SESSION, SeenRecord, SessionRecord, UserRecord, seen_key, session_key, user_key};

/// Sessions in memcached.
#[derive(Debug)]
pub struct MemcachedStore {
    memcached: Memcached,
    random: Arc<dyn Random>,
}

impl MemcachedStore {
    /// In these servers; generations come from `random`.
    pub fn new(memcached: Memcached, random: Arc<dyn Random>) -> Self {
        Self { memcached, random }
    }

    async fn user(&self, user: &UserId) -> Result<Option<UserRecord>, StoreError> {
        let found = self.memcached.get(&user_key(user)).await?;
        found.map(|found| UserRecord::read(user, &found)).transpose()
    }

    /// The user's record, if the session is of his present generation.
    async fn owner_of(&self, record: &SessionRecord) -> Result<Option<UserRecord>, StoreError> {
        let owner = self.user(&record.session.user).await?;
        Ok(owner.filter(|owner| owner.generation.as_ref() == Some(&record.generation)))
    }

    /// The user's present generation, which begins now where there is none.
    async fn generation(&self, user: &UserId) -> Result<String, StoreError> {
        let mut fresh = [0; 16];
        let failed = |_| StoreError::Unavailable("the random source failed".to_owned());
        self.random.fill(&mut fresh).map_err(failed)?;
        let fresh = format!("{:032x}", u128::from_be_bytes(fresh));
        let decide = |found: Option<&Found>| {
            let mut record = user_record(user, found)?;
            if let Some(generation) = record.generation {
                return Ok(Change::Leave(generation));
            }
            record.generation = Some(fresh.clone());
            write_user(&record, fresh.clone())
        };
        self.memcached.change(&user_key(user), decide).await
    }

    /// Notes a use of a session that is there and kept for so long.
    async fn note(&self, id: &SessionId, at: u64, keep: Lifetime) -> Result<(), StoreError> {
        let decide = |found: Option<&Found>| {
            let seen = found.map(|found| found.parse::<SeenRecord>(id)).transpose()?;
            if seen.is_some_and(|seen| seen.at >= at) {
                return Ok(Change::Leave(()));
            }
            Ok(Change::Write { value: to_json(id, &SeenRecord { at })?, keep, outcome: () })
        };
        self.memcached.change(&seen_key(id), decide).await
    }
}

/// The session in its two records, if it is of the present generation of its owner.
fn read((user, id): &SessionKey, records: &[Option<Found>], owner: Option<&Found>) -> FoundSession {
    let [Some(session), seen] = records else { return Ok(None) };
    let SessionRecord { session, generation } = SessionRecord::read(id, session)?;
    if session.user != *user {
        return Ok(None);
    }
    let seen = seen.as_ref().map(|seen| seen.parse::<SeenRecord>(id)).transpose()?;
    let owner = owner.map(|owner| UserRecord::read(user, owner)).transpose()?;
    let Some(owner) = owner.filter(|owner| owner.generation.as_ref() == Some(&generation)) else {
        return Ok(None);
    };
    let seen = seen.map(|seen| UnixTime::from_millis(seen.at)).unwrap_or_default();
    let last_seen = session.last_seen.max(seen);
    let not_before = UnixTime::from_millis(owner.not_before);
    Ok(Some(Session { last_seen, not_before, ..session }))
}

#[async_trait]
impl SessionStore for MemcachedStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        // First: a session of a generation that ends in between is over from its beginning.
        let generation = self.generation(&session.user).await?;
        let value = SessionRecord { session: session.clone(), generation }.value()?;
        let keep = Lifetime::between(session.created, session.expires);
        let added = self.memcached.add(&session_key(&session.id), &value, keep).await?;
        added.then_some(()).ok_or_else(|| StoreError::Conflict(session.id.to_string()))
    }

    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        let names: Vec<_> =
            keys.iter().flat_map(|(_, id)| [session_key(id), seen_key(id)]).collect();
        let records = self.memcached.get_many(&names.iter().collect::<Vec<_>>()).await?;
        // Last: a generation that ended between the two is seen.
        let names: Vec<_> = keys.iter().map(|(user, _)| user_key(user)).collect();
        let owners = self.memcached.get_many(&names.iter().collect::<Vec<_>>()).await?;
        let found = keys.iter().zip(records.chunks_exact(2)).zip(owners);
        Ok(found.map(|((key, records), owner)| read(key, records, owner.as_ref())).collect())
    }

    fn max_batch(&self) -> usize {
        if self.memcached.has_many_servers() { 1 } else { MAX_BATCH }
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let keys: Vec<_> = uses.iter().map(|(id, _)| session_key(id)).collect();
        let sessions = self.memcached.get_many(&keys.iter().collect::<Vec<_>>()).await?;
        for ((id, at), session) in uses.iter().zip(sessions) {
            if let Some(session) = session {
                self.note(id, at.as_millis(), session.left).await?;
            }
        }
        Ok(())
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let key = session_key(id);
        let Some(found) = self.memcached.get(&key).await? else { return Ok(false) };
        if self.owner_of(&SessionRecord::read(id, &found)?).await?.is_none() {
            return Ok(false);
        }
        let decide = |found: Option<&Found>| {
            let Some(found) = found else { return Ok(Change::Leave(false)) };
            let mut record = SessionRecord::read(id, found)?;
            let before = record.session.expires;
            if before >= expires {
                return Ok(Change::Leave(true));
            }
            record.session.expires = expires;
            let keep = found.left.moved(before, expires);
            Ok(Change::Write { value: record.value()?, keep, outcome: true })
        };
        self.memcached.change(&key, decide).await
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let key = session_key(id);
        let Some(found) = self.memcached.get(&key).await? else { return Ok(None) };
        if !self.memcached.delete(&key).await? {
            return Ok(None);
        }
        // It says nothing without the session, and is forgotten in time.
        let _ = self.memcached.delete(&seen_key(id)).await;
        let record = SessionRecord::read(id, &found)?;
        // Where that cannot be known, it lived as far as anybody can tell.
        let was_over = matches!(self.owner_of(&record).await, Ok(None));
        Ok((!was_over).then_some(record.session.user))
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let decide = |found: Option<&Found>| {
            let mut record = user_record(user, found)?;
            let ended = record.generation.take().is_some();
            record.not_before = record.not_before.max(at.as_millis());
            write_user(&record, u64::from(ended))
        };
        self.memcached.change(&user_key(user), decide).await
    }

    async fn list(&self, _: &Filter, _: usize) -> Result<Vec<Session>, StoreError> {
        Err(StoreError::CannotList)
    }

    fn lists(&self) -> bool {
        false
    }

    /// Nothing: the servers make room by themselves.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.memcached.ping(SESSION).await?)
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.ping().await?;
        Ok(self.memcached.probe_write(SESSION).await?)
    }

    fn describe(&self) -> String {
        format!("memcached {}", self.memcached.name())
    }
}

fn user_record(user: &UserId, found: Option<&Found>) -> Result<UserRecord, StoreError> {
    found.map_or_else(|| Ok(UserRecord::new(user)), |found| UserRecord::read(user, found))
}

/// A user's record is kept until the room is needed: it must not go before his sessions, and who
/// comes often is read often.
fn write_user<T>(record: &UserRecord, outcome: T) -> Result<Change<T>, StoreError> {
    Ok(Change::Write { value: to_json("of a user", record)?, keep: Lifetime::ENDLESS, outcome })
}

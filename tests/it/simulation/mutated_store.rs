//! The operations of the store that a mutation breaks; without one, they are the store's own.

use std::time::Duration;

use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, OpaqueTokenStore as _, Rotation, TokenDigest},
    session::{Session, SessionId, SessionStore as _, UserId},
    store::StoreError,
    store::records::{NewRecord, RecordKey, RecordStore as _, StoredRecord},
};

use super::{cluster::ClusterState, mutation::Mutation};

impl ClusterState {
    /// Waits between a read and a write that should have been one step.
    async fn race_window(&self) {
        self.travel(self.rng.millis(0..=600)).await;
    }

    /// Remembers a session that is about to go.
    pub async fn remember_deleted(&self, id: &SessionId) -> Result<(), StoreError> {
        if self.mutation == Mutation::RenewRestores {
            let all = self.store.sessions.list(&Default::default(), usize::MAX).await?;
            let mut deleted = self.store.deleted.lock().expect("never poisoned");
            deleted.extend(all.into_iter().filter(|s| s.id == *id).map(|s| (s.id.clone(), s)));
        }
        Ok(())
    }

    /// Brings a deleted session back.
    pub async fn restore_deleted(&self, id: &SessionId) -> Result<(), StoreError> {
        let found = self.store.deleted.lock().expect("never poisoned").remove(id);
        match found {
            Some(session) => self.store.sessions.put(&session).await,
            None => Ok(()),
        }
    }

    /// Ends a session.
    pub async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        if self.mutation == Mutation::RevokeIgnored {
            return Ok(None);
        }
        self.store.sessions.revoke(id).await
    }

    /// A session as it is read.
    pub fn misread(&self, session: Session) -> Option<Session> {
        match self.mutation {
            Mutation::NotBeforeIgnored => Some(Session { not_before: UnixTime::EPOCH, ..session }),
            Mutation::ExpiryMisread => {
                let expires = session.expires.after(Duration::from_secs(60));
                Some(Session { expires, ..session })
            }
            Mutation::ReadNotFound if self.rng.percent(5) => None,
            _ => Some(session),
        }
    }

    /// Writes a lease where the present one is the one that was read.
    pub async fn set_lease(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let records = &self.store.records;
        if self.mutation == Mutation::LeaseNeverExpires && read.is_some() {
            return Ok(false);
        }
        if !self.mutation.splits_lease() {
            return records.compare_and_set(key, read, record).await;
        }
        if records.get(key).await?.as_ref() != read {
            return Ok(false);
        }
        self.race_window().await;
        records.delete(key).await?;
        records.compare_and_set(key, None, record).await
    }

    /// Marks a token as used and adds its successors.
    pub async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        let tokens = &self.store.tokens;
        if !self.mutation.splits_rotate() {
            return tokens.rotate(old, at, successors).await;
        }
        let Some(found) = tokens.get(old).await? else { return Ok(Rotation::Unknown) };
        if found.used.is_some() {
            return Ok(Rotation::AlreadyUsed);
        }
        self.race_window().await;
        tokens.remove(old).await?;
        tokens.put(&[OpaqueToken { used: Some(at), ..found }]).await?;
        tokens.put(successors).await?;
        Ok(Rotation::Rotated)
    }
}

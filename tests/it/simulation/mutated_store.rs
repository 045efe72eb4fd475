//! The operations of the store that a mutation breaks; without one, they are the store's own.

use std::time::Duration;

use portcullis::{
    clock::UnixTime,
    limit::{Lease, LimitStore as _},
    opaque::{OpaqueToken, OpaqueTokenStore as _, Rotation, TokenDigest},
    session::{Session, SessionId, SessionStore as _, UserId},
    store::StoreError,
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

    /// Takes a lease over.
    pub async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        if self.mutation == Mutation::LeaseNeverExpires {
            return Ok(false);
        }
        self.store.limits.replace_lease(name, expected, value, until).await
    }

    /// Acquires a lease that nobody holds.
    pub async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let limits = &self.store.limits;
        if !self.mutation.splits_lease() {
            return limits.acquire_lease(name, value, at, until).await;
        }
        if let Some(held) = limits.read_lease(name, at).await? {
            return Ok(Lease::Held(held));
        }
        self.race_window().await;
        limits.release_lease(name).await?;
        limits.acquire_lease(name, value, at, until).await
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

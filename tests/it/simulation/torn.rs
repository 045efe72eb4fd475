//! The steps of the store that a mutation breaks; without one, they are the store's own.

use std::time::Duration;

use portcullis::{
    clock::UnixTime,
    opaque::{Exchange, OpaqueStore as _, OpaqueToken, TokenDigest},
    restrict::{Claim, RestrictStore as _},
    session::{Session, SessionId, SessionStore as _, StoreError, UserId},
};

use super::{mutation::Mutation, world::World};

impl World {
    /// What stands between a look and a write that should have been one step.
    async fn gap(&self) {
        self.travel(self.chance.millis(0..=200)).await;
    }

    /// Remembers a session that is about to go.
    pub async fn bury(&self, id: &SessionId) -> Result<(), StoreError> {
        if self.mutation == Mutation::RenewRevives {
            let all = self.kept.sessions.list(&Default::default(), usize::MAX).await?;
            let mut buried = self.kept.buried.lock().expect("never poisoned");
            buried.extend(all.into_iter().filter(|s| s.id == *id).map(|s| (s.id.clone(), s)));
        }
        Ok(())
    }

    /// Brings it back.
    pub async fn revive(&self, id: &SessionId) -> Result<(), StoreError> {
        let found = self.kept.buried.lock().expect("never poisoned").remove(id);
        match found {
            Some(session) => self.kept.sessions.put(&session).await,
            None => Ok(()),
        }
    }

    /// Ends a session.
    pub async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        if self.mutation == Mutation::RevokeIsLost {
            return Ok(None);
        }
        self.kept.sessions.revoke(id).await
    }

    /// A session as it is read.
    pub fn misread(&self, session: Session) -> Option<Session> {
        match self.mutation {
            Mutation::LateSessionLives => Some(Session { not_before: UnixTime::EPOCH, ..session }),
            Mutation::EndIsMisread => {
                let expires = session.expires.after(Duration::from_secs(60));
                Some(Session { expires, ..session })
            }
            Mutation::ReadFindsNothing if self.chance.percent(5) => None,
            _ => Some(session),
        }
    }

    /// Takes a marker over.
    pub async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        if self.mutation == Mutation::ClaimIsKept {
            return Ok(false);
        }
        self.kept.restrict.swap(name, expected, value, until).await
    }

    /// Sets a marker where none is live.
    pub async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let restrict = &self.kept.restrict;
        if !self.mutation.tears_claim() {
            return restrict.claim(name, value, at, until).await;
        }
        if let Some(held) = restrict.read(name, at).await? {
            return Ok(Claim::Held(held));
        }
        self.gap().await;
        restrict.clear(name).await?;
        restrict.claim(name, value, at, until).await
    }

    /// Marks a token as used and adds its successors.
    pub async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        let tokens = &self.kept.tokens;
        if !self.mutation.tears_exchange() {
            return tokens.exchange(old, at, successors).await;
        }
        let Some(found) = tokens.get(old).await? else { return Ok(Exchange::Unknown) };
        if found.used.is_some() {
            return Ok(Exchange::Used);
        }
        self.travel(self.chance.pick(&[Duration::ZERO, Duration::from_millis(150)])).await;
        tokens.remove(old).await?;
        tokens.put(&[OpaqueToken { used: Some(at), ..found }]).await?;
        tokens.put(successors).await?;
        Ok(Exchange::Done)
    }
}

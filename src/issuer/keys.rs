//! Keys in jwthenticator's way: registered by another service, each for some identifier.

use std::sync::Arc;
use std::time::Duration;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::policy::IssuancePolicy;
use super::throttle::Throttle;
use crate::account::{
    AccountError, AccountStore, ApiKey, KEY_PREFIX, KeyDigest, Login, User, UserKind,
};
use crate::clock::{Clock, UnixTime};
use crate::opaque;
use crate::secret::{Random, Secret};
use crate::session::UserId;

const NOT_A_SERVICES: IssueError = IssueError::Forbidden("This is a person's, not a service's.");

/// Registers keys, and says which are registered.
#[derive(Debug)]
pub struct KeyRegistration {
    policy: Arc<IssuancePolicy>,
    accounts: Arc<dyn AccountStore>,
    throttle: Throttle,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl KeyRegistration {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, accounts, throttle, audit, clock, random, .. } = on.clone();
        Self { policy, accounts, throttle, audit, clock, random }
    }

    /// Registers a key for the user who is called `identifier`, a UUID, and makes that user where
    /// it is missing. A key that is there gets a new end, whoever's it is.
    ///
    /// # Errors
    /// [`IssueError`]; then no key was registered, and no user made. [`IssueError::InvalidRequest`]
    /// where the key looks like one that is made here: it would be believed to be random;
    /// [`IssueError::Forbidden`] where the key or the name is a person's.
    pub async fn register_key(
        &self,
        key: &Secret,
        identifier: &str,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let now = self.clock.now();
        let digest = KeyDigest::of(key);
        let expires = Some(now.after(self.policy.key_lifetime)).filter(|_| self.keys_expire());
        if let Some(known) = self.accounts.key(&digest).await? {
            self.check_is_service(&known.user).await?;
            self.accounts.renew_key(&digest, expires).await?;
            let renewed = self.audit.event(Event::KeyRenewed).user(known.user.as_str());
            renewed.reason(&known.id).address(caller.address).write();
            return Ok(());
        }
        if is_generated_key(key) {
            return Err(IssueError::invalid_request("such keys are made by `apikey add` alone"));
        }
        let user = UserId::parse(identifier).map_err(|_| IssueError::NotFound)?;
        let is_new = self.add_service(&user, identifier, now).await?;
        let added = self.add_key(&user, digest, expires, now).await;
        if added.is_err() && is_new {
            self.roll_back_user(&user).await;
        }
        let id = added?;
        let made = self.audit.event(Event::KeyMade).user(user.as_str());
        made.reason(&id).address(caller.address).write();
        Ok(())
    }

    /// Says whether a key is registered, also one that is over. Whoever asks may be guessing: a no is
    /// charged to the address, as a refused login is.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]; [`IssueError::SlowDown`] where the budget is used up.
    pub async fn is_key_registered(
        &self,
        key: &Secret,
        caller: &Caller,
    ) -> Result<bool, IssueError> {
        let digest = KeyDigest::of(key);
        let check = async { self.accounts.key(&digest).await?.ok_or(IssueError::InvalidGrant) };
        match self.throttle.secret(is_generated_key(key), caller, check).await {
            Ok(_) => Ok(true),
            Err(IssueError::InvalidGrant) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keys of people are theirs and the administrators' to make, not another service's.
    async fn check_is_service(&self, id: &UserId) -> Result<(), IssueError> {
        match self.accounts.user(id).await? {
            Some(user) if user.kind == UserKind::Service => Ok(()),
            _ => Err(NOT_A_SERVICES),
        }
    }

    fn keys_expire(&self) -> bool {
        self.policy.key_lifetime > Duration::ZERO
    }

    /// Makes the service's user where it is missing, and says whether it was.
    async fn add_service(
        &self,
        id: &UserId,
        name: &str,
        now: UnixTime,
    ) -> Result<bool, IssueError> {
        if self.accounts.user(id).await?.is_some() {
            return self.check_is_service(id).await.map(|()| false);
        }
        let user = User {
            kind: UserKind::Service,
            ..User::new(id.clone(), Login::parse(name).map_err(|_| IssueError::NotFound)?, now)
        };
        match self.accounts.add_user(&user).await {
            Ok(()) => Ok(true),
            // Somebody else registers a key for it at this moment; or it is what a person logs in
            // with, whose id is another.
            Err(AccountError::Taken(_)) => self.check_is_service(id).await.map(|()| false),
            Err(error) => {
                // It may be there all the same.
                self.roll_back_user(id).await;
                Err(error.into())
            }
        }
    }

    /// A user without a key is of no use to anybody. One who has a key by now was given it by
    /// another request, and keeps it.
    async fn roll_back_user(&self, id: &UserId) {
        let taken_back = async {
            if self.accounts.keys(Some(id), 1).await?.is_empty() {
                self.accounts.delete_user(id).await?;
            }
            Ok::<_, AccountError>(())
        };
        if let Err(error) = taken_back.await {
            tracing::warn!(%error, "a user without a key stays behind");
        }
    }

    async fn add_key(
        &self,
        user: &UserId,
        digest: KeyDigest,
        expires: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<String, IssueError> {
        let name = opaque::generate(self.random.as_ref())?;
        let id: String = name.expose_str().unwrap_or_default().chars().take(22).collect();
        let key = ApiKey { expires, ..ApiKey::new(id.clone(), user.clone(), digest, now) };
        match self.accounts.add_key(&key).await {
            // The same key, registered at the same moment: it is there, which is what was asked.
            Ok(()) | Err(AccountError::Taken(_)) => Ok(id),
            Err(error) => {
                // It may be there all the same.
                if let Err(error) = self.accounts.delete_key(&id).await {
                    tracing::warn!(%error, "a key that nobody knows of stays behind");
                }
                Err(error.into())
            }
        }
    }
}

/// True for a key that was made here, of 256 random bits, which nobody can guess.
/// Those that other services chose may be short, and have no such form.
pub(super) fn is_generated_key(key: &Secret) -> bool {
    let random = key.expose().strip_prefix(KEY_PREFIX.as_bytes());
    random.is_some_and(|random| opaque::is_generated(&Secret::new(random)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;

    #[test]
    fn only_the_text_of_256_bits_behind_our_prefix_is_a_key_of_ours() {
        let random = opaque::generate(&SystemRandom).expect("chance");
        let random = random.expose_str().expect("text");
        let ours = |text: &str| is_generated_key(&Secret::new(text));
        assert!(ours(&format!("pk_{random}")));
        for other in
            [random, "pk_", "pk_secret", "", &format!("pk_{random}A"), &format!("PK_{random}")]
        {
            assert!(!ours(other), "{other}");
        }
        assert!(!ours(&format!("pk_{}", "a".repeat(43))), "its last bits are not zero");
    }
}

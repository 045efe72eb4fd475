//! API keys as credentials: a key that this service made stands for its user, without a session.
//!
//! Only keys of 256 random bits with the prefix `pk_` are taken. A key that somebody chose could be
//! guessed here, where nothing counts the tries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use super::account::identity;
use super::denial::DenialCode;
use crate::account::{AccountError, AccountStore, ApiKey, KEY_PREFIX, KeyDigest, User, UserState};
use crate::clock::{Clock, UnixTime};
use crate::opaque;
use crate::secret::Secret;
use crate::token::{Issuer, TokenError, Verified};

/// The most keys that nobody knows yet and that are looked up at once; of more the store would not
/// answer sooner. Those that were good before are not kept waiting by them.
const MAX_LOOKUPS: usize = 64;
/// The longest wait until a key is looked up.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// The most uses that are noted at once. More are not noted: the next use will be.
const MAX_NOTES: usize = 16;
/// The least time between two notes of the use of one key.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// The place where API keys are looked up.
#[derive(Debug)]
pub struct ApiKeys {
    accounts: Arc<dyn AccountStore>,
    /// The issuer that stands for the accounts: its name, and the prefix of its users.
    issuer: Arc<Issuer>,
    clock: Arc<dyn Clock>,
    lookups: Semaphore,
    notes: Arc<Semaphore>,
}

/// The reason why an API key is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// There is no such key, it has expired, or its user may not log in.
    #[error(
        "the API key is not known: it was never made, was revoked or has expired, or its user is locked"
    )]
    Unknown,
    /// The record of its user is no identity.
    #[error(transparent)]
    Claims(#[from] TokenError),
    /// The store cannot say; this is never a yes.
    #[error(transparent)]
    Store(#[from] AccountError),
    /// Too many are looked up already.
    #[error("too many API keys are looked up at once")]
    Busy,
}

impl ApiKeys {
    /// The keys of these accounts, whose users are those of `issuer`.
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        issuer: Arc<Issuer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (lookups, notes) = (Semaphore::new(MAX_LOOKUPS), Arc::new(Semaphore::new(MAX_NOTES)));
        Self { accounts, issuer, clock, lookups, notes }
    }

    /// The identity that a key stands for now. A key that `is_known` was good before.
    ///
    /// # Errors
    /// The reason why it is not good.
    pub async fn verify(&self, key: &str, is_known: bool) -> Result<Verified, ApiKeyError> {
        let _lookup = if is_known { None } else { Some(self.permit().await?) };
        let now = self.clock.now();
        let digest = KeyDigest::of(&Secret::new(key));
        let found = self.accounts.key(&digest).await?.filter(|key| key.is_live(now));
        let key = found.ok_or(ApiKeyError::Unknown)?;
        let user = self.accounts.user(&key.user).await?;
        let user = user.filter(|user| user.state == UserState::Active);
        let verified = self.identity(&key, &user.ok_or(ApiKeyError::Unknown)?)?;
        self.note_use(&key, now);
        Ok(verified)
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, ApiKeyError> {
        let permit = timeout(MAX_WAIT, self.lookups.acquire()).await;
        permit.ok().and_then(Result::ok).ok_or(ApiKeyError::Busy)
    }

    /// Notes that a key was used, while the request goes on: a store that takes no writes keeps nobody
    /// waiting.
    fn note_use(&self, key: &ApiKey, now: UnixTime) {
        if key.last_used.is_some_and(|used| now.since(used) < USE_INTERVAL) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.notes).try_acquire_owned() else { return };
        let (accounts, id) = (Arc::clone(&self.accounts), key.id.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = accounts.record_key_use(&id, now).await {
                warn!(%error, "the use of an API key could not be noted");
            }
        });
    }

    fn identity(&self, key: &ApiKey, user: &User) -> Result<Verified, TokenError> {
        let until = key.expires.unwrap_or(UnixTime::from_millis(u64::MAX));
        identity(&self.issuer, user, &key.narrow(user.scopes.clone()), until)
    }
}

/// Returns whether a credential is an API key that this service made: the prefix, and the text of 256
/// bits. No token has this form, which has dots, and no handle, which is shorter.
pub(super) fn is_api_key(credential: &str) -> bool {
    let random = credential.strip_prefix(KEY_PREFIX);
    random.is_some_and(|random| opaque::is_generated(&Secret::new(random)))
}

impl From<ApiKeyError> for DenialCode {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Unknown => Self::ApiKeyUnknown,
            ApiKeyError::Claims(error) => error.into(),
            ApiKeyError::Store(_) | ApiKeyError::Busy => Self::StoreUnavailable,
        }
    }
}

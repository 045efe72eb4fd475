//! API keys as credentials: a key that this service made stands for its user, with the session that it
//! is bound to, or without one.
//!
//! What a key is bound to besides is compared with every request, and is never a part of the cached
//! decision. A request of which the gateway does not tell what must be compared is refused.
//!
//! Only keys of 256 random bits with the prefix `pk_` are taken. A key that somebody chose could be
//! guessed here, where nothing counts the tries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use super::Gate;
use super::account::identity;
use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use crate::account::{
    AccountError, AccountStore, ApiKey, KEY_PREFIX, KEY_REFRESH_PREFIX, KeyBounds, KeyDigest,
    KeyUnusable, KeyUse, UnmetBound, User, UserState,
};
use crate::clock::{Clock, UnixTime};
use crate::opaque;
use crate::policy::canonical::canonical;
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
    /// The issuer that stands for the accounts: its name, the names of this service, and the prefix of
    /// its users.
    issuer: Arc<Issuer>,
    clock: Arc<dyn Clock>,
    lookups: Semaphore,
    notes: Arc<Semaphore>,
}

/// The reason why an API key is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// There is no such key, or its user may not log in.
    #[error("the API key is not known: it was never made, was revoked, or its user is locked")]
    Unknown,
    /// It was replaced, or it is not its time.
    #[error(transparent)]
    Unusable(#[from] KeyUnusable),
    /// It is another issuer's, or another user's.
    #[error(transparent)]
    Bound(#[from] UnmetBound),
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

    /// The identity that a key stands for now, and the bounds that are compared with each request. A
    /// key that `is_known` was good before.
    ///
    /// # Errors
    /// The reason why it is not good. Its session is not checked here.
    pub async fn verify(
        &self,
        key: &str,
        is_known: bool,
    ) -> Result<(Verified, KeyBounds), ApiKeyError> {
        let _lookup = if is_known { None } else { Some(self.permit().await?) };
        let now = self.clock.now();
        let digest = KeyDigest::of(&Secret::new(key));
        let key = self.accounts.key(&digest).await?.ok_or(ApiKeyError::Unknown)?;
        key.check_usable(now)?;
        let user = self.accounts.user(&key.user).await?;
        let user = user.filter(|user| user.state == UserState::Active);
        let user = user.ok_or(ApiKeyError::Unknown)?;
        key.bounds.check_owner(self.issuer_name(), user.id.as_str())?;
        let verified = self.identity(&key, &user)?;
        self.note_use(&key, now);
        Ok((verified, key.bounds))
    }

    fn issuer_name(&self) -> &str {
        self.issuer.iss.as_deref().unwrap_or(&self.issuer.name)
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
        let scopes = key.narrow(user.scopes.clone());
        let verified = identity(&self.issuer, user, &scopes, key.session.as_ref())?;
        Ok(Verified {
            usable_from: key.not_before.unwrap_or(verified.usable_from),
            usable_until: key.expires.unwrap_or(verified.usable_until),
            ..verified
        })
    }
}

impl Gate {
    /// Checks what a key is bound to against this request, which the gateway told.
    ///
    /// # Errors
    /// The bound that is not met, or the reason why the request cannot be compared.
    pub(super) fn check_bounds(
        &self,
        bounds: &KeyBounds,
        inquiry: &Inquiry<'_>,
    ) -> Result<(), Denial> {
        let keys = self.decisions.api_keys();
        let audiences = keys.map(|keys| keys.issuer.audiences.as_slice()).unwrap_or_default();
        let client = inquiry.line.client;
        if !bounds.needs_request(audiences) {
            let used = KeyUse { client, ..KeyUse::default() };
            return bounds.check_use(audiences, &used).map_err(Denial::from);
        }
        let request = canonical(&inquiry.told()?)?;
        let (host, port) = (Some(&*request.authority.host), request.authority.port);
        let port = port.or(Some(request.scheme.default_port()));
        let used = KeyUse { host, port, path: Some(request.path.as_str()), client };
        bounds.check_use(audiences, &used).map_err(Denial::from)
    }
}

/// Returns whether a credential is an API key that this service made: the prefix, and the text of 256
/// bits. No token has this form, which has dots, and no handle, which is shorter.
pub(super) fn is_api_key(credential: &str) -> bool {
    let random = credential.strip_prefix(KEY_PREFIX);
    random.is_some_and(|random| opaque::is_generated(&Secret::new(random)))
}

/// Returns whether a credential is a token by which an API key is refreshed. It is for the issuer alone,
/// and is shown to nobody else.
pub(super) fn is_key_refresh_token(credential: &str) -> bool {
    let random = credential.strip_prefix(KEY_REFRESH_PREFIX);
    random.is_some_and(|random| opaque::is_generated(&Secret::new(random)))
}

impl From<UnmetBound> for DenialCode {
    fn from(unmet: UnmetBound) -> Self {
        match unmet {
            UnmetBound::Issuer => Self::ApiKeyWrongIssuer,
            UnmetBound::Audience => Self::ApiKeyWrongAudience,
            UnmetBound::Subject => Self::ApiKeyWrongSubject,
            UnmetBound::Address => Self::ApiKeyWrongAddress,
        }
    }
}

impl From<UnmetBound> for Denial {
    fn from(unmet: UnmetBound) -> Self {
        DenialCode::from(unmet).into()
    }
}

impl From<ApiKeyError> for DenialCode {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Unknown => Self::ApiKeyUnknown,
            ApiKeyError::Unusable(KeyUnusable::Replaced) => Self::ApiKeyReplaced,
            ApiKeyError::Unusable(KeyUnusable::NotYetValid) => Self::ApiKeyNotYetValid,
            ApiKeyError::Unusable(KeyUnusable::Expired) => Self::ApiKeyExpired,
            ApiKeyError::Bound(unmet) => unmet.into(),
            ApiKeyError::Claims(error) => error.into(),
            ApiKeyError::Store(_) | ApiKeyError::Busy => Self::StoreUnavailable,
        }
    }
}

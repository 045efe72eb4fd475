//! Refreshing an API key: another takes its place, once.
//!
//! The rotation is strict. The refresh token works once, also where the key itself has expired.
//! Whoever shows a used one may have stolen it, or the one before him had: the whole family ends.
//! Of two who ask at one moment one gets a key, and the other is only refused, since he may be the
//! same program.

use super::{ApiKeys, IssuedKey, KeyTerms};
use crate::account::{AccountError, ApiKey, KEY_REFRESH_PREFIX, KeyDigest};
use crate::issuer::audit::Event;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::opaque;
use crate::secret::Secret;

/// The reason that the audit log gives for refusals.
const API_KEY: &str = "api_key";

impl ApiKeys {
    /// Another key in the place of the one that this refresh token belongs to, with the same bounds,
    /// and with the same times from now on where no others are asked for.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the token is unknown, used, too early or over, or the key
    /// could not be used for another reason than its time; [`IssueError::SlowDown`] where too many
    /// were guessed from this address.
    pub async fn refresh(
        &self,
        token: &Secret,
        terms: Option<KeyTerms>,
        caller: &Caller,
    ) -> Result<IssuedKey, IssueError> {
        let check = self.rotate(token, terms, caller);
        let outcome = self.throttle.secret(is_generated_key_refresh(token), caller, check).await;
        if let Err(error) = &outcome {
            let refused = self.audit.event(Event::RefreshRefused).error(error);
            refused.reason(API_KEY).address(caller.address).write();
        }
        outcome
    }

    async fn rotate(
        &self,
        token: &Secret,
        terms: Option<KeyTerms>,
        caller: &Caller,
    ) -> Result<IssuedKey, IssueError> {
        let old = self.accounts.key_by_refresh(&KeyDigest::of(token)).await?;
        let old = old.ok_or(IssueError::InvalidGrant)?;
        if old.replaced_by.is_some() {
            return Err(self.end_family(&old, caller).await);
        }
        self.check_refreshable(&old, caller)?;
        let (_, session) = self.owner(&old).await?;
        let same = KeyTerms::of(&old);
        // Never without a refresh token: it is what ties the new key to its family.
        let terms = terms
            .map_or(same, |terms| KeyTerms { refresh: terms.refresh.or(same.refresh), ..terms });
        let like = ApiKey { created: self.now(), ..old.clone() };
        let issued = terms.issue(like, session.as_ref(), self.random.as_ref())?;
        match self.accounts.replace_key(&old.id, &issued.record).await {
            Ok(true) => {}
            // Another was faster, or it was revoked in between.
            Ok(false) | Err(AccountError::NoSuchUser) => return Err(IssueError::InvalidGrant),
            Err(error) => return Err(error.into()),
        }
        let refreshed = self.audit.event(Event::KeyRefreshed).user(old.user.as_str());
        let reason = format!("{} {}", old.id, issued.record.id);
        refreshed.reason(&reason).address(caller.address).write();
        Ok(issued)
    }

    /// Checks the times of a refresh token, and the addresses of its key.
    fn check_refreshable(&self, key: &ApiKey, caller: &Caller) -> Result<(), IssueError> {
        let now = self.now();
        let in_time = key.refresh.as_ref().is_some_and(|refresh| {
            refresh.not_before.is_none_or(|from| from <= now) && now < refresh.expires
        });
        let is_from = key
            .bounds
            .address
            .is_none_or(|range| caller.address.is_some_and(|address| range.holds(address)));
        if in_time && is_from { Ok(()) } else { Err(IssueError::InvalidGrant) }
    }

    /// Ends all keys that were refreshed from one; the error is the answer.
    async fn end_family(&self, used: &ApiKey, caller: &Caller) -> IssueError {
        if let Err(error) = self.accounts.delete_key(&used.id).await {
            return error.into();
        }
        let reuse = self.audit.event(Event::RefreshReuse).user(used.user.as_str());
        reuse.reason(&used.id).address(caller.address).write();
        IssueError::InvalidGrant
    }
}

/// True for a refresh token that was made here, of 256 random bits, which nobody can guess.
pub fn is_generated_key_refresh(token: &Secret) -> bool {
    let random = token.expose().strip_prefix(KEY_REFRESH_PREFIX.as_bytes());
    random.is_some_and(|random| opaque::is_generated(&Secret::new(random)))
}

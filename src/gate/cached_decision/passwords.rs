//! Decisions about names with passwords, which take a hash.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::basis::{Basis, Presented};
use super::compute::same_or_new;
use super::{CacheKey, CachedDecision, DecisionCache, Outcome};
use crate::clock::Moment;
use crate::gate::basic::BasicCredentials;
use crate::gate::denial::{Denial, DenialCode};
use crate::token::Verified;

/// The time that a check of a password may take, with its wait for a thread that hashes.
const PASSWORD_TIMEOUT: Duration = Duration::from_secs(5);

impl DecisionCache {
    /// Decides about a name and a password, as they stand in the header, as about any credential.
    /// `client` is the address whose attempts are counted.
    ///
    /// # Errors
    /// The reason why they are not good now.
    pub async fn decide_password(
        self: &Arc<Self>,
        encoded: &str,
        client: Option<IpAddr>,
    ) -> Outcome {
        let basic = self.basic.as_ref().ok_or(DenialCode::MissingCredentials)?;
        let credentials = BasicCredentials::parse(encoded)?;
        let key = CacheKey::of_password(basic.digest(&credentials));
        let resolve = |asked| self.resolve_password(key, credentials, client, asked);
        self.decide_about(key, PASSWORD_TIMEOUT, resolve).await
    }

    /// Resolves a cache miss. Its check goes on where the caller does not wait any longer, and
    /// whoever asks again joins it, or finds its outcome: else a check that takes longer than a
    /// caller may wait would begin anew each time, and nobody would ever pass.
    async fn resolve_password(
        self: &Arc<Self>,
        key: CacheKey,
        credentials: BasicCredentials,
        client: Option<IpAddr>,
        asked: Moment,
    ) -> Outcome {
        let is_in_flight = self.single_flight.contains(&key);
        let decisions = Arc::clone(self);
        let resolve = async move {
            decisions.resolve(key, Presented::Basic(&credentials, client), asked).await
        };
        // One task for each check: what only waits for another one ends with its caller.
        if is_in_flight {
            return resolve.await;
        }
        let unavailable = |_| Err(DenialCode::StoreUnavailable.into());
        tokio::spawn(resolve.in_current_span()).await.unwrap_or_else(unavailable)
    }

    /// Verifies a name and a password; without hashing, where the `previous` decision rests on the
    /// same hash. Where it does not, it is forgotten before anything else: it is never served while
    /// the new check is not possible.
    pub(super) async fn verify_password(
        &self,
        key: &CacheKey,
        credentials: &BasicCredentials,
        client: Option<IpAddr>,
        previous: Option<&CachedDecision>,
    ) -> Result<(Arc<Verified>, Basis), Denial> {
        let basic = self.basic.as_ref().ok_or(DenialCode::MissingCredentials)?;
        if let Some(previous) = previous
            && let Basis::Password(evidence) = &previous.basis
        {
            let timeout = self.config.store_timeout;
            if let Some(found) = basic.recheck(credentials, evidence, timeout).await? {
                let known = Some(Arc::clone(&previous.token));
                return Ok((same_or_new(known, found), Basis::Password(evidence.clone())));
            }
            self.cache.invalidate(key);
        }
        let (found, evidence) = basic.verify(credentials, client).await?;
        Ok((Arc::new(found), Basis::Password(evidence.into())))
    }
}

//! Whether a cached decision still holds.

use std::time::Duration;

use super::basis::Basis;
use super::decision::StoreRead;
use super::{CacheKey, CachedDecision, DecisionCache};
use crate::clock::{Moment, UnixTime};
use crate::gate::metrics::CacheOutcome;
use crate::store::EpochStatus;

/// The validity of a cached decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// Nothing has to be checked again.
    Valid,
    /// The session, the handle or the account has to be read again.
    SessionStale,
    /// The token has to be verified again.
    TokenStale,
}

impl DecisionCache {
    /// Serves the cached decision although it is stale, while the store gives no answer. Not where
    /// something is known to have changed, and not for longer than the operator allows.
    pub(super) fn serve_stale(&self, key: &CacheKey) -> Option<CachedDecision> {
        let kept = self.cache.get(key)?;
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let is_believed = kept.basis.outlasts_failures()
            && kept.validity.holds(&kept.keys, now, at)
            && is_fresh(self.confirm_if_due(&kept, at).as_ref(), now, at, |_| {
                self.config.stale_if_error
            })
            && self.epoch_status(&kept) != EpochStatus::Changed;
        is_believed.then(|| self.metrics.cache(CacheOutcome::Stale)).map(|()| kept)
    }

    pub(super) fn validity(&self, decision: &CachedDecision, now: Moment) -> Validity {
        self.validity_of(decision, self.confirm_if_due(decision, now.at).as_ref(), now)
    }

    /// The same with this reading.
    pub(super) fn validity_of(
        &self,
        decision: &CachedDecision,
        read: Option<&StoreRead>,
        now: Moment,
    ) -> Validity {
        let Moment { at, wall: now } = now;
        if !decision.validity.holds(&decision.keys, now, at) {
            return Validity::TokenStale;
        }
        let is_fresh = is_fresh(read, now, at, |read| read.max_age);
        if is_fresh && self.epoch_status_of(decision, read) == EpochStatus::Current {
            Validity::Valid
        } else {
            Validity::SessionStale
        }
    }

    /// The epoch status of a decision: the worst of those of its session, of its handle, and of the
    /// key that signed the token for the application.
    pub(super) fn epoch_status(&self, decision: &CachedDecision) -> EpochStatus {
        self.epoch_status_of(decision, decision.reading().as_ref())
    }

    pub(super) fn epoch_status_of(
        &self,
        decision: &CachedDecision,
        read: Option<&StoreRead>,
    ) -> EpochStatus {
        let epoch = read.and_then(|read| read.epoch.as_ref());
        let of_session = epoch.map(|epoch| self.sessions.status(epoch));
        let of_handle = match &decision.basis {
            Basis::Handle(epoch) => {
                let handles = self.handles.as_ref();
                Some(handles.map_or(EpochStatus::Changed, |handles| handles.status(epoch)))
            }
            Basis::Token
            | Basis::ApiKey(_)
            | Basis::Password(_)
            | Basis::Introspection
            | Basis::Ticket => None,
        };
        let status = of_session.max(of_handle).unwrap_or(EpochStatus::Current);
        status.max(self.signature_status(decision))
    }

    /// The status of the token for the application, where there is one.
    pub(super) fn signature_status(&self, decision: &CachedDecision) -> EpochStatus {
        let Some(by) = &decision.signed else { return EpochStatus::Current };
        self.upstream.as_ref().map_or(EpochStatus::Changed, |upstream| upstream.status(by))
    }
}

/// Returns whether the session has not expired, and the reading, if there has to be one, is younger than the limit by
/// either clock.
fn is_fresh(
    read: Option<&StoreRead>,
    now: UnixTime,
    at: Duration,
    limit: impl FnOnce(&StoreRead) -> Duration,
) -> bool {
    let Some(read) = read else { return true };
    let age = at.saturating_sub(read.at).max(now.since(read.wall));
    let is_alive = read.session_expires.is_none_or(|end| now < end);
    is_alive && age < limit(read)
}

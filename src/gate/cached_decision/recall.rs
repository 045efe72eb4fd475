//! Decisions that were asked for before, found in the first level.

use super::validity::Validity;
use super::{CachedDecision, DecisionCache};
use crate::clock::Moment;
use crate::gate::metrics::CacheOutcome;
use crate::secret::fingerprint::Fingerprint;

impl DecisionCache {
    /// The decision about a token, a handle or an API key that was asked for before, if it is valid now. Whoever answers
    /// with it [counts](Self::count_hit) it.
    pub(in crate::gate) fn recall(&self, credential: &[u8], now: Moment) -> Option<CachedDecision> {
        self.recall_by(self.first_level.as_ref()?.key.of(credential), now)
    }

    /// The same by the fingerprint of the credential.
    pub(super) fn recall_by(&self, credential: Fingerprint, now: Moment) -> Option<CachedDecision> {
        let found = self.first_level.as_ref()?.get(credential)?;
        let read = self.confirm_if_due(&found.value, now.at);
        if self.validity_of(&found.value, read.as_ref(), now) != Validity::Valid {
            return None;
        }
        if found.tells_second_level
            && let Some(places) = &found.value.places
        {
            self.cache.get(&places.second);
        }
        self.refresh_if_due(&found.value, read.as_ref(), now.at);
        Some(found.value)
    }

    /// Counts an answer of the cache.
    pub(in crate::gate) fn count_hit(&self) {
        self.metrics.cache(CacheOutcome::Hit);
    }

    /// Remembers a decision in the first level, for as long as it is in the second.
    pub(super) fn remember(&self, decision: &CachedDecision) {
        if let (Some(table), Some(places)) = (&self.first_level, decision.places) {
            table.insert(places.first, decision);
            // It may have been dropped meanwhile, and nobody will tell of it again.
            if !self.cache.contains_key(&places.second) {
                table.remove(places.first, |kept| kept.is_same(decision));
            }
        }
    }
}

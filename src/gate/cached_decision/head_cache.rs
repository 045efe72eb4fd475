//! The heads that were answered from a cached decision, so that the same head again is answered without being parsed: a
//! cache in front of the parser, as name servers have for packets.
//!
//! A head is known by a fingerprint of all its bytes but those of the request's id, and of whoever sent it: so nothing that a
//! judgement looks at can differ. Kept is only what let it pass: the credential, the very decision about it, and the policy.
//! On each hit the decision is found in the first level and checked like any other, so that a head outlives neither a
//! revocation, nor an age, nor a key, nor a policy.

use std::net::IpAddr;

use super::fingerprint_table::FingerprintTable;
use super::{CachedDecision, DecisionCache};
use crate::clock::Moment;
use crate::gate::gateway_proof::Peer;
use crate::gate::metrics::EntryPoint;
use crate::gate::policy_in_force::PolicyGeneration;
use crate::secret::fingerprint::Fingerprint;
use crate::secret::{Random, RandomFailed};
use crate::wire::whole_head::WholeHead;

/// The heads have this part of the room, one in so many bytes: of 64 MiB two, for 32,768 heads.
const SHARE: u64 = 32;

/// The heads that were answered.
#[derive(Debug)]
pub(super) struct HeadCache(FingerprintTable<AnsweredHead>);

/// The reason why a head was let pass.
#[derive(Clone, Copy, Debug)]
struct AnsweredHead {
    credential: Fingerprint,
    /// The id of the decision about it. Another one about the same credential may say something else.
    decision_id: u64,
    policy: PolicyGeneration,
    entry_point: EntryPoint,
}

impl HeadCache {
    /// An empty cache; its part of a room for all decisions of so many bytes.
    ///
    /// # Errors
    /// There is no randomness for its key.
    pub(super) fn new(room: u64, random: &dyn Random) -> Result<Self, RandomFailed> {
        // Without a second level: all that it remembers is here.
        FingerprintTable::new(room / SHARE, 0, random).map(Self)
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

impl DecisionCache {
    /// The fingerprint of a head from this peer; `None` where no heads are remembered.
    pub(in crate::gate) fn head_fingerprint(
        &self,
        peer: Peer,
        head: &WholeHead<'_>,
    ) -> Option<Fingerprint> {
        let (kind, address) = match peer.address {
            None => (0, 0),
            Some(IpAddr::V4(address)) => (1, address.to_bits().into()),
            Some(IpAddr::V6(address)) => (2, address.to_bits()),
        };
        let mut sender = [0; 24];
        sender[..16].copy_from_slice(&u128::to_le_bytes(address));
        (sender[16], sender[17]) = (kind, u8::from(peer.is_certified));
        let key = &self.heads.as_ref()?.0.key;
        Some(key.of_parts(sender, head.before_id, head.after_id))
    }

    /// The decision that let such a head pass under this policy, if it is the present one and valid now, and where the head
    /// came in. Whoever answers with it [counts](Self::count_hit) it.
    pub(in crate::gate) fn recall_head(
        &self,
        head: Fingerprint,
        policy: PolicyGeneration,
        now: Moment,
    ) -> Option<(CachedDecision, EntryPoint)> {
        let heads = &self.heads.as_ref()?.0;
        let answered = heads.get(head)?.value;
        let decision = if answered.policy == policy {
            // What is not valid now may be once its session is read.
            self.recall_by(answered.credential, now)?
        } else {
            heads.remove(head, |kept| kept.policy == answered.policy);
            return None;
        };
        if decision.id != answered.decision_id {
            heads.remove(head, |kept| kept.decision_id == answered.decision_id);
            return None;
        }
        Some((decision, answered.entry_point))
    }

    /// Remembers that a head was let pass by this decision under this policy. It must have depended on nothing else: not on
    /// the time, and on nobody who was asked.
    pub(in crate::gate) fn remember_head(
        &self,
        head: Fingerprint,
        decision: &CachedDecision,
        policy: PolicyGeneration,
        entry_point: EntryPoint,
    ) {
        if let (Some(heads), Some(places)) = (&self.heads, decision.places) {
            let (credential, decision_id) = (places.first, decision.id);
            heads.0.insert(head, &AnsweredHead { credential, decision_id, policy, entry_point });
        }
    }
}

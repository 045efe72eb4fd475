//! The policy that is in force: replaced as a whole, and each one with a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::policy::Policy;

/// The policy by which requests are judged, where the operator has one.
#[derive(Debug, Default)]
pub(super) struct PolicyInForce {
    policy: ArcSwapOption<Policy>,
    generation: AtomicU64,
    /// True where the client's address decides something in it: kept beside it, since every request asks.
    needs_client: AtomicBool,
}

/// The number of a policy; the next one has the next number. The default is that of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyGeneration(u64);

impl PolicyInForce {
    /// Puts another one in its place; one caller at a time. Once this is over, nothing that was concluded under the one
    /// before has the [generation](Self::generation) of now.
    pub(super) fn replace(&self, policy: Arc<Policy>) {
        let needs_client = policy.needs_client();
        // A request that finds the one without the other is denied where the client decides, or counted as its gateway's.
        self.needs_client.fetch_or(needs_client, Ordering::Release);
        self.policy.store(Some(policy));
        // Behind the policy: whoever finds this number finds this policy, or a later one.
        self.generation.fetch_add(1, Ordering::Release);
        self.needs_client.store(needs_client, Ordering::Release);
    }

    /// The policy, if there is one. What is concluded from it goes by the [generation](Self::generation) that was read
    /// before.
    pub(super) fn load(&self) -> Option<Arc<Policy>> {
        self.policy.load_full()
    }

    /// The generation of the present one, or of the one before while it is being replaced.
    pub(super) fn generation(&self) -> PolicyGeneration {
        PolicyGeneration(self.generation.load(Ordering::Acquire))
    }

    /// Returns whether there is one.
    pub(super) fn is_some(&self) -> bool {
        self.policy.load().is_some()
    }

    /// Returns whether the client's address decides something in it.
    pub(super) fn needs_client(&self) -> bool {
        self.needs_client.load(Ordering::Acquire)
    }
}

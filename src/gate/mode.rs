//! The gate's modes: judging, the same from memory alone, and a trial that leaves no trace outside of the gate.

use std::future::pending;

use crate::policy::Decisions;

/// The treatment of what is asked and counted outside of the gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// The authorizer is asked, the request is counted, a ticket is used up.
    Judge,
    /// The same, but only as far as nothing has to be waited for: such a judgement is polled once, and dropped where it
    /// is not over then.
    FromMemory,
    /// None of it; this is taken for the authorizer's answer, if any is.
    DryRun { authorizer: Option<bool> },
}

impl Mode {
    /// Stands before everything that takes time, or leaves a trace outside of the cache. From memory alone it never comes back, so
    /// that nothing behind it is begun twice.
    pub(super) async fn begin_waiting(self) {
        if matches!(self, Self::FromMemory) {
            pending::<()>().await;
        }
    }

    /// Returns whether what is good once is used up.
    pub(super) fn uses_up(self) -> bool {
        !matches!(self, Self::DryRun { .. })
    }

    /// The answers of the authorizer that are taken for granted.
    pub(super) fn assumed(self) -> Decisions {
        match self {
            Self::Judge | Self::FromMemory => Decisions::default(),
            Self::DryRun { authorizer } => Decisions::assumed(authorizer),
        }
    }
}

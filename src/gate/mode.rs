//! The gate's two modes: judging, and a trial that leaves no trace outside of the gate.

use crate::policy::Decisions;

/// The treatment of what is asked and counted outside of the gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// The authorizer is asked, the request is counted, a ticket is used up.
    Judge,
    /// None of it; this is taken for the authorizer's answer, if any is.
    DryRun { authorizer: Option<bool> },
}

impl Mode {
    /// Returns whether what is good once is used up.
    pub(super) fn uses_up(self) -> bool {
        matches!(self, Self::Judge)
    }

    /// The answers of the authorizer that are taken for granted.
    pub(super) fn assumed(self) -> Decisions {
        match self {
            Self::Judge => Decisions::default(),
            Self::DryRun { authorizer } => Decisions::assumed(authorizer),
        }
    }
}

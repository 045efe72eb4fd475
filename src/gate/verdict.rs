//! The answer to an inquiry. It is a value: an error on the way to it is a denial like any other.

use std::sync::Arc;

use super::cached_decision::CachedDecision;
use super::denial::{Denial, DenialCode};

/// The answer: may this request pass, and for which user?
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may.
    Allow(Grant),
    /// It may not.
    Deny(Denial),
}

impl Verdict {
    /// The code of the denial, where it may not.
    pub fn denied(&self) -> Option<DenialCode> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial.code),
        }
    }
}

/// A request that may pass.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The identity, and the headers that carry it to the application.
    pub decision: Arc<CachedDecision>,
}

//! The data plane: one request in, one verdict out.
//!
//! [`service`] takes the HTTP request, a [`dialect`] reads it into an [`inquiry`], [`Gate::check`]
//! judges, and the dialect renders the [`verdict`]. Nothing here talks to a user, opens or
//! ends a session; nothing here answers yes after an error.

mod access_log;
pub mod cached_decision;
pub mod credential;
pub mod denial;
pub mod dialect;
pub mod explain;
pub mod handle;
pub mod identity;
pub mod inquiry;
mod jwthenticator;
mod memory_size;
pub mod metrics;
pub mod open;
pub mod requirement;
pub mod service;
pub mod single_flight;
pub mod upstream;
pub mod verdict;

use cached_decision::DecisionCache;
use credential::Cookies;
use denial::Denial;
pub use dialect::{DenialConfig, Dialect};
use inquiry::Inquiry;
use single_flight::SingleFlight;
use verdict::{Grant, Verdict};

/// The judge of requests.
#[derive(Debug)]
pub struct Gate {
    decisions: DecisionCache,
    cookies: Cookies,
    pings: SingleFlight<(), bool>,
    /// True where being ready takes a store that can be written.
    needs_writes: bool,
}

/// The readiness of the parts that a decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The store answers.
    pub store: bool,
    /// Every issuer's keys are at hand.
    pub keys: bool,
}

impl Gate {
    /// A gate that decides by `decisions`, and looks for credentials also in these cookies.
    pub fn new(decisions: DecisionCache, cookies: Cookies) -> Self {
        Self { decisions, cookies, pings: SingleFlight::default(), needs_writes: false }
    }

    /// The same gate in a process that writes to the store (it issues tokens, or records when
    /// sessions are used because of an inactivity limit), and so is ready only where writing works.
    #[must_use]
    pub fn needing_writes(self, needs_writes: bool) -> Self {
        Self { needs_writes, ..self }
    }

    /// Judges whether this request may pass, and for which user.
    pub async fn check(&self, inquiry: &Inquiry<'_>) -> Verdict {
        match self.judge(inquiry).await {
            Ok(grant) => Verdict::Allow(grant),
            Err(denial) => Verdict::Deny(denial),
        }
    }

    async fn judge(&self, inquiry: &Inquiry<'_>) -> Result<Grant, Denial> {
        let requirement = inquiry.requirement.as_ref().map_err(|code| *code)?;
        let found = credential::find(inquiry.headers, &self.cookies)?;
        let decision = self.decisions.decide(found.credential).await?;
        found.source.check(&decision.token.subject)?;
        let subject = &decision.token.subject;
        requirement.check(&decision.token.scopes).map_err(|denial| denial.of(subject))?;
        Ok(Grant { decision })
    }

    /// Returns whether the store answers (and takes writes, where they are needed), and whether the
    /// keys of every issuer are at hand. Many callers at once cost the store one question: anybody
    /// may ask.
    pub async fn readiness(&self) -> Readiness {
        let sessions = self.decisions.sessions();
        let ping = async {
            let asked = if self.needs_writes {
                sessions.probe_write().await
            } else {
                sessions.ping().await
            };
            asked.is_ok()
        };
        Readiness { store: self.pings.join((), ping).await, keys: self.decisions.has_keys() }
    }

    /// The decisions, and their cache.
    pub fn decisions(&self) -> &DecisionCache {
        &self.decisions
    }
}
